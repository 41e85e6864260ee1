//! The inputs in the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// An input and where it is.
#[derive(Debug)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What is kept for a target in `corpus` or `regressions`, by name. A directory that isn't there holds nothing.
#[must_use]
pub fn kept(what: &str, target: &str) -> Vec<Kept> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(what).join(target);
    let mut paths: Vec<PathBuf> = match fs::read_dir(&dir) {
        Ok(entries) => entries.map(|entry| entry.expect("a directory can be read on").path()).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Kept { path, bytes }
    };
    paths.into_iter().map(read).collect()
}
