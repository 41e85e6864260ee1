//! Which changes of connectivity the recording has flows for.

use super::Comparison;
use super::pairs::{Found, each};
use crate::audit::Audit;
use crate::ground::NOBODY;
use enforcer_policy::diff::{Difference, Names};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Flows by `protocol << 16 | port`.
type Ports = BTreeMap<u32, u64>;

/// By change: recorded flows whose ends and port are among its own.
pub(super) fn count(comparison: &Comparison, difference: &Difference, names: &Names) -> Vec<u64> {
    let Comparison { old, new } = comparison;
    let mut numbers: FxHashMap<String, u32> = FxHashMap::default();
    let mut seen: FxHashMap<(u32, u32), Ports> = FxHashMap::default();
    let mut named = [FxHashMap::default(), FxHashMap::default()];
    each(old, new, |(was, is)| {
        let sides = [(old, was), (new, is)];
        let mut last = None;
        for ((audit, found), named) in sides.into_iter().zip(&mut named) {
            let Some(Found { key, flow }) = found else { continue };
            let mut name = |end| *named.entry(end).or_insert_with(|| number(audit, end, names, &mut numbers));
            let ends = (name(key.source()), name(key.destination()));
            // Of a flow between the same ends in both, one.
            if last != Some(ends) {
                let port = audit.groups.all()[flow.group as usize].key.port;
                let port = u32::from(key.protocol()) << 16 | u32::from(port);
                *seen.entry(ends).or_default().entry(port).or_default() += 1;
            }
            last = Some(ends);
        }
    });
    let among = |ports: &Ports, ranges: &[(u32, u32)]| -> u64 {
        ranges.iter().flat_map(|(first, last)| ports.range(first..=last)).map(|(_, flows)| flows).sum()
    };
    let counted = difference.changes.iter().map(|change| {
        let numbers = |list: &[String]| -> Vec<u32> {
            list.iter().filter_map(|name| numbers.get(name).copied()).collect()
        };
        let (from, to) = (numbers(&change.from), numbers(&change.to));
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        pairs.filter_map(|ends| seen.get(&ends)).map(|ports| among(ports, &change.ports)).sum()
    });
    counted.collect()
}

/// A number for the name that a change has for an end.
fn number(audit: &Audit, end: u32, names: &Names, numbers: &mut FxHashMap<String, u32>) -> u32 {
    let end = audit.ends.get(end);
    let name = match (end.workload, audit.ends.identities()[end.identity as usize].kind) {
        (NOBODY, "host") => "host",
        (NOBODY, _) => names.of_address(end.address),
        (workload, _) => &audit.ground.set.workloads[workload as usize].name,
    };
    let next = numbers.len() as u32;
    *numbers.entry(name.to_owned()).or_insert(next)
}
