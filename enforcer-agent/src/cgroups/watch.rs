//! Which cgroups there are, and word of those that come and go, as the kernel reports them.

use super::root::Root;
use anyhow::{Context, Result};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tracing::{debug, warn};

/// A cgroup that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there, with this number, at this path below the mount.
    Came { id: u64, path: String },
    /// It has gone.
    Gone { id: u64 },
}

/// The cgroups below a root, watched.
pub(crate) struct Hierarchy {
    root: Root,
    inotify: Inotify,
    watches: Watches,
    /// The watched directories.
    watched: HashMap<WatchDescriptor, PathBuf>,
    known: BTreeMap<PathBuf, u64>,
    /// Somebody is to be told that not all directories can be watched.
    unwatched: bool,
}

impl Hierarchy {
    /// Watches everything below `root`. [`Hierarchy::all`] tells what there is.
    pub(crate) fn open(root: Root) -> Result<Self> {
        let inotify = Inotify::init().context("could not watch cgroups")?;
        let watches = inotify.watches();
        let (watched, known) = (HashMap::new(), BTreeMap::new());
        let mut hierarchy = Self { root, inotify, watches, watched, known, unwatched: false };
        let dir = hierarchy.root.dir.clone();
        hierarchy.enter(&dir, &mut Vec::new());
        Ok(hierarchy)
    }

    /// Every cgroup there is: number and path.
    pub(crate) fn all(&self) -> Vec<(u64, String)> {
        let told = |(dir, id): (&PathBuf, &u64)| Some((*id, self.root.path_of(dir)?));
        self.known.iter().filter_map(told).collect()
    }

    /// Waits until cgroups come or go.
    pub(crate) fn changed(&mut self) -> Result<Vec<Change>> {
        loop {
            let mut waits = [PollFd::new(&self.inotify, PollFlags::IN)];
            match poll(&mut waits, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("could not wait for cgroups"),
            }
            let changes = self.batch()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    fn batch(&mut self) -> Result<Vec<Change>> {
        let mut buffer = [0; 64 * 1024];
        let events = match self.inotify.read_events(&mut buffer) {
            Ok(events) => events,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(error) => return Err(error).context("could not read which cgroups came and went"),
        };
        let mut changes = Vec::new();
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                // Some were lost: look at everything.
                self.look_again(&mut changes);
                continue;
            }
            if event.mask.contains(EventMask::IGNORED) {
                self.watched.remove(&event.wd);
                continue;
            }
            let Some(dir) = self.watched.get(&event.wd) else { continue };
            let Some(name) = event.name else { continue };
            let path = dir.join(name);
            if event.mask.contains(EventMask::CREATE) {
                self.enter(&path, &mut changes);
            } else if event.mask.intersects(EventMask::DELETE) {
                self.leave(&path, &mut changes);
            }
        }
        Ok(changes)
    }

    /// Takes note of a cgroup and of all below it. Watched first, then read, so that nothing slips between.
    fn enter(&mut self, dir: &Path, changes: &mut Vec<Change>) {
        let Ok(found) = fs::symlink_metadata(dir) else { return };
        if !found.is_dir() {
            return;
        }
        let id = found.ino();
        match self.known.insert(dir.to_owned(), id) {
            Some(before) if before == id => {}
            before => {
                changes.extend(before.map(|id| Change::Gone { id }));
                changes.extend(self.root.path_of(dir).map(|path| Change::Came { id, path }));
            }
        }
        let mask = WatchMask::CREATE | WatchMask::DELETE | WatchMask::ONLYDIR;
        match self.watches.add(dir, mask) {
            Ok(descriptor) => drop(self.watched.insert(descriptor, dir.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                if !std::mem::replace(&mut self.unwatched, true) {
                    warn!(%error, "cannot watch every cgroup: what appears in some of them stays unknown, and denied where workloads are looked for");
                }
            }
        }
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.enter(&entry.path(), changes);
            }
        }
    }

    fn leave(&mut self, dir: &Path, changes: &mut Vec<Change>) {
        // One that was made anew meanwhile has been taken note of.
        if fs::symlink_metadata(dir).is_ok_and(|found| self.known.get(dir) == Some(&found.ino())) {
            return;
        }
        changes.extend(self.known.remove(dir).map(|id| Change::Gone { id }));
    }

    fn look_again(&mut self, changes: &mut Vec<Change>) {
        debug!("looking at all cgroups anew");
        let gone: Vec<PathBuf> = self.known.keys().filter(|dir| !dir.exists()).cloned().collect();
        for dir in gone {
            self.leave(&dir, changes);
        }
        let dir = self.root.dir.clone();
        self.enter(&dir, changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watching is the same on any file system.
    #[test]
    fn what_comes_and_goes_is_told_with_all_below_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let root = Root { dir: dir.path().to_owned(), path: "/".to_owned() };
        let mut hierarchy = Hierarchy::open(root).unwrap();
        let paths: Vec<String> = hierarchy.all().into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["/", "/a"]);
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        let mut came = Vec::new();
        while came.len() < 2 {
            came.extend(hierarchy.changed().unwrap());
        }
        let told: Vec<&str> = came
            .iter()
            .map(|change| match change {
                Change::Came { path, .. } => path.as_str(),
                Change::Gone { .. } => "gone",
            })
            .collect();
        assert_eq!(told, ["/a/b", "/a/b/c"]);
        fs::remove_dir(dir.path().join("a/b/c")).unwrap();
        let Change::Came { id, .. } = &came[1] else { panic!("{came:?}") };
        assert_eq!(hierarchy.changed().unwrap(), [Change::Gone { id: *id }]);
    }
}
