//! Programs at the sockets of a cgroup and all its descendants. As on devices, a link is made, pinned, and from then on only ever updated.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::birthplaces::Birthplaces;
use super::guard::{AtSockets, put_back};
use super::pins::Pins;
use super::programs::Programs;
use super::socket_hook::SocketHook;
use super::sys;
use crate::datapath::{Damage, DatapathError, Fault, Inspection};

/// One hook.
#[derive(Debug)]
struct Held {
    hook: SocketHook,
    link: OwnedFd,
    /// The number of its cgroup.
    cgroup: u64,
    /// When it was last seen to be as it should.
    whole: Instant,
}

/// The hooks at sockets, held open.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The cgroup they are on, with its number.
    root: Option<(PathBuf, u64)>,
    held: Vec<Held>,
    birthplaces: Birthplaces,
    /// Whether sockets were there before those hooks were that note where they are made.
    missed: bool,
}

fn create(programs: &Programs, root: &Path, hook: SocketHook) -> io::Result<OwnedFd> {
    let cgroup = File::open(root)?;
    let program = programs.socket_fd(hook).map_err(io::Error::other)?;
    sys::create_cgroup_link(program.as_fd(), cgroup.as_fd(), hook.attach_type())
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
    /// None yet.
    pub(super) const fn new(birthplaces: Birthplaces) -> Self {
        Self { root: None, held: Vec::new(), birthplaces, missed: false }
    }

    /// Hooks the sockets below `root`; somewhere else, they are taken off.
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
        for hook in SocketHook::ALL {
            if !self.is_whole(hook, id) {
                self.attach_one(pins, programs, root, id, hook).map_err(refused(root))?;
            }
        }
        self.root = Some((root.to_owned(), id));
        self.catch_up(programs);
        // Only now: a daemon that finds them pinned takes it that nothing was missed.
        for held in self.held.iter().filter(|held| held.hook.notes()) {
            let pin = pins.cgroup_link(held.hook);
            if !pin.exists() {
                sys::pin(&held.link, &pin).map_err(refused(root))?;
            }
        }
        Ok(())
    }

    /// Once the hooks are there: what was made before them.
    fn catch_up(&mut self, programs: &Programs) {
        if std::mem::take(&mut self.missed) {
            self.birthplaces.note_earlier(programs);
        }
    }

    /// Whether what is hooked is another cgroup.
    pub(super) fn is_elsewhere(&self, root: &Path) -> bool {
        let id = fs::metadata(root).map(|found| found.ino());
        self.root.as_ref().is_some_and(|(_, known)| id.is_ok_and(|id| id != *known))
    }

    /// The hooks there should be.
    pub(super) fn hooks(&self) -> impl Iterator<Item = AtSockets> {
        self.held.iter().map(|held| AtSockets { hook: held.hook, cgroup: held.cgroup })
    }

    fn is_whole(&self, hook: SocketHook, id: u64) -> bool {
        let info = self.held(hook).and_then(|held| sys::cgroup_link_info(held.link.as_fd()).ok());
        info.is_some_and(|info| info.cgroup == id)
    }

    fn attach_one(
        &mut self,
        pins: &Pins,
        programs: &Programs,
        root: &Path,
        id: u64,
        hook: SocketHook,
    ) -> io::Result<()> {
        let pin = pins.cgroup_link(hook);
        let program = programs.socket_fd(hook).map_err(io::Error::other)?;
        match sys::open_pin(&pin) {
            Ok(link) if sys::cgroup_link_info(link.as_fd())?.cgroup == id => {
                sys::update_link(link.as_fd(), program.as_fd())?;
                self.missed |= hook.notes();
                self.hold(hook, link, id);
                return Ok(());
            }
            // Elsewhere, or off.
            Ok(link) => remove(&pin, Some(link.as_fd())).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let link = create(programs, root, hook)?;
        if hook.notes() {
            self.missed = true;
        } else {
            sys::pin(&link, &pin)?;
        }
        self.hold(hook, link, id);
        Ok(())
    }

    fn held(&self, hook: SocketHook) -> Option<&Held> {
        self.held.iter().find(|held| held.hook == hook)
    }

    fn hold(&mut self, hook: SocketHook, link: OwnedFd, cgroup: u64) {
        self.held.retain(|held| held.hook != hook);
        self.held.push(Held { hook, link, cgroup, whole: Instant::now() });
    }

    /// Takes the programs off; whether there were any.
    pub(super) fn detach(&mut self, pins: &Pins) -> Result<bool, DatapathError> {
        let mut any = false;
        self.root = None;
        for held in std::mem::take(&mut self.held) {
            any = true;
            remove(&pins.cgroup_link(held.hook), Some(held.link.as_fd()))?;
        }
        for hook in SocketHook::ALL {
            let mut pinned = pins.cgroup_links_of_others(hook)?;
            pinned.extend(Some(pins.cgroup_link(hook)).filter(|pin| pin.exists()));
            any |= !pinned.is_empty();
            pinned.iter().try_for_each(|pin| remove(pin, None))?;
        }
        Ok(any)
    }

    /// Takes hold of the links that are pinned, and puts these programs into them.
    pub(super) fn upgrade(&mut self, pins: &Pins, programs: &Programs) -> Result<(), DatapathError> {
        for hook in SocketHook::ALL {
            let pin = pins.cgroup_link(hook);
            if pin.exists() {
                self.adopt(programs, hook, &pin)?;
            }
        }
        Ok(())
    }

    fn adopt(&mut self, programs: &Programs, hook: SocketHook, pin: &Path) -> Result<(), DatapathError> {
        let failed =
            |error| DatapathError::caused(format_args!("cannot take hold of `{}`", pin.display()), error);
        let link = sys::open_pin(pin).map_err(failed)?;
        let cgroup = sys::cgroup_link_info(link.as_fd()).map_err(failed)?.cgroup;
        if cgroup == 0 {
            return remove(pin, Some(link.as_fd()));
        }
        let program = programs.socket_fd(hook)?;
        sys::update_link(link.as_fd(), program.as_fd()).map_err(failed)?;
        self.hold(hook, link, cgroup);
        Ok(())
    }

    /// Takes over the links of other layouts, and those of this one that run earlier programs.
    pub(super) fn take_over(&mut self, pins: &Pins, programs: &Programs) -> Result<(), DatapathError> {
        for hook in SocketHook::ALL {
            let ours = pins.cgroup_link(hook);
            if ours.exists() && self.held(hook).is_none() {
                self.adopt(programs, hook, &ours)?;
                // It noted into other maps until now.
                self.missed |= hook.notes();
            }
            for theirs in pins.cgroup_links_of_others(hook)? {
                if self.held(hook).is_some() || !is_live(&theirs) || !programs.has_sockets() {
                    // Attached by us too, or off: one too many.
                    remove(&theirs, None)?;
                    continue;
                }
                let failed = |error| {
                    DatapathError::caused(format_args!("cannot take over `{}`", theirs.display()), error)
                };
                self.adopt(programs, hook, &theirs)?;
                self.missed |= hook.notes();
                if let Some(held) = self.held(hook) {
                    put_back(&ours, held.link.as_fd()).map_err(failed)?;
                    fs::remove_file(&theirs).map_err(failed)?;
                }
            }
        }
        // Hooks that an earlier release didn't have are attached, and what they missed is caught up with, once the generation is in force.
        if !self.held.is_empty() {
            self.catch_up(programs);
        }
        Ok(())
    }

    /// Pins there should be, with what is pinned there.
    pub(super) fn pins<'a>(&'a self, pins: &'a Pins) -> impl Iterator<Item = (PathBuf, BorrowedFd<'a>)> {
        self.held.iter().map(|held| (pins.cgroup_link(held.hook), held.link.as_fd()))
    }

    /// Looks at each hook, and puts right what isn't as it should be.
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
                Some(Damage::ProgramReplaced) => programs.socket_fd(held.hook).and_then(|program| {
                    self.missed |= held.hook.notes();
                    sys::update_link(held.link.as_fd(), program.as_fd()).map_err(refused(&root))
                }),
                Some(_) => create(programs, &root, held.hook)
                    .and_then(|link| {
                        put_back(&pins.cgroup_link(held.hook), link.as_fd())?;
                        held.link = link;
                        self.missed |= held.hook.notes();
                        Ok(())
                    })
                    .map_err(refused(&root)),
            };
            let (gap, unrepaired) = (held.whole.elapsed(), repaired.err().map(|error| error.to_string()));
            if unrepaired.is_none() {
                held.whole = began;
            }
            let place = held.hook.place();
            found.faults.extend(damage.map(|damage| Fault { damage, place, entries: 1, gap, unrepaired }));
        }
        self.catch_up(programs);
    }
}

/// What is wrong with a hook.
fn seen(held: &Held, programs: &Programs) -> Result<Option<Damage>, DatapathError> {
    let ours = programs.socket_id(held.hook)?;
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
