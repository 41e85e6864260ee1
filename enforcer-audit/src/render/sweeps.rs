//! Rows of a table for people: groups of flows, and those of one source that knocked at many doors as one row.

use super::text::group_cause;
use crate::compare::FlowChange;
use crate::report::{Figures, Group, Identity, Recorded, Traffic, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;

/// So many denied groups of one source are a sweep.
const DOORS: usize = 8;
/// Packets of a flow that hardly was one.
const FEW: u64 = 4;

/// A group of flows, as far as it may be part of a sweep.
pub(super) trait Knock {
    fn traffic(&self) -> &Traffic;
    fn destination(&self) -> &Identity;
    /// What the groups of one sweep have in common beside their source; `None` where it is no sweep's.
    fn fate(&self) -> Option<String>;
}

impl Knock for Group {
    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn destination(&self) -> &Identity {
        &self.destination
    }

    /// What used to pass is told one by one.
    fn fate(&self) -> Option<String> {
        (self.verdict == "denied" && self.change != Some("breaks")).then(|| group_cause(self))
    }
}

impl Knock for FlowChange {
    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn destination(&self) -> &Identity {
        &self.destination
    }

    fn fate(&self) -> Option<String> {
        (self.new.verdict == "denied").then(|| format!("{:?} {:?}", self.old, self.new))
    }
}

/// One group, or a sweep.
pub(super) struct Row<'a, T> {
    pub(super) groups: Vec<&'a T>,
}

impl<'a, T: Knock> Row<'a, T> {
    /// The first of its groups, which has what all share: source, verdict and cause.
    pub(super) fn first(&self) -> &'a T {
        self.groups[0]
    }

    pub(super) fn is_sweep(&self) -> bool {
        self.groups.len() > 1
    }

    pub(super) fn figures(&self) -> Figures {
        self.groups.iter().map(|group| group.traffic().figures).fold(Figures::default(), |sum, more| {
            Figures {
                flows: sum.flows + more.flows,
                packets: sum.packets + more.packets,
                bytes: sum.bytes + more.bytes,
            }
        })
    }

    pub(super) fn seen(&self) -> Option<Window> {
        let windows = || self.groups.iter().filter_map(|group| group.traffic().seen);
        let first = windows().map(|window| window.first).min()?;
        Some(Window { first, last: windows().map(|window| window.last).max()? })
    }

    /// How many identities it went to.
    pub(super) fn destinations(&self) -> usize {
        self.groups.iter().map(|group| group.destination()).collect::<FxHashSet<_>>().len()
    }

    /// At how many different ports.
    pub(super) fn ports(&self) -> usize {
        self.groups.iter().map(|group| group.traffic().port.as_str()).collect::<FxHashSet<_>>().len()
    }
}

impl Row<'_, Group> {
    pub(super) fn recorded(&self) -> Recorded {
        self.groups.iter().fold(Recorded::default(), |sum, group| Recorded {
            passed: sum.passed + group.recorded.passed,
            refused: sum.refused + group.recorded.refused,
        })
    }
}

/// Source and fate of a group that looks like one of many tries: hardly anything was said.
fn knocks<T: Knock>(group: &T) -> Option<(IpAddr, String)> {
    let Traffic { figures, samples, more_samples, .. } = group.traffic();
    let source = samples.first()?.source;
    let alone = !more_samples && samples.iter().all(|sample| sample.source == source);
    (alone && figures.packets <= FEW * figures.flows).then_some(())?;
    Some((source, group.fate()?))
}

/// Groups in their order; sweeps come last.
pub(super) fn rows<'a, T: Knock>(groups: &[&'a T]) -> Vec<Row<'a, T>> {
    let keys: Vec<_> = groups.iter().map(|group| knocks(*group)).collect();
    let mut doors: FxHashMap<_, usize> = FxHashMap::default();
    keys.iter().flatten().for_each(|key| *doors.entry(key).or_default() += 1);
    let (mut rows, mut sweeps): (Vec<Row<'a, T>>, Vec<Row<'a, T>>) = (Vec::new(), Vec::new());
    let mut begun: FxHashMap<_, usize> = FxHashMap::default();
    for (group, key) in groups.iter().zip(&keys) {
        let Some(key) = key.as_ref().filter(|key| doors[key] >= DOORS) else {
            rows.push(Row { groups: vec![*group] });
            continue;
        };
        let at = *begun.entry(key).or_insert(sweeps.len());
        if at == sweeps.len() {
            sweeps.push(Row { groups: Vec::new() });
        }
        sweeps[at].groups.push(group);
    }
    rows.extend(sweeps);
    rows
}
