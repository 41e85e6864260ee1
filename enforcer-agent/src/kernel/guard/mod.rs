//! Watches over what others can take from under a running daemon: hooks, pins, and what stands in the maps.
//!
//! Only what this daemon made is touched. Others' programs, filters and qdiscs stay as they are, also where they keep
//! packets from getting here: that is told instead.

mod at_sockets;
mod contents;
mod ending;
mod extensions;
pub(super) mod hooks;
pub(super) mod left;
mod pinned;

pub(super) use at_sockets::AtSockets;
pub(super) use ending::{NEXT, XDP_PASS, always_continues};

use contents::Contents;
use extensions::Extensions;
use hooks::Hooks;
use left::Left;
use pinned::Pinned;
pub(super) use pinned::put_back;

use super::Kernel;
use super::pins::Pins;
use super::sockets::Sockets;
use crate::datapath::{DatapathError, Fault, Inspection};

/// What is known of how everything was left.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) hooks: Hooks,
    pub(super) sockets: Sockets,
    pub(super) contents: Contents,
    pinned: Pinned,
    extensions: Extensions,
    pub(super) left: Left,
    /// Found while something else was done.
    pub(super) pending: Vec<Fault>,
}

impl Guard {
    /// Over these hooks, and the maps of these names. What was found already is told at the first look.
    pub(super) fn new(
        hooks: Hooks,
        sockets: Sockets,
        pins: &Pins,
        maps: Vec<String>,
        pending: Vec<Fault>,
    ) -> Result<Self, DatapathError> {
        let pinned = Pinned::of(pins, maps)?;
        let (contents, extensions) = (Contents::new(), Extensions::new());
        Ok(Self { hooks, sockets, contents, pinned, extensions, left: Left::new(), pending })
    }

    /// Our own hand made or took away hooks.
    pub(super) fn hooks_changed(&mut self, pins: &Pins) {
        self.pinned.forget_links(pins);
    }
}

/// Looks at everything once.
pub(super) fn inspect(kernel: &mut Kernel) -> Inspection {
    let Kernel { guard, pins, programs, tables, banks, behind, failsafe, .. } = kernel;
    let mut found = Inspection { faults: std::mem::take(&mut guard.pending), ..Inspection::default() };
    guard.hooks.look(pins, programs, &mut found);
    guard.sockets.look(pins, programs, &mut found);
    if !found.faults.is_empty() {
        guard.pinned.forget_links(pins);
    }
    guard.pinned.look(pins, &guard.hooks, &guard.sockets, programs, &mut found);
    guard.extensions.look(pins, programs, &mut found);
    let (_, hooked) = guard.hooks.devices();
    guard.contents.look(tables, banks, &hooked, &mut found);
    if failsafe.look(tables, &mut found) {
        guard.contents.written(tables, false);
    }
    let generation = guard.contents.control().and_then(|control| {
        let record = banks.0[control.bank() as usize].as_ref();
        record.map(|record| (control, record))
    });
    let whole = found.faults.iter().all(|fault| fault.unrepaired.is_none());
    // Hooks that weren't taken hold of yet are still what there has to be.
    if !*behind && let Err(error) = guard.left.looked(pins, (&guard.hooks, &guard.sockets), generation, whole)
    {
        found.errors.push(error);
    }
    found
}
