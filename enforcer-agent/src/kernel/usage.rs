//! How full the tables are.

use aya::maps::{IterableMap, MapError};
use enforcer_common::maps::limits;

use super::batch::{Table, dump};
use super::tables::Tables;
use crate::datapath::{DatapathError, Usage};

/// Counts what is in the bank in force, and the tracked flows.
pub(super) fn read(tables: &Tables) -> Result<Vec<Usage>, DatapathError> {
    let bank = tables.control.read()?.bank();
    let counted = || -> Result<Vec<Usage>, MapError> {
        Ok(vec![
            usage("addresses4", &tables.v4.addresses, Some(limits::ADDRESSES), |key| key.bank == bank)?,
            usage("addresses6", &tables.v6.addresses, Some(limits::ADDRESSES), |key| key.bank == bank)?,
            usage("prefixes4", &tables.v4.prefixes, Some(limits::PREFIXES / 2), |key| {
                key.data().bank == bank
            })?,
            usage("prefixes6", &tables.v6.prefixes, Some(limits::PREFIXES / 2), |key| {
                key.data().bank == bank
            })?,
            usage("pairs", &tables.pairs, Some(limits::PAIRS), |key| key.table >> 1 == bank)?,
            // Both banks share them.
            usage("cgroups", &tables.cgroups, Some(limits::CGROUPS / 2), |key| key.bank() == bank)?,
            usage("quarantines", &tables.quarantines, Some(limits::QUARANTINES), |key| key.bank == bank)?,
            usage("flows4", &tables.v4.flows, None, |_| true)?,
            usage("flows6", &tables.v6.flows, None, |_| true)?,
            usage("unanswered4", &tables.v4.embryonic, None, |_| true)?,
            usage("unanswered6", &tables.v6.embryonic, None, |_| true)?,
        ])
    };
    counted().map_err(|error| DatapathError::caused("cannot count what is in the maps", error))
}

fn usage<K: aya::Pod, V: aya::Pod, T: Table<K, V>>(
    name: &'static str,
    table: &T,
    limit: Option<u32>,
    counts: impl Fn(&K) -> bool,
) -> Result<Usage, MapError> {
    let mut used = 0;
    dump(table, |key: K, _: V| used += u64::from(counts(&key)))?;
    let limit = match limit {
        Some(limit) => limit,
        None => IterableMap::map(table).info()?.max_entries(),
    };
    Ok(Usage { table: name, used, limit: limit.into() })
}
