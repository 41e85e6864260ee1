//! What the engine tells for one page of metrics: numbers, and the names that go with them. Everything else is made of them elsewhere.

use crate::datapath::{Epoch, Usage};
use enforcer_common::maps::{EventCounter, ReasonCounter, RuleCounter};
use jiff::Timestamp;

/// How things stood at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// In force; 0 for none.
    pub epoch: Epoch,
    /// Sets put in force so far.
    pub generation: u64,
    /// When the one in force was.
    pub since: Option<Timestamp>,
    /// Whether the live set isn't in force, or packets may get around it.
    pub degraded: bool,
    /// Documents in force, by kind.
    pub documents: Vec<(&'static str, usize)>,
    /// Rules in force.
    pub rules_in_force: usize,
    /// By [`enforcer_common::maps::Tally::slot`]; empty where it couldn't be read.
    pub verdicts: Vec<ReasonCounter>,
    /// Rules that have decided something.
    pub rules: Vec<(String, RuleCounter)>,
    /// What became of records in the kernel.
    pub events: Option<EventCounter>,
    /// How full the tables are.
    pub usage: Vec<Usage>,
    /// Every hook there should be, and those that are there for nobody. Those of sockets only where somebody is known by a cgroup.
    pub hooks: Vec<HookState>,
    /// What was tampered with and could not be put right.
    pub unrepaired: usize,
}

/// One direction of one device, or of all sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// Where.
    pub at: HookedAt,
    /// `egress` or `ingress`.
    pub direction: &'static str,
    /// How it is attached, if it is: `tcx`, `clsact` or `cgroup`.
    pub hook: Option<&'static str>,
    /// Whether it is, as far as the last look found: others may have taken it off, and it couldn't be put back.
    pub attached: bool,
    /// Whether nothing before it may end the chain.
    pub reachable: bool,
}

/// What a hook is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookedAt {
    /// A device.
    Device {
        /// Its name.
        interface: String,
        /// Whose it is; nobody's for one that is about to be let go.
        workload: Option<String>,
    },
    /// The sockets below a cgroup.
    Sockets {
        /// Its path; unknown where no hierarchy was found.
        cgroup: Option<String>,
    },
}
