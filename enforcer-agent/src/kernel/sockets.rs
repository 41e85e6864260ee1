//! Programs at the sockets of a cgroup and all its descendants. As on devices, a link is made, pinned, and from then on only ever updated.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use enforcer_common::maps::Direction;

use super::attach::BOTH;
use super::guard::{AtSockets, put_back};
use super::pins::Pins;
use super::programs::Programs;
use super::sys;
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place};

/// One direction.
#[derive(Debug)]
struct Held {
    direction: Direction,
    link: OwnedFd,
    /// The number of its cgroup.
    cgroup: u64,
    /// When it was last seen to be as it should.
    whole: Instant,
}

/// The hooks at sockets, held open.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// The cgroup they are on, with its number.
    root: Option<(PathBuf, u64)>,
    held: Vec<Held>,
}

const fn side(direction: Direction) -> sys::Sockets {
    match direction {
        Direction::Egress => sys::Sockets::Egress,
        Direction::Ingress => sys::Sockets::Ingress,
    }
}

fn create(programs: &Programs, root: &Path, direction: Direction) -> io::Result<OwnedFd> {
    let cgroup = File::open(root)?;
    let program = programs.socket_fd(direction).map_err(io::Error::other)?;
    sys::create_cgroup_link(program.as_fd(), cgroup.as_fd(), side(direction))
}

fn refused(root: &Path) -> impl Fn(io::Error) -> DatapathError {
    move |error| {
        let error = DatapathError::caused(
            format_args!("cannot attach to the sockets below `{}`", root.display()),
            error,
        );
        error.with_help("`cgroupRoot` has to be a directory of a cgroup v2 hierarchy")
    }
}

impl Sockets {
    /// Hooks both directions of the sockets below `root`; somewhere else, they are taken off.
    pub(super) fn attach(
        &mut self,
        pins: &Pins,
        programs: &Programs,
        root: &Path,
    ) -> Result<(), DatapathError> {
        let id = fs::metadata(root).map_err(refused(root))?.ino();
        if self.is_elsewhere(root) {
            self.detach(pins)?;
        }
        for direction in BOTH {
            if !self.is_whole(direction, id) {
                self.attach_one(pins, programs, root, id, direction).map_err(refused(root))?;
            }
        }
        self.root = Some((root.to_owned(), id));
        Ok(())
    }

    /// Whether what is hooked is another cgroup.
    pub(super) fn is_elsewhere(&self, root: &Path) -> bool {
        let id = fs::metadata(root).map(|found| found.ino());
        self.root.as_ref().is_some_and(|(_, known)| id.is_ok_and(|id| id != *known))
    }

    /// The hooks there should be.
    pub(super) fn hooks(&self) -> impl Iterator<Item = AtSockets> {
        self.held.iter().map(|held| AtSockets { direction: held.direction, cgroup: held.cgroup })
    }

    fn is_whole(&self, direction: Direction, id: u64) -> bool {
        let info = self.held(direction).and_then(|held| sys::cgroup_link_info(held.link.as_fd()).ok());
        info.is_some_and(|info| info.cgroup == id)
    }

