//! Rows of a table for people: groups of flows, and those of one source that knocked at many doors as one row.

use crate::report::{Figures, Group, Recorded, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;

/// So many denied groups of one source are a sweep.
const DOORS: usize = 8;
/// Packets of a flow that hardly was one.
const FEW: u64 = 4;

/// One group, or a sweep.
pub(super) struct Row<'a> {
    pub(super) groups: Vec<&'a Group>,
}

impl<'a> Row<'a> {
    /// The first of its groups, which has what all share: source, verdict and cause.
    pub(super) fn first(&self) -> &'a Group {
        self.groups[0]
    }

    pub(super) fn is_sweep(&self) -> bool {
        self.groups.len() > 1
    }

    pub(super) fn figures(&self) -> Figures {
        self.groups.iter().fold(Figures::default(), |sum, group| Figures {
            flows: sum.flows + group.figures.flows,
            packets: sum.packets + group.figures.packets,
            bytes: sum.bytes + group.figures.bytes,
        })
    }

    pub(super) fn recorded(&self) -> Recorded {
        self.groups.iter().fold(Recorded::default(), |sum, group| Recorded {
            passed: sum.passed + group.recorded.passed,
            refused: sum.refused + group.recorded.refused,
        })
    }

    pub(super) fn seen(&self) -> Option<Window> {
        let windows = || self.groups.iter().filter_map(|group| group.seen);
        let first = windows().map(|window| window.first).min()?;
        Some(Window { first, last: windows().map(|window| window.last).max()? })
    }

    /// How many identities it went to.
    pub(super) fn destinations(&self) -> usize {
        self.groups.iter().map(|group| &group.destination).collect::<FxHashSet<_>>().len()
    }

    /// At how many different ports.
    pub(super) fn ports(&self) -> usize {
        self.groups.iter().map(|group| &group.port).collect::<FxHashSet<_>>().len()
    }
}

/// Whether a group looks like one of many tries: denied, little said, and nothing that used to pass.
fn knocks(group: &Group) -> Option<IpAddr> {
    let slight = group.figures.packets <= FEW * group.figures.flows;
    let source = group.samples.first()?.source;
    let alone = !group.more_samples && group.samples.iter().all(|sample| sample.source == source);
    (group.verdict == "denied" && group.change != Some("breaks") && slight && alone).then_some(source)
}

/// Groups in their order; sweeps come last.
pub(super) fn rows<'a>(groups: &[&'a Group]) -> Vec<Row<'a>> {
    let cause = |group: &'a Group| group.cause.as_ref().map(|cause| (cause.rule.as_ref(), cause.reason));
    let key = |group: &'a Group| knocks(group).map(|address| (address, cause(group)));
    let mut doors: FxHashMap<_, Vec<&'a Group>> = FxHashMap::default();
    let mut sources = Vec::new();
    for group in groups {
        if let Some(key) = key(group) {
            let at = doors.entry(key).or_default();
            if at.is_empty() {
                sources.push(key);
            }
            at.push(group);
        }
    }
    doors.retain(|_, groups| groups.len() >= DOORS);
    let alone = groups.iter().filter(|group| key(group).is_none_or(|key| !doors.contains_key(&key)));
    let mut rows: Vec<Row<'a>> = alone.map(|group| Row { groups: vec![*group] }).collect();
    rows.extend(sources.iter().filter_map(|key| doors.remove(key)).map(|groups| Row { groups }));
    rows
}
