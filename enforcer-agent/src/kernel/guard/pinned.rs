//! The pins: without them, what is enforced would end with the daemon. What is pinned is held open, so a pin that was
//! removed takes nothing with it and is put back.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::pins::Pins;
use super::super::programs::Programs;
use super::super::sockets::Sockets;
use super::super::{bpffs, sys};
use super::hooks::Hooks;
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place};

/// What is pinned, and under which numbers its files were seen.
#[derive(Debug)]
pub(in super::super) struct Pinned {
    maps: Vec<(String, OwnedFd)>,
    /// Inode numbers by path; one that isn't known yet is learnt at the next look.
    seen: HashMap<PathBuf, u64>,
    whole: Instant,
}

impl Pinned {
    /// Takes hold of the maps of these names by their pins.
    pub(in super::super) fn of(pins: &Pins, maps: Vec<String>) -> Result<Self, DatapathError> {
        let open = |name: String| match sys::open_pin(&pins.map(&name)) {
            Ok(map) => Ok((name, map)),
            Err(error) => {
                Err(DatapathError::caused(format_args!("cannot open the pin of the map `{name}`"), error))
            }
        };
        let maps = maps.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { maps, seen: HashMap::new(), whole: Instant::now() })
    }

    /// Our own hand may have changed the pins of links.
    pub(in super::super) fn forget_links(&mut self, pins: &Pins) {
        let [_, _, links] = pins.dirs();
        self.seen.retain(|path, _| !path.starts_with(&links));
    }

    /// Looks at every pin, and puts back what isn't there.
    pub(super) fn look(
        &mut self,
        pins: &mut Pins,
        hooks: &Hooks,
        sockets: &Sockets,
        programs: &Programs,
        found: &mut Inspection,
    ) {
        let began = Instant::now();
        let mut faults = Vec::new();
        if let Err(error) = self.look_at_root(pins, &mut faults) {
            found.errors.push(error);
        }
        if let Err(error) = self.look_at_all(pins, hooks, sockets, programs, &mut faults) {
            found.errors.push(error);
        }
        if faults.iter().all(|fault| fault.unrepaired.is_none()) {
            self.whole = began;
        }
        found.faults.append(&mut faults);
    }

    /// The directory itself: what holds the lock has to be what stands there.
    fn look_at_root(&mut self, pins: &mut Pins, faults: &mut Vec<Fault>) -> Result<(), DatapathError> {
        if pins.is_in_place() {
            return Ok(());
        }
        let path = pins.root().to_owned();
        let put = pins.put_in_place();
        self.seen.clear();
        faults.push(self.fault(&path, put.as_ref().err().map(ToString::to_string)));
        put
    }

    fn look_at_all(
        &mut self,
        pins: &Pins,
        hooks: &Hooks,
        sockets: &Sockets,
        programs: &Programs,
        faults: &mut Vec<Fault>,
    ) -> Result<(), DatapathError> {
        let mut there = HashMap::new();
        for dir in pins.dirs() {
            numbers(&dir, &mut there).map_err(|error| {
                DatapathError::caused(format_args!("cannot look at `{}`", dir.display()), error)
            })?;
        }
        let mut wanted: Vec<(PathBuf, Option<BorrowedFd<'_>>)> = Vec::new();
        wanted.extend(self.maps.iter().map(|(name, map)| (pins.map(name), Some(map.as_fd()))));
        wanted.extend(
            hooks.pins().map(|(pin, link)| (pins.link(pin.ifindex, pin.direction, pin.kind).path, link)),
        );
        wanted.extend(sockets.pins(pins).map(|(pin, link)| (pin, Some(link))));
        let loaded = programs.all()?;
        wanted.extend(loaded.iter().map(|(name, fd)| (pins.program(name), Some(fd.as_fd()))));
        let mut put = Vec::new();
        for (path, object) in wanted {
            match (there.get(&path), self.seen.get(&path)) {
                (Some(number), Some(known)) if number == known => {}
                (Some(number), None) => put.push((path, Some(*number), None)),
                _ => {
                    let repaired = match object {
                        Some(object) => put_back(&path, object),
                        None => bpffs::make_dir(&path).map_err(io::Error::other),
                    };
                    put.push((path, None, Some(repaired.err().map(|error| error.to_string()))));
                }
            }
        }
        for (path, number, repaired) in put {
            match number {
                Some(number) => drop(self.seen.insert(path.clone(), number)),
                None => drop(self.seen.remove(&path)),
            }
            faults.extend(repaired.map(|unrepaired| self.fault(&path, unrepaired)));
        }
        Ok(())
    }

    fn fault(&self, path: &Path, unrepaired: Option<String>) -> Fault {
        Fault {
            damage: Damage::PinRemoved,
            place: Place::Pin(path.display().to_string()),
            entries: 1,
            gap: self.whole.elapsed(),
            unrepaired,
        }
    }
}

/// Paths of a directory with their inode numbers, without looking at each.
fn numbers(dir: &Path, into: &mut HashMap<PathBuf, u64>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        into.insert(entry.path(), entry.ino());
    }
    Ok(())
}

/// Pins an object in place of whatever stands there.
pub(in super::super) fn put_back(path: &Path, object: BorrowedFd<'_>) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        bpffs::make_dir(dir).map_err(io::Error::other)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sys::pin(object, path)
}
