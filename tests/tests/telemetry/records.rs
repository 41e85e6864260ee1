//! Records: what a file, an observer and the metrics say adds up to what was sent.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use enforcer_tests::{World, world};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;

use super::{ALLOWED, FORBIDDEN, PATIENCE, scraped_when, send, shop, sum};

const BURST: u64 = 200_000;

/// What lines of records say together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Records of denied packets without a rule.
    pub(crate) denied: u64,
    pub(crate) others: u64,
    pub(crate) lost: u64,
    pub(crate) suppressed: u64,
    /// The highest count of such packets.
    counted: u64,
    /// And of records that there were to make.
    made: u64,
}

impl Told {
    fn add(&mut self, line: &str) {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        let number = |place: &str| document.pointer(place).and_then(Value::as_u64).unwrap_or(0);
        match document["schema"].as_str().unwrap() {
            "enforcer.flow/v1" if document["cause"]["reason"] == "no-rule" => self.denied += 1,
            "enforcer.flow/v1" => self.others += 1,
            "enforcer.missed/v1" => {
                self.lost += number("/lost");
                self.suppressed += number("/suppressed");
            }
            "enforcer.counts/v1" => {
                self.made = number("/events/sent") + number("/events/lost") + number("/events/suppressed");
                let verdicts = document["verdicts"].as_array().into_iter().flatten();
                for verdict in verdicts.filter(|verdict| verdict["reason"] == "no-rule") {
                    assert_eq!(
                        (&verdict["verdict"], &verdict["direction"]),
                        (&"denied".into(), &"egress".into())
                    );
                    self.counted = verdict["packets"].as_u64().unwrap();
                }
            }
            other => panic!("nobody asked for `{other}`"),
        }
    }

    /// Denied packets, seen or not. Nothing else is lost here but [`noise`].
    pub(crate) fn told_of(&self) -> u64 {
        self.denied + self.lost + self.suppressed
    }
}

fn in_files(paths: &[&Path]) -> Told {
    let mut told = Told::default();
    for path in paths {
        fs::read_to_string(path).unwrap().lines().for_each(|line| told.add(line));
    }
    told
}

/// Denied packets that nobody sent on purpose: what IPv6 asks of a link when it comes up. In the midst of a burst they get no record, as little as others.
pub(crate) fn noise(page: &str) -> u64 {
    let denied = |more: &[&str]| {
        sum(page, "enforcer_policy_verdicts_total", &[&["verdict=\"denied\""], more].concat())
    };
    denied(&[]) - denied(&["reason=\"no-rule\""])
}

/// Waits until `holds`, and panics if it never does.
#[track_caller]
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn file_setting(path: &Path, more: &str) -> String {
    format!("{{file: {{path: {}{more}}}}}", path.display())
}

/// An observer that follows, and what it was told.
pub(crate) struct Observer {
    child: Child,
    told: Arc<Mutex<Told>>,
    reader: Option<JoinHandle<()>>,
}

impl Observer {
    pub(crate) fn of(world: &mut World, filter: &[&str]) -> Self {
        let mut command = world.daemon().command(&[&["observe", "-f", "-o", "jsonl"], filter].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::<Mutex<Told>>::default();
        let kept = Arc::clone(&told);
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().add(&line))
        });
        Self { child, told, reader: Some(reader) }
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // It may have ended with its daemon.
        drop((self.child.kill(), self.child.wait()));
        drop(self.reader.take().map(JoinHandle::join));
    }
}

pub(crate) fn a_burst_of_denied_packets_loses_no_count() {
    let mut world = world!();
    let path = world.dir().join("log/records.jsonl");
    let (web, db) = shop(&mut world, &[("records", &file_setting(&path, ""))]);
    send(&web, &db, ALLOWED, 10);
    let observer = Observer::of(&mut world, &[]);
    wait("the observer sees the past", || observer.told().others > 0);
    let took = send(&web, &db, FORBIDDEN, BURST);
    println!("{BURST} denied packets in {took:?}");
    let page = scraped_when(world.host(), "the burst", |page| {
        sum(page, "enforcer_policy_verdicts_total", &["verdict=\"denied\"", "reason=\"no-rule\""]) >= BURST
    });
    assert_eq!(sum(&page, "enforcer_policy_verdicts_total", &["reason=\"no-rule\""]), BURST);
    wait("the observer was told of all", || observer.told().told_of() >= BURST);
    let all = BURST..=BURST + noise(&scraped_when(world.host(), "a page", |_| true));
    world.daemon().terminate().unwrap();
    let (seen, written) = (observer.told(), in_files(&[&path]));
    println!("the observer: {seen:?}\nthe file: {written:?}");
    assert!(all.contains(&seen.told_of()), "{seen:?} of {all:?}");
    assert!(seen.suppressed > 0, "it was no burst: {seen:?}");
    assert!(all.contains(&written.told_of()), "{written:?} of {all:?}");
    assert_eq!(written.counted, BURST, "{written:?}");
    assert_eq!(written.told_of() + written.others, written.made, "{written:?}");
}

pub(crate) fn a_full_disk_costs_records_and_nothing_else() {
    let mut world = world!();
    let disk = Disk::of(&world.dir().join("disk"));
    let path = disk.0.join("records.jsonl");
    let (web, db) = shop(&mut world, &[("records", &file_setting(&path, ", size: 1GiB"))]);
    // Some 400 bytes each.
    send(&web, &db, FORBIDDEN, 900);
    let lost = |page: &str| sum(page, "enforcer_sink_lost_records_total", &["sink=\"file\""]);
    let page = scraped_when(world.host(), "lost records", |page| lost(page) > 0);
    assert_eq!(sum(&page, "enforcer_policy_verdicts_total", &["reason=\"no-rule\""]), 900);
    let status = world.daemon().status().unwrap();
    assert_eq!(status["state"], "enforcing");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("records can't be written to `file`") && warnings.contains("No space left"),
        "{warnings}"
    );
    // Room again: what was lost is told before what comes.
    fs::rename(&path, world.dir().join("moved")).unwrap_err();
    fs::copy(&path, world.dir().join("moved")).unwrap();
    fs::remove_file(&path).unwrap();
    send(&web, &db, FORBIDDEN, 10);
    wait("the file is there again", || path.exists() && fs::metadata(&path).unwrap().len() > 0);
    world.daemon().terminate().unwrap();
    let told = in_files(&[&world.dir().join("moved"), &path]);
    println!("{told:?}");
    assert_eq!((told.told_of(), told.counted), (910, 910), "{told:?}");
    assert!(told.lost > 0, "{told:?}");
}

/// A file system of 256 KiB.
struct Disk(PathBuf);

impl Disk {
    fn of(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(c"size=256k")).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The daemon may have a file open there still.
        let _gone = unmount(&self.0, UnmountFlags::DETACH);
    }
}
