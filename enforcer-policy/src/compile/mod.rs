//! The compiler: a policy set becomes the tables that the kernel looks verdicts up in.
//!
//! 1. The distinct selector lists of all rules are the *sides* (`sides`).
//! 2. Each endpoint (a workload's address, a host address, a region of addresses) has a *signature*: which sides match
//!    it (`labels`, `regions`, `cells`).
//! 3. Signatures become *classes*, narrow and broad (`classes`).
//! 4. Rules with the same two sides are a *link*; for each pair of classes, the links that meet there make a row (`rows`).
//! 5. The rules of a row become break points and decisions, each stored once (`ports`, `answers`).
//!
//! A rule's [`enforcer_common::Answer`] holds, as `order`, the rule's rank in its tier (denies first, then reading order),
//! so that comparing answers is the language's order whatever numbers the rules have.

mod answers;
mod assemble;
mod build;
mod cells;
mod classes;
mod error;
mod image;
mod incremental;
mod labels;
mod lists;
mod names;
mod numbers;
pub(crate) mod ports;
mod quarantine;
mod regions;
mod rows;
mod sides;
mod survey;

use crate::model::{PolicySet, SegmentMode, Workload, WorkloadMatch};
use answers::Answers;
use cells::{Base, Cells};
use classes::Classes;
use enforcer_common::maps::Endpoint;
use jiff::Timestamp;
use rows::Links;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use build::{compile, compile_with_breadth};
pub use error::CompileError;
pub use image::{Delta, HostPlan, Image, SubjectPlan};
pub use names::{IdentityInfo, IdentityKind, RuleInfo};
pub use numbers::Numbers;
pub use quarantine::{Except, ExceptError, Quarantine};
pub(crate) use regions::is_multicast_block;
pub(crate) use survey::{Effect, Places, Standing};

/// The present instant on both clocks: expiries are written as wall time and kept as boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Wall time.
    pub now: Timestamp,
    /// Boot-time clock at the same instant, nanoseconds.
    pub boot_ns: u64,
}

impl Clock {
    /// An instant yet to come, on the boot-time clock; `u64::MAX` past its end.
    fn boot_of(self, instant: Timestamp) -> u64 {
        let left = instant.as_nanosecond() - self.now.as_nanosecond();
        u64::try_from(left).unwrap_or(u64::MAX).saturating_add(self.boot_ns)
    }
}

/// What is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The documents.
    pub set: &'a PolicySet,
    /// The machine's own addresses.
    pub host: &'a [IpAddr],
    /// Mode of workloads that no Segment selects.
    pub default_mode: SegmentMode,
    /// The present instant. Policies that have expired by it are left out.
    pub clock: Clock,
}

/// A compiled policy set: the kernel's tables, what their numbers stand for, and what it takes to change a workload in place.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The tables.
    pub image: Image,
    /// Workloads with a hook, in reading order.
    pub subjects: Vec<SubjectPlan>,
    /// The machine itself.
    pub host: HostPlan,
    /// Rules that haven't expired, in reading order.
    pub rules: Vec<RuleInfo>,
    /// Identities, by number; shared with whoever remembers them for longer.
    pub identities: BTreeMap<u32, Arc<IdentityInfo>>,
    rule_index: FxHashMap<u32, u32>,
    state: State,
}

/// What a change in place starts from.
#[derive(Clone, Debug)]
struct State {
    cells: Cells,
    classes: Classes,
    links: Links,
    answers: Answers,
    default_mode: SegmentMode,
    host_identity: u32,
    host: Vec<IpAddr>,
    workloads: HashMap<String, Known>,
    /// Workload by address.
    owners: HashMap<IpAddr, String>,
    /// Endpoints of single addresses that groups or rules name, where no workload and no host has them.
    named: HashMap<IpAddr, Endpoint>,
    /// The machine's addresses changed, and where they lie to the rules: who lives on them can't be added in place.
    places_stale: bool,
    /// Identities that are cut off.
    quarantined: HashSet<u32>,
    /// A change didn't fit: what is here no longer tells what the tables hold.
    stale: bool,
}

/// What is known of a workload.
#[derive(Clone, Debug)]
struct Known {
    identity: u32,
    /// The sides that match its labels.
    base: Base,
    hooked: bool,
    /// Whether a match names a cgroup, so that it lives on the machine's own addresses.
    hosted: bool,
    addresses: Vec<IpAddr>,
}

impl Known {
    fn new(identity: u32, base: Base, workload: &Workload) -> Self {
        let mut addresses = Vec::with_capacity(workload.addresses.len());
        for address in &workload.addresses {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let hosted = workload.matches.iter().any(WorkloadMatch::is_cgroup);
        Self { identity, base, hooked: !workload.matches.is_empty(), hosted, addresses }
    }
}

impl Compiled {
    /// The rule with this number.
    pub fn rule(&self, number: u32) -> Option<&RuleInfo> {
        self.rule_index.get(&number).map(|index| &self.rules[*index as usize])
    }

    /// The identity with this number; none for 0, which is the world and every multicast destination.
    pub fn identity(&self, number: u32) -> Option<&IdentityInfo> {
        self.identities.get(&number).map(Arc::as_ref)
    }

    /// The workload that has this address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&str> {
        self.state.owners.get(&address).map(String::as_str)
    }

    /// Index of the AddressGroup with the longest prefix that holds this address.
    pub(crate) fn group(&self, address: IpAddr) -> Option<usize> {
        self.state.cells.region(address)?.group.map(|group| group as usize)
    }

    /// The plan of the workload with this name, if it has a hook.
    pub fn subject(&self, workload: &str) -> Option<&SubjectPlan> {
        self.subjects.iter().find(|plan| plan.workload == workload)
    }
}
