//! Word of changed policy files, as the kernel reports them. It only ever says *that* something may have changed:
//! what there is now is found by looking.
//!
//! Watched are the configured paths and every directory below them, the directories on the way to each of them (so that a
//! path that appears later is noticed), and the same again for every symbolic link on the way (so that replacing
//! what a link points to is noticed as well).

use super::clock::Instants;
use crate::files::list;
use anyhow::{Context, Result};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::debug;

/// After the first change, others that belong to it are waited for this long, and never longer than [`LONGEST`].
const QUIET: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(20);
/// Symbolic links on the way to one path.
const LINKS: usize = 40;

/// Names in a directory whose coming and going matters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interest {
    All,
    Names(BTreeSet<OsString>),
}

/// The watched directories of some paths.
pub(super) struct Watcher {
    paths: Vec<PathBuf>,
    inotify: Inotify,
    watches: Watches,
    interests: HashMap<WatchDescriptor, Interest>,
}

impl Watcher {
    /// Watches these paths, whether or not they exist.
    pub(super) fn new(paths: Vec<PathBuf>) -> Result<Self> {
        let inotify = Inotify::init().context("could not watch files")?;
        let watches = inotify.watches();
        let mut watcher = Self { paths, inotify, watches, interests: HashMap::new() };
        watcher.look();
        Ok(watcher)
    }

    /// Waits until something may have changed and has been quiet for a moment. Gives when the first of it was noticed, by the boot-time clock.
    pub(super) fn changed(&mut self) -> Result<u64> {
        while !self.batch()? {}
        let noticed = Instants::now().boot;
        let last = Instant::now() + LONGEST;
        while let Some(left) = last.checked_duration_since(Instant::now())
            && self.readable(Some(left.min(QUIET)))?
        {
            self.batch()?;
        }
        // Directories may have come: they must be watched before they are read, or a file in them could slip through.
        self.look();
        Ok(noticed)
    }

    /// Waits for reports at most this long; whether there are any.
    fn readable(&self, timeout: Option<Duration>) -> Result<bool> {
        let timeout = timeout.map(Timespec::try_from).transpose().context("could not wait for so long")?;
        let mut waits = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut waits, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("could not wait for changes of files"),
        }
    }

    /// Waits for reports and takes them; whether any of them matters.
    fn batch(&mut self) -> Result<bool> {
        self.readable(None)?;
        let mut buffer = [0; 16 * 1024];
        let events = match self.inotify.read_events(&mut buffer) {
            Ok(events) => events,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("could not read changes of files"),
        };
        let mut matters = false;
        for event in events {
            let interest = self.interests.get(&event.wd);
            matters |=
                event.mask.intersects(EventMask::Q_OVERFLOW | EventMask::DELETE_SELF | EventMask::MOVE_SELF)
                    || match (interest, event.name) {
                        (Some(Interest::All), Some(name)) => concerns(name, event.mask),
                        (Some(Interest::Names(names)), Some(name)) => names.contains(name),
                        (Some(_), None) => true,
                        (None, _) => false,
                    };
            if event.mask.contains(EventMask::IGNORED) {
                self.interests.remove(&event.wd);
            }
        }
        Ok(matters)
    }

    /// Brings the watched directories up to what is there now.
    fn look(&mut self) {
        let mut wanted = BTreeMap::new();
        for path in &self.paths {
            plan(path, &mut wanted);
        }
        let mut interests = HashMap::with_capacity(wanted.len());
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for (directory, interest) in wanted {
            match self.watches.add(&directory, mask) {
                Ok(descriptor) => merge(&mut interests, descriptor, interest),
                // Gone again, or out of watches: the slow look every few seconds remains.
                Err(error) => debug!(directory = %directory.display(), %error, "could not watch a directory"),
            }
        }
        for (descriptor, _) in self.interests.extract_if(|descriptor, _| !interests.contains_key(descriptor))
        {
            // It may be gone already.
            let _ = self.watches.remove(descriptor);
        }
        self.interests = interests;
    }
}

fn concerns(name: &OsStr, mask: EventMask) -> bool {
    let policy = Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml");
    // A name without the ending may still be a link or a directory that files are reached through.
    policy || !mask.contains(EventMask::CLOSE_WRITE)
}

fn merge<K: std::hash::Hash + Eq>(interests: &mut HashMap<K, Interest>, key: K, more: Interest) {
    match (interests.get_mut(&key), more) {
        (Some(known), Interest::All) => *known = Interest::All,
        (Some(Interest::Names(known)), Interest::Names(names)) => known.extend(names),
        (Some(Interest::All), Interest::Names(_)) => {}
        (None, more) => {
            interests.insert(key, more);
        }
    }
}

