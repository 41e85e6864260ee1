//! What a compiled policy set is for the kernel: whole tables, and the changes that can be written over them in place.

use crate::model::{SegmentMode, WorkloadMatch};
use enforcer_common::address::Address;
use enforcer_common::answer::{Decision, Interval, PortSet};
use enforcer_common::maps::{Endpoint, Generation, PairKey, Quarantine, Subject};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// The tables of one generation, addressed to bank 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What the bank says beside its tables.
    pub generation: Generation,
    /// Exact IPv4 addresses, sorted by key.
    pub addresses4: Vec<(Address<1>, Endpoint)>,
    /// Exact IPv6 addresses, sorted by key.
    pub addresses6: Vec<(Address<4>, Endpoint)>,
    /// IPv4 prefixes shorter than an address, sorted.
    pub prefixes4: Vec<(Ipv4Net, Endpoint)>,
    /// IPv6 prefixes shorter than an address, sorted.
    pub prefixes6: Vec<(Ipv6Net, Endpoint)>,
    /// Pairs of classes, each key once.
    pub pairs: Vec<(PairKey, PortSet)>,
    /// Break points of all port sets.
    pub intervals: Vec<Interval>,
    /// Decisions; index 0 is [`Decision::NONE`].
    pub decisions: Vec<Decision>,
    /// How identities are cut off that are marked as such, sorted by identity.
    pub quarantines: Vec<(u32, Quarantine)>,
}

/// A workload with a hook: what to write for its interface once the interface is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPlan {
    /// Name of the Workload document.
    pub workload: String,
    /// Identity number, as in `subject`.
    pub identity: u32,
    /// How it is found on this host. Never empty.
    pub matches: Vec<WorkloadMatch>,
    /// What it may send from.
    pub addresses: Vec<IpAddr>,
    /// How strictly it is held.
    pub mode: SegmentMode,
    /// The Segment that decided `mode`; none selects it where this is `None`.
    pub segment: Option<String>,
    /// The entry for its interface. The hardware address and the link flags are the daemon's to add.
    pub subject: Subject,
    /// The entries for its cgroups by their numbers, one for each place; none where no match names a cgroup.
    pub hosted: Vec<(u32, Subject)>,
}

/// The machine itself, as a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// Identity number.
    pub identity: u32,
    /// How strictly it is held; `off` unless a Segment selects `entity: host`.
    pub mode: SegmentMode,
    /// The Segment that decided `mode`.
    pub segment: Option<String>,
    /// As [`SubjectPlan::hosted`]; with them, those who are known by cgroups that nobody has looked at yet.
    pub hosted: Vec<(u32, Subject)>,
}

/// A change to the generation in force, written in place: `None` takes an entry out. Written in the order of the fields
/// (what is taken out last), each single write leaves complete verdicts: no pair, interval or decision that exists is
/// changed, and nothing points to one that isn't written yet. Subjects are bound by whoever knows their interfaces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delta {
    /// Decisions with their indexes, behind those that are there.
    pub decisions: Vec<(u32, Decision)>,
    /// Break points with their indexes, behind those that are there.
    pub intervals: Vec<(u32, Interval)>,
    /// Port sets of pairs of classes (bank 0 in the key). The compiler only adds.
    pub pairs: Vec<(PairKey, Option<PortSet>)>,
    /// The new word on everything beside the tables, where it changes: only flags ever do.
    pub generation: Option<Generation>,
    /// Exact IPv4 addresses.
    pub addresses4: Vec<(Address<1>, Option<Endpoint>)>,
    /// Exact IPv6 addresses.
    pub addresses6: Vec<(Address<4>, Option<Endpoint>)>,
    /// IPv4 prefixes. The compiler never changes any in place.
    pub prefixes4: Vec<(Ipv4Net, Option<Endpoint>)>,
    /// IPv6 prefixes. The compiler never changes any in place.
    pub prefixes6: Vec<(Ipv6Net, Option<Endpoint>)>,
    /// How identities are cut off.
    pub quarantines: Vec<(u32, Option<Quarantine>)>,
    /// Subjects added or changed.
    pub subjects: Vec<SubjectPlan>,
    /// Workloads that have no hook any more.
    pub removed_subjects: Vec<String>,
}

impl Delta {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Image {
    /// Does to the image what writing `delta` does to the bank.
    pub(super) fn apply(&mut self, delta: &Delta) {
        self.decisions.extend(delta.decisions.iter().map(|(_, decision)| *decision));
        self.intervals.extend(delta.intervals.iter().map(|(_, interval)| *interval));
        self.pairs.extend(delta.pairs.iter().filter_map(|(key, set)| set.map(|set| (*key, set))));
        if let Some(generation) = delta.generation {
            self.generation = generation;
        }
        delta.addresses4.iter().for_each(|(key, value)| set(&mut self.addresses4, *key, *value));
        delta.addresses6.iter().for_each(|(key, value)| set(&mut self.addresses6, *key, *value));
        delta.quarantines.iter().for_each(|(key, value)| set(&mut self.quarantines, *key, *value));
    }
}

fn set<K: Ord + Copy, V>(table: &mut Vec<(K, V)>, key: K, value: Option<V>) {
    match (table.binary_search_by_key(&key, |(k, _)| *k), value) {
        (Ok(at), Some(value)) => table[at].1 = value,
        (Ok(at), None) => drop(table.remove(at)),
        (Err(at), Some(value)) => table.insert(at, (key, value)),
        (Err(_), None) => {}
    }
}
