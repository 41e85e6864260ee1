//! Parsed files, kept as long as the file stays what it was: one changed file doesn't cost a reading of all.

use super::{Unreadable, list, read_file};
use enforcer_policy::document::{ParsedFile, parse_file};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A file that changed more recently than this may change again without a new time stamp.
const SETTLED: Duration = Duration::from_millis(200);

/// One file with what it was when it was read.
#[derive(Debug)]
struct Entry {
    stamp: Option<Stamp>,
    parsed: Arc<ParsedFile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What the paths hold now.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Parsed files in reading order.
    pub files: Vec<Arc<ParsedFile>>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Paths that don't exist (yet).
    pub missing: Vec<PathBuf>,
}

/// Parsed files by path.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<PathBuf, Entry>,
}

impl Cache {
    /// Everything below these paths, reading only what has changed since the last call.
    pub(crate) fn load(&mut self, paths: &[PathBuf]) -> Loaded {
        let mut loaded = Loaded::default();
        let mut kept = HashMap::with_capacity(self.entries.len());
        for path in paths {
            if !path.exists() && path.symlink_metadata().is_err() {
                loaded.missing.push(path.clone());
                continue;
            }
            let listing = list(path);
            loaded.unreadable.extend(listing.unreadable);
            for file in listing.files {
                if kept.contains_key(&file) {
                    continue;
                }
                match self.one(&file) {
                    Ok(entry) => {
                        loaded.files.push(Arc::clone(&entry.parsed));
                        kept.insert(file, entry);
                    }
                    Err(error) => loaded.unreadable.push(error),
                }
            }
        }
        self.entries = kept;
        loaded
    }

    fn one(&mut self, path: &Path) -> Result<Entry, Unreadable> {
        // Taken before the text: a change in between makes the stamp older than the text, and the next call reads again.
        let stamp = fs::metadata(path).ok().and_then(|found| Stamp::of(&found));
        let known = self.entries.remove(path);
        if let Some(entry) = &known
            && entry.stamp.is_some()
            && entry.stamp == stamp
        {
            return Ok(Entry { stamp, parsed: Arc::clone(&entry.parsed) });
        }
        let source = read_file(path)?;
        let parsed = match known {
            Some(entry) if entry.parsed.source().text == source.text => entry.parsed,
            _ => Arc::new(parse_file(&source)),
        };
        Ok(Entry { stamp, parsed })
    }
}

impl Stamp {
    /// `None` where the file is so fresh that its time stamp proves nothing.
    fn of(found: &Metadata) -> Option<Self> {
        let changed = (found.ctime(), found.ctime_nsec());
        let at = SystemTime::UNIX_EPOCH
            + Duration::new(u64::try_from(changed.0).ok()?, u32::try_from(changed.1).ok()?);
        let settled = SystemTime::now().duration_since(at).is_ok_and(|age| age > SETTLED);
        settled.then(|| Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_is_not_parsed_again_and_a_changed_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().to_owned()];
        fs::write(dir.path().join("a.yaml"), "# one").unwrap();
        fs::write(dir.path().join("b.yaml"), "# two").unwrap();
        let mut cache = Cache::default();
        let first = cache.load(&paths).files;
        fs::write(dir.path().join("b.yaml"), "# six").unwrap();
        let second = cache.load(&paths).files;
        assert!(Arc::ptr_eq(&first[0], &second[0]));
        assert!(!Arc::ptr_eq(&first[1], &second[1]));
        assert_eq!(&*second[1].source().text, "# six");
        fs::remove_file(dir.path().join("a.yaml")).unwrap();
        assert_eq!(cache.load(&paths).files.len(), 1);
    }

    #[test]
    fn a_path_that_is_not_there_is_missing_and_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let loaded = Cache::default().load(&[dir.path().join("later")]);
        assert_eq!((loaded.missing.len(), loaded.unreadable.len()), (1, 0));
    }
}
