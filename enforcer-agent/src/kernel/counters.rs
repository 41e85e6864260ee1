//! Counters, summed over CPUs.

use aya::Pod;
use aya::maps::{MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use enforcer_common::maps::{EventCounter, ReasonCounter, RuleCounter, Tally};

use super::batch::per_cpu;
use super::tables::Tables;
use crate::datapath::DatapathError;

fn add(mut sum: RuleCounter, one: &RuleCounter) -> RuleCounter {
    sum.add(one);
    sum
}

fn read<V: Pod + Default>(
    map: &PerCpuArray<MapData, V>,
    name: &str,
    len: u32,
    add: impl Fn(V, &V) -> V,
) -> Result<Vec<V>, DatapathError> {
    let mut sums = Vec::with_capacity(len as usize);
    per_cpu(map, len.min(map.len()), |values| sums.push(values.iter().fold(V::default(), &add))).map_err(
        |error: MapError| DatapathError::caused(format_args!("cannot read the map `{name}`"), error),
    )?;
    sums.resize(len as usize, V::default());
    Ok(sums)
}

pub(super) fn rules(tables: &Tables, len: u32) -> Result<Vec<RuleCounter>, DatapathError> {
    read(&tables.rules, "RULES", len, add)
}

/// Sets the counters of these rules to nothing, on every CPU.
pub(super) fn reset(tables: &mut Tables, rules: &[u32]) -> Result<(), DatapathError> {
    let failed = |error| DatapathError::caused("cannot write the map `RULES`", error);
    let cpus = nr_cpus().map_err(|(_, error)| DatapathError::caused("cannot count the CPUs", error))?;
    let room = tables.rules.len();
    for rule in rules.iter().filter(|rule| **rule < room) {
        let nothing = PerCpuValues::try_from(vec![RuleCounter::default(); cpus]);
        let nothing = nothing.map_err(|error| DatapathError::caused("cannot count the CPUs", error))?;
        tables.rules.set(*rule, nothing, 0).map_err(failed)?;
    }
    Ok(())
}

pub(super) fn verdicts(tables: &Tables) -> Result<Vec<ReasonCounter>, DatapathError> {
    read(&tables.reasons, "REASONS", Tally::COUNT, add)
}

pub(super) fn events(tables: &Tables) -> Result<EventCounter, DatapathError> {
    let add = |sum: EventCounter, one: &EventCounter| EventCounter {
        sent: sum.sent.wrapping_add(one.sent),
        lost: sum.lost.wrapping_add(one.lost),
        suppressed: sum.suppressed.wrapping_add(one.suppressed),
        ..EventCounter::default()
    };
    let sums = read(&tables.event_counts, "EVENT_COUNTS", 1, add)?;
    Ok(sums.into_iter().next().unwrap_or_default())
}
