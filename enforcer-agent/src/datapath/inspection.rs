//! What a look at the packet path found: what others did to it, and what was put right.

use std::time::Duration;

use enforcer_common::maps::Direction;

use super::DatapathError;

/// What was done to the packet path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Damage {
    /// A hook was taken off its device.
    HookRemoved,
    /// Another program stood in a hook.
    ProgramReplaced,
    /// A pin was gone, or another object stood under its name.
    PinRemoved,
    /// A map held what was never written to it.
    TableChanged,
    /// Another generation, or none, was in force.
    GenerationSwitched,
}

impl Damage {
    /// One stable word, as records have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HookRemoved => "hook-removed",
            Self::ProgramReplaced => "program-replaced",
            Self::PinRemoved => "pin-removed",
            Self::TableChanged => "table-changed",
            Self::GenerationSwitched => "generation-switched",
        }
    }
}

/// Where it was done.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A device's hook in one direction.
    Hook {
        /// Interface index.
        ifindex: u32,
        /// As the workload sees it.
        direction: Direction,
    },
    /// The hooks at sockets in one direction.
    Sockets {
        /// As the workload sees it.
        direction: Direction,
    },
    /// A hook that notes where sockets are made, by its name.
    Birthplaces(&'static str),
    /// A map, by its name.
    Table(&'static str),
    /// A pin, by its path.
    Pin(String),
}

/// One thing that wasn't as it was left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub damage: Damage,
    /// Where.
    pub place: Place,
    /// Entries it is about, of a map; otherwise 1.
    pub entries: u64,
    /// For how long at most: from the last look that found it whole until it was put right.
    pub gap: Duration,
    /// Why it couldn't be put right, where it couldn't.
    pub unrepaired: Option<String>,
}

/// A hook that packets may not get to.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Unreachable {
    /// Interface index.
    pub ifindex: u32,
    /// As the workload sees it.
    pub direction: Direction,
    /// What runs first: a program's name, or the kind of a tc filter. Chosen by others: escape it where it is shown.
    pub ahead: String,
    /// The program's id; `None` for a filter that isn't one.
    pub program: Option<u32>,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What wasn't as it was left. Unless a fault says otherwise it is again.
    pub faults: Vec<Fault>,
    /// Hooks behind something that can end the chain before them; all of them, each time.
    pub unreachable: Vec<Unreachable>,
    /// What couldn't be looked at.
    pub errors: Vec<DatapathError>,
}