/// The directories to watch for one configured path.
fn plan(path: &Path, wanted: &mut BTreeMap<PathBuf, Interest>) {
    let mut links = LINKS;
    trail(path, wanted, &mut links);
    let listing = list(path);
    for directory in listing.directories {
        trail(&directory, wanted, &mut links);
        wanted.insert(directory, Interest::All);
        links = LINKS;
    }
    for file in listing.files.iter().chain(listing.unreadable.iter().map(|problem| &problem.path)) {
        if file.is_symlink() {
            links = LINKS;
            trail(file, wanted, &mut links);
        }
    }
}

/// Every directory that `path` is looked up in, with the names looked up there, links followed.
fn trail(path: &Path, wanted: &mut BTreeMap<PathBuf, Interest>, links: &mut usize) {
    let Ok(path) = std::path::absolute(path) else { return };
    let mut at = PathBuf::from("/");
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => {
                at.pop();
                continue;
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        if !at.is_dir() {
            return;
        }
        match wanted.entry(at.clone()).or_insert_with(|| Interest::Names(BTreeSet::new())) {
            Interest::All => {}
            Interest::Names(names) => {
                names.insert(name.to_owned());
            }
        }
        let next = at.join(name);
        match std::fs::read_link(&next) {
            Ok(target) if *links > 0 => {
                *links -= 1;
                let target = at.join(target);
                trail(&target, wanted, links);
                let Ok(real) = target.canonicalize() else { return };
                at = real;
            }
            _ => at = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Whether `change` is noticed.
    fn noticed(watcher: &mut Watcher, change: impl FnOnce()) -> bool {
        while watcher.readable(Some(Duration::from_millis(50))).unwrap() {
            watcher.batch().unwrap();
            watcher.look();
        }
        change();
        let mut matters = false;
        while !matters && watcher.readable(Some(Duration::from_secs(2))).unwrap() {
            matters = watcher.batch().unwrap();
        }
        watcher.look();
        matters
    }

    #[test]
    fn changes_of_every_kind_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut watcher = Watcher::new(vec![at("etc/policies"), at("etc/single.yaml")]).unwrap();
        assert!(noticed(&mut watcher, || fs::create_dir(at("etc")).unwrap()), "a parent appears");
        assert!(noticed(&mut watcher, || fs::create_dir(at("etc/policies")).unwrap()), "the path appears");
        assert!(
            noticed(&mut watcher, || fs::write(at("etc/single.yaml"), "a").unwrap()),
            "a file path appears"
        );
        assert!(noticed(&mut watcher, || fs::write(at("etc/policies/a.yaml"), "a").unwrap()), "a file");
        assert!(noticed(&mut watcher, || fs::write(at("etc/policies/a.yaml"), "b").unwrap()), "rewritten");
        assert!(noticed(&mut watcher, || fs::create_dir(at("etc/policies/sub")).unwrap()), "a directory");
        assert!(noticed(&mut watcher, || fs::write(at("etc/policies/sub/b.yaml"), "b").unwrap()), "in it");
        fs::write(at("new"), "c").unwrap();
        assert!(
            noticed(&mut watcher, || fs::rename(at("new"), at("etc/policies/a.yaml")).unwrap()),
            "replaced"
        );
        assert!(noticed(&mut watcher, || fs::remove_file(at("etc/policies/a.yaml")).unwrap()), "removed");
    }

    #[test]
    fn a_directory_that_is_swapped_behind_links_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // As Kubernetes mounts a ConfigMap.
        fs::create_dir_all(at("mount/..1")).unwrap();
        fs::create_dir_all(at("mount/..2")).unwrap();
        fs::write(at("mount/..1/a.yaml"), "1").unwrap();
        fs::write(at("mount/..2/a.yaml"), "2").unwrap();
        symlink("..1", at("mount/..data")).unwrap();
        symlink("..data/a.yaml", at("mount/a.yaml")).unwrap();
        symlink(at("mount"), at("policies")).unwrap();
        let mut watcher = Watcher::new(vec![at("policies")]).unwrap();
        symlink("..2", at("mount/..new")).unwrap();
        assert!(noticed(&mut watcher, || fs::rename(at("mount/..new"), at("mount/..data")).unwrap()));
        // A link to a file elsewhere.
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/b"), "1").unwrap();
        assert!(noticed(&mut watcher, || symlink(at("elsewhere/b"), at("mount/b.yaml")).unwrap()));
        assert!(noticed(&mut watcher, || fs::write(at("elsewhere/b"), "2").unwrap()));
    }

    #[test]
    fn neighbours_on_the_way_are_none_of_our_business() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("policies")).unwrap();
        let mut watcher = Watcher::new(vec![dir.path().join("policies")]).unwrap();
        fs::write(dir.path().join("other.yaml"), "x").unwrap();
        while watcher.readable(Some(Duration::from_millis(60))).unwrap() {
            assert!(!watcher.batch().unwrap());
        }
    }
}