    fn attach_one(
        &mut self,
        pins: &Pins,
        programs: &Programs,
        root: &Path,
        id: u64,
        direction: Direction,
    ) -> io::Result<()> {
        let pin = pins.cgroup_link(direction);
        let program = programs.socket_fd(direction).map_err(io::Error::other)?;
        match sys::open_pin(&pin) {
            Ok(link) if sys::cgroup_link_info(link.as_fd())?.cgroup == id => {
                sys::update_link(link.as_fd(), program.as_fd())?;
                self.hold(direction, link, id);
                return Ok(());
            }
            // Elsewhere, or off.
            Ok(link) => remove(&pin, Some(link.as_fd())).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let link = create(programs, root, direction)?;
        sys::pin(&link, &pin)?;
        self.hold(direction, link, id);
        Ok(())
    }

    fn held(&self, direction: Direction) -> Option<&Held> {
        self.held.iter().find(|held| held.direction == direction)
    }

    fn hold(&mut self, direction: Direction, link: OwnedFd, cgroup: u64) {
        self.held.retain(|held| held.direction != direction);
        self.held.push(Held { direction, link, cgroup, whole: Instant::now() });
    }

    /// Takes the programs off; whether there were any.
    pub(super) fn detach(&mut self, pins: &Pins) -> Result<bool, DatapathError> {
        let mut any = false;
        self.root = None;
        for held in std::mem::take(&mut self.held) {
            any = true;
            remove(&pins.cgroup_link(held.direction), Some(held.link.as_fd()))?;
        }
        for direction in BOTH {
            let mut pinned = pins.cgroup_links_of_others(direction)?;
            pinned.extend(Some(pins.cgroup_link(direction)).filter(|pin| pin.exists()));
            any |= !pinned.is_empty();
            pinned.iter().try_for_each(|pin| remove(pin, None))?;
        }
        Ok(any)
    }

    /// Takes hold of the links that are pinned, and puts these programs into them.
    pub(super) fn upgrade(&mut self, pins: &Pins, programs: &Programs) -> Result<(), DatapathError> {
        for direction in BOTH {
            let pin = pins.cgroup_link(direction);
            if pin.exists() {
                self.adopt(programs, direction, &pin)?;
            }
        }
        Ok(())
    }

    fn adopt(&mut self, programs: &Programs, direction: Direction, pin: &Path) -> Result<(), DatapathError> {
        let failed =
            |error| DatapathError::caused(format_args!("cannot take hold of `{}`", pin.display()), error);
        let link = sys::open_pin(pin).map_err(failed)?;
        let cgroup = sys::cgroup_link_info(link.as_fd()).map_err(failed)?.cgroup;
        if cgroup == 0 {
            return remove(pin, Some(link.as_fd()));
        }
        let program = programs.socket_fd(direction)?;
        sys::update_link(link.as_fd(), program.as_fd()).map_err(failed)?;
        self.hold(direction, link, cgroup);
        Ok(())
    }

    /// Takes over the links of other layouts, and those of this one that run earlier programs.
    pub(super) fn take_over(&mut self, pins: &Pins, programs: &Programs) -> Result<(), DatapathError> {
        for direction in BOTH {
            let ours = pins.cgroup_link(direction);
            if ours.exists() && self.held(direction).is_none() {
                self.adopt(programs, direction, &ours)?;
            }
            for theirs in pins.cgroup_links_of_others(direction)? {
                if self.held(direction).is_some() || !is_live(&theirs) || !programs.has_sockets() {
                    // Attached by us too, or off: one too many.
                    remove(&theirs, None)?;
                    continue;
                }
                let failed = |error| {
                    DatapathError::caused(format_args!("cannot take over `{}`", theirs.display()), error)
                };
                self.adopt(programs, direction, &theirs)?;
                if let Some(held) = self.held(direction) {
                    put_back(&ours, held.link.as_fd()).map_err(failed)?;
                    fs::remove_file(&theirs).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Pins there should be, with what is pinned there.
    pub(super) fn pins<'a>(&'a self, pins: &'a Pins) -> impl Iterator<Item = (PathBuf, BorrowedFd<'a>)> {
        self.held.iter().map(|held| (pins.cgroup_link(held.direction), held.link.as_fd()))
    }

    /// Looks at both hooks, and puts right what isn't as it should be.
    pub(super) fn look(&mut self, pins: &Pins, programs: &Programs, found: &mut Inspection) {
        let Some((root, _)) = self.root.clone() else { return };
        for held in &mut self.held {
            let began = Instant::now();
            let damage = match seen(held, programs) {
                Ok(damage) => damage,
                Err(error) => {
                    found.errors.push(error);
                    continue;
                }
            };
            let repaired = match damage {
                None => Ok(()),
                Some(Damage::ProgramReplaced) => programs.socket_fd(held.direction).and_then(|program| {
                    sys::update_link(held.link.as_fd(), program.as_fd()).map_err(refused(&root))
                }),
                Some(_) => create(programs, &root, held.direction)
                    .and_then(|link| {
                        put_back(&pins.cgroup_link(held.direction), link.as_fd())?;
                        held.link = link;
                        Ok(())
                    })
                    .map_err(refused(&root)),
            };
            let (gap, unrepaired) = (held.whole.elapsed(), repaired.err().map(|error| error.to_string()));
            if unrepaired.is_none() {
                held.whole = began;
            }
            let place = Place::Sockets { direction: held.direction };
            found.faults.extend(damage.map(|damage| Fault { damage, place, entries: 1, gap, unrepaired }));
        }
    }
}

/// What is wrong with a hook.
fn seen(held: &Held, programs: &Programs) -> Result<Option<Damage>, DatapathError> {
    let ours = programs.socket_id(held.direction)?;
    let info = sys::cgroup_link_info(held.link.as_fd())
        .map_err(|error| DatapathError::caused("cannot look at the hooks of sockets", error))?;
    Ok(match info {
        info if info.cgroup == 0 => Some(Damage::HookRemoved),
        info if info.program != ours => Some(Damage::ProgramReplaced),
        _ => None,
    })
}

/// Whether a pinned link is on a cgroup.
pub(super) fn is_live(pin: &Path) -> bool {
    let info = || sys::cgroup_link_info(sys::open_pin(pin).ok()?.as_fd()).ok();
    info().is_some_and(|info| info.cgroup != 0)
}

/// Takes a link off its cgroup and forgets it. Neither it nor its pin nor the cgroup need be there.
pub(super) fn remove(pin: &Path, held: Option<BorrowedFd<'_>>) -> Result<(), DatapathError> {
    match sys::detach_pinned(pin, held) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::caused(format_args!("cannot detach `{}`", pin.display()), error))
        }
        _ => Ok(()),
    }
}
