//! Least-privilege policies from what was seen: rules for the flows that no rule decides yet, by the smallest labels that mean exactly who was
//! seen. What a person has to judge is set apart.

mod apart;
mod json;
pub mod narrow;
mod rules;
mod selectors;
mod targets;
mod text;

use crate::audit::Audit;
use enforcer_flows::Time;
use enforcer_policy::model::{PortSpec, Selector};
use std::net::IpAddr;

pub use apart::Why;
pub(crate) use selectors::Universe;

/// How rules are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Ports of one protocol in one rule become a range where each is at most this far from the one before; 0 leaves each by itself.
    pub fold_ports: u16,
    /// So many addresses of the world are named one by one; where there are more, it is `entity: world`.
    pub world_addresses: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { fold_ports: 0, world_addresses: 4 }
    }
}

/// What was seen of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Distinct flows.
    pub flows: u64,
    /// Their packets, both directions.
    pub packets: u64,
    /// First and last of them.
    pub seen: Option<(Time, Time)>,
}

impl Evidence {
    fn add(&mut self, more: Self) {
        self.flows += more.flows;
        self.packets += more.packets;
        self.seen = match (self.seen, more.seen) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// One end of flows, as a rule can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Party {
    /// Everybody who carries these labels, by number.
    Labelled(u32),
    Host,
    /// The whole of it.
    World,
    /// An address of the world, or a multicast group.
    Address(IpAddr),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who was seen to open flows.
    pub from: Vec<Selector>,
    /// To whom.
    pub to: Vec<Selector>,
    /// To which ports.
    pub ports: Vec<PortSpec>,
    /// What was seen of all of it.
    pub total: Evidence,
    /// And of each port.
    pub by_port: Vec<(PortSpec, Evidence)>,
    /// And of each source, by a selector that means it alone; the fewest flows first.
    pub by_source: Vec<(Vec<Selector>, Evidence)>,
    /// Ports that the ranges let in and nobody has used.
    pub unseen: u64,
}

/// The rules for one destination; for several identities, where all of them were reached by the same sources at the same ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A name that no other FlowPolicy has.
    pub name: String,
    /// Its rules.
    pub entries: Vec<Entry>,
}

/// Flows with the same ends that no rule was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Why.
    pub why: Why,
    /// Who opened them. Attacker-controlled text.
    pub from: String,
    /// To whom. Attacker-controlled text.
    pub to: String,
    /// To which ports.
    pub ports: Vec<PortSpec>,
    /// What was seen of them.
    pub evidence: Evidence,
    /// What would allow them; only where there are few ports, and a rule can.
    pub entry: Option<(Vec<Selector>, Vec<Selector>)>,
}

/// Everything that is suggested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Recordings by name. Attacker-controlled text.
    pub sources: Vec<String>,
    /// First and last time that they name.
    pub window: Option<(Time, Time)>,
    /// Policies, by name.
    pub policies: Vec<Policy>,
    /// What a person has to judge, and what no rule is needed or able to allow.
    pub apart: Vec<Apart>,
    /// Flows that the rules are made from.
    pub covered: Evidence,
    /// Flows that a rule in force decides to let pass.
    pub allowed_before: Evidence,
}

impl Audit {
    /// Rules for what has been taken in so far. Make the [`crate::Setting`] with hooks everywhere ([`crate::Managed::All`]) and without
    /// segments; of policies, those that are to stay.
    #[must_use]
    pub fn suggest(&self, options: &Options) -> Suggestion {
        rules::suggest(self, options)
    }
}
