//! The paths of the machine itself that stay open: settings, no part of a generation.

use std::time::{Duration, Instant};

use aya::Pod;
use aya::maps::lpm_trie::Key;
use aya::maps::{LpmTrie, MapData, MapError};
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{AddressKey, Failsafe, PrefixData};
use ipnet::IpNet;

use super::batch::{clear, dump, fill, footprint, get};
use super::keys;
use super::tables::Tables;
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place};

type Row<const N: usize> = (Key<PrefixData<N>>, Failsafe);

/// What was asked for last. Nothing is, before anybody asked: an earlier daemon's paths stay until then.
pub(super) struct Paths {
    asked: bool,
    four: Vec<Row<1>>,
    six: Vec<Row<4>>,
    /// What the maps took when they were written last.
    footprints: [Option<u64>; 2],
    looked: Instant,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self {
            asked: false,
            four: Vec::new(),
            six: Vec::new(),
            footprints: [None; 2],
            looked: Instant::now(),
        }
    }

    /// Makes these the paths, and no others. What stays is open all the while.
    pub(super) fn set(
        &mut self,
        tables: &mut Tables,
        blocks: &[(IpNet, Failsafe)],
    ) -> Result<(), DatapathError> {
        (self.asked, self.four, self.six) = (true, Vec::new(), Vec::new());
        for (block, ports) in blocks {
            let length = u32::from(block.prefix_len());
            match block {
                IpNet::V4(block) => {
                    let key = keys::prefix(0, (length, keys::address4(block.network())));
                    self.four.push((key, *ports));
                }
                IpNet::V6(block) => {
                    let key = keys::prefix(0, (length, keys::address6(block.network())));
                    self.six.push((key, *ports));
                }
            }
        }
        self.write(tables).map(drop)
    }

    /// Looks whether they are as they were written, and puts right what isn't.
    /// Whether anything wasn't.
    pub(super) fn look(&mut self, tables: &mut Tables, found: &mut Inspection) -> bool {
        if !self.asked {
            return false;
        }
        if self.are_whole(tables) {
            self.looked = Instant::now();
            return false;
        }
        let before = found.faults.len();
        let gap = self.looked.elapsed();
        match self.write(tables) {
            Ok(changed) => {
                let fault = |(name, entries)| fault(name, entries, gap);
                let named = [("FAILSAFE4", changed[0]), ("FAILSAFE6", changed[1])];
                found.faults.extend(named.into_iter().filter(|(_, entries)| *entries > 0).map(fault));
            }
            Err(error) => found.errors.push(error),
        }
        self.looked = Instant::now();
        found.faults.len() > before
    }

    /// Whether the maps hold what was written and, as far as the kernel tells how much they hold, nothing else.
    fn are_whole(&self, tables: &Tables) -> bool {
        let told = self.footprints.iter().all(Option::is_some) && footprints(tables) == self.footprints;
        told && there(&tables.v4.failsafe, &self.four) && there(&tables.v6.failsafe, &self.six)
    }

    /// Writes what isn't there and takes away what shouldn't be; how many entries of each family that were.
    fn write(&mut self, tables: &mut Tables) -> Result<[u64; 2], DatapathError> {
        let failed = |error| DatapathError::caused("cannot write the failsafe paths", error);
        let four = turn(&mut tables.v4.failsafe, &self.four).map_err(failed)?;
        let six = turn(&mut tables.v6.failsafe, &self.six).map_err(failed)?;
        // Flows that were opened by what stood there are judged anew.
        if four + six > 0 && tables.control.read()?.epoch() != 0 {
            tables.control.step()?;
        }
        self.footprints = footprints(tables);
        Ok([four, six])
    }
}

fn fault(table: &'static str, entries: u64, gap: Duration) -> Fault {
    Fault { damage: Damage::TableChanged, place: Place::Table(table), entries, gap, unrepaired: None }
}

fn footprints(tables: &Tables) -> [Option<u64>; 2] {
    [footprint(&tables.v4.failsafe), footprint(&tables.v6.failsafe)]
}

fn there<const N: usize>(map: &LpmTrie<MapData, PrefixData<N>, Failsafe>, wanted: &[Row<N>]) -> bool
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    wanted.iter().all(|(key, ports)| get(map, key).is_ok_and(|found| found.as_ref() == Some(ports)))
}

/// How many entries it wrote or took away.
fn turn<const N: usize>(
    map: &mut LpmTrie<MapData, PrefixData<N>, Failsafe>,
    wanted: &[Row<N>],
) -> Result<u64, MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let same = |a: &Key<PrefixData<N>>, b: &Key<PrefixData<N>>| {
        (a.prefix_len(), { a.data() }) == (b.prefix_len(), { b.data() })
    };
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    dump(map, |key: Key<PrefixData<N>>, ports: Failsafe| {
        match wanted.iter().position(|(one, _)| same(one, &key)) {
            Some(at) if wanted[at].1 == ports => there.push(at),
            Some(_) => {}
            None => gone.push(key),
        }
    })?;
    let missing: Vec<Row<N>> =
        wanted.iter().enumerate().filter(|(at, _)| !there.contains(at)).map(|(_, row)| *row).collect();
    let changed = missing.len() + gone.len();
    fill(map, missing.into_iter())?;
    clear(map, &gone)?;
    Ok(changed as u64)
}
