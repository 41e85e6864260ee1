//! Extensions (`freplace`): programs that others put in place of a function of ours, which stays where it is and looks as it did.
//!
//! They can't be taken off from here, and those who put one there could put it there again: it is told, and the next start of the
//! daemon loads programs without it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Instant;

use super::super::attach::BOTH;
use super::super::pins::Pins;
use super::super::programs::{self, Programs};
use super::super::query::{self, Extension};
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place};

/// What is known of the links in this kernel.
#[derive(Debug)]
pub(super) struct Extensions {
    /// Links up to this id have been looked at: ids rise.
    looked_at: u32,
    /// Extensions by their links, with when there was none yet.
    known: BTreeMap<u32, (Extension, Instant)>,
    whole: Instant,
}

impl Extensions {
    pub(super) fn new() -> Self {
        Self { looked_at: 0, known: BTreeMap::new(), whole: Instant::now() }
    }

    /// Tells every extension of these programs.
    pub(super) fn look(&mut self, pins: &Pins, programs: &Programs, found: &mut Inspection) {
        match self.faults(pins, programs) {
            Ok(faults) => found.faults.extend(faults),
            Err(error) => found.errors.push(error),
        }
    }

    fn faults(&mut self, pins: &Pins, programs: &Programs) -> Result<Vec<Fault>, DatapathError> {
        let unseen = |error| DatapathError::caused("cannot look at the links in this kernel", error);
        let began = Instant::now();
        self.known.retain(|link, (known, _)| query::extension(*link).is_ok_and(|now| now == Some(*known)));
        while let Some(link) = query::next_link(self.looked_at).map_err(unseen)? {
            self.looked_at = link;
            // One that goes while it is looked at changes nothing any more.
            if let Ok(Some(extension)) = query::extension(link) {
                self.known.insert(link, (extension, self.whole));
            }
        }
        self.whole = began;
        let mut faults = Vec::new();
        for direction in BOTH {
            let ours = programs.id(direction)?;
            for (extension, since) in self.known.values().filter(|(known, _)| known.target == ours) {
                let program = query::program(extension.program);
                let name = program.and_then(|program| query::name(program.as_fd())).unwrap_or_default();
                faults.push(Fault {
                    damage: Damage::ProgramReplaced,
                    place: Place::Pin(pins.program(programs::name(direction)).display().to_string()),
                    entries: 1,
                    gap: since.elapsed(),
                    unrepaired: Some(format!(
                        "the extension `{}` (program {}) runs in place of a part of it",
                        name.escape_debug(),
                        extension.program
                    )),
                });
            }
        }
        Ok(faults)
    }
}
