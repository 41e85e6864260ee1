//! Files that fill up, are moved away and are found again.

use super::RotatingFile;
use crate::daemon::telemetry::records::Sink;
use crate::daemon::telemetry::records::line::{Kind, Line};
use enforcer_policy::model::RecordFile;
use std::fs;
use std::path::{Path, PathBuf};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log/records.jsonl");
    (dir, path)
}

fn file(path: &Path, size: u64, keep: u32) -> RotatingFile {
    RotatingFile::new(RecordFile { path: path.to_owned(), size, keep })
}

fn lines(numbers: std::ops::Range<u32>) -> Vec<Line> {
    numbers.map(|number| Line { kind: Kind::Flow, text: format!("{{\"n\":{number:05}}}") }).collect()
}

/// The numbers of the lines in a file, each of which is whole.
fn numbers(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| line[5..10].parse().unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn at(path: &Path, number: u32) -> PathBuf {
    super::numbered(path, number)
}

#[test]
fn a_full_file_makes_room_and_the_oldest_goes() {
    let (_dir, path) = place();
    // Four lines of twelve bytes each.
    let mut file = file(&path, 48, 2);
    for batch in [0..3, 3..10, 10..14] {
        let count = batch.len();
        assert_eq!(file.take(&lines(batch)).written, count);
    }
    assert_eq!(numbers(&path), [12, 13]);
    assert_eq!(numbers(&at(&path, 1)), [8, 9, 10, 11]);
    assert_eq!(numbers(&at(&path, 2)), [4, 5, 6, 7]);
    assert!(!at(&path, 3).exists());
}

#[test]
fn a_line_longer_than_a_file_has_one_of_its_own_and_none_is_kept_if_none_shall_be() {
    let (_dir, path) = place();
    let mut file = file(&path, 10, 0);
    assert_eq!(file.take(&lines(0..3)).written, 3);
    assert_eq!(numbers(&path), [2]);
    assert!(!at(&path, 1).exists());
}

#[test]
fn what_a_crash_left_is_gone_on_with() {
    let (_dir, path) = place();
    assert_eq!(file(&path, 48, 1).take(&lines(0..2)).written, 2);
    assert_eq!(file(&path, 48, 1).take(&lines(2..3)).written, 1);
    assert_eq!(numbers(&path), [0, 1, 2], "appended to");
    fs::write(&path, "{\"n\":00000}\n{\"n\":000").unwrap();
    assert_eq!(file(&path, 48, 1).take(&lines(1..2)).written, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":00000}\n{\"n\":000\n{\"n\":00001}\n");
    // It counts what was there before.
    let mut again = file(&path, 48, 1);
    assert_eq!(again.take(&lines(2..4)).written, 2);
    assert_eq!(numbers(&path), [3]);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let (dir, path) = place();
    let mut file = file(&path, 1 << 20, 1);
    assert_eq!(file.take(&lines(0..1)).written, 1);
    let away = dir.path().join("away");
    fs::rename(&path, &away).unwrap();
    assert_eq!(file.take(&lines(1..2)).written, 1);
    assert_eq!((numbers(&away), numbers(&path)), (vec![0], vec![1]));
}

#[test]
fn what_is_no_file_is_left_alone_and_told() {
    let (dir, path) = place();
    fs::create_dir(path.parent().unwrap()).unwrap();
    let other = dir.path().join("precious");
    fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    let mut file = file(&path, 1 << 20, 1);
    let taken = file.take(&lines(0..2));
    assert_eq!(taken.written, 0);
    let told = taken.error.unwrap().to_string();
    assert!(told.starts_with(&format!("{}: ", path.display())), "{told}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    // As soon as it can be, it is written.
    fs::remove_file(&path).unwrap();
    assert_eq!(file.take(&lines(2..3)).written, 1);
    assert_eq!(numbers(&path), [2]);
}
