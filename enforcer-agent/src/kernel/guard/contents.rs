//! The maps that say what is enforced, held against what was written to them.
//!
//! At each look: the control word, what a generation says beside its tables, every subject, and how many entries each
//! table takes. The entries themselves by turns, [`SLICE`] at each look: a set of no more than that is compared whole
//! every time. Where anything is wrong, and from time to time anyway, everything is read and compared.
//!
//! Not looked at: what packets write (flows, fragments, counters).

use std::time::{Duration, Instant};

use aya::Pod;
use aya::maps::{Array, MapError};
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{AddressKey, Control, Quarantine, QuarantineKey, Subject, limits};

use super::super::bank::{Bank, change};
use super::super::batch::{Table, footprint, get, range};
use super::super::install::{Banks, turn_into, write_indexed};
use super::super::keys::{self, SubjectPlace};
use super::super::tables::{Family, Tables};
use crate::datapath::{Damage, DatapathError, Fault, Inspection, Place};

/// Entries compared at each look, one call for each.
pub(super) const SLICE: usize = 4_096;
/// Entries at indexes that cost as much as one under a key: they are read many at a time.
const CHEAPER: usize = 16;
/// How often everything is read at least.
const EVERYTHING: Duration = Duration::from_secs(30);
/// Reading everything may take this part of the time, and is done more seldom if it would take more.
const SHARE: u32 = 300;

/// The tables in the order of their turns.
const TABLES: [&str; 8] =
    ["ADDRESSES4", "ADDRESSES6", "PREFIXES4", "PREFIXES6", "PAIRS", "INTERVALS", "DECISIONS", "CGROUPS"];

type Footprints = [Option<u64>; 8];

/// What is known of the maps' contents.
#[derive(Debug)]
pub(in super::super) struct Contents {
    /// As it was written last; `None` where nothing was yet.
    control: Option<Control>,
    footprints: Footprints,
    /// Table and entry whose turn it is.
    turn: (usize, usize),
    /// When this turn through all entries began, and the one before it.
    began: [Instant; 2],
    /// Whether the last look got through all of them.
    at_once: bool,
    looked: Instant,
    /// When everything was read last, and when it is to be read again.
    read: Instant,
    due: Instant,
    suspicious: bool,
}

/// Why something is thought to be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    None,
    /// Something that is looked at each time.
    Now,
    /// An entry whose turn came.
    InTurn,
}

impl Contents {
    pub(in super::super) fn new() -> Self {
        let now = Instant::now();
        Self {
            control: None,
            footprints: Footprints::default(),
            turn: (0, 0),
            began: [now; 2],
            at_once: false,
            looked: now,
            read: now,
            due: now + EVERYTHING,
            suspicious: false,
        }
    }

    /// The control word as it was written last.
    pub(super) fn control(&self) -> Option<Control> {
        self.control
    }

    /// Before our own hand changes the maps: what others did must not be taken for its work.
    pub(in super::super) fn before_writing(&mut self, tables: &mut Tables, found: &mut Vec<Fault>) {
        self.look_at_control(tables, found);
        self.suspicious |= self.control.is_some() && footprints(tables) != self.footprints;
    }

    /// Our own hand changed the maps, or all of a bank.
    pub(in super::super) fn written(&mut self, tables: &Tables, whole: bool) {
        self.control = tables.control.read().ok().filter(|control| control.epoch() != 0);
        self.footprints = footprints(tables);
        if whole {
            let now = Instant::now();
            (self.turn, self.began, self.looked) = ((0, 0), [now; 2], now);
        }
    }

    /// Looks at the maps, and puts right what isn't as it was written. `hooked` are the devices with a hook.
    pub(super) fn look(
        &mut self,
        tables: &mut Tables,
        banks: &Banks,
        hooked: &[u32],
        found: &mut Inspection,
    ) {
        let began = Instant::now();
        self.look_at_control(tables, &mut found.faults);
        let Some(control) = self.control else { return };
        let Some(record) = &banks.0[control.bank() as usize] else { return };
        let mut suspicion = if self.suspicious { Suspicion::Now } else { Suspicion::None };
        match self.look_at_entries(tables, record, control.bank(), hooked) {
            Ok(Suspicion::None) => {}
            Ok(other) => suspicion = other,
            Err(error) => found.errors.push(error),
        }
        if suspicion != Suspicion::None || began >= self.due {
            match self.read_everything(tables, banks, control.bank(), suspicion) {
                Ok(faults) => found.faults.extend(faults),
                Err(error) => found.errors.push(error),
            }
        }
        self.looked = began;
    }

    fn look_at_control(&mut self, tables: &mut Tables, found: &mut Vec<Fault>) {
        let Some(control) = self.control else { return };
        let same = |now: Control| {
            (now.epoch(), now.bank(), now.is_unconfirmed())
                == (control.epoch(), control.bank(), control.is_unconfirmed())
        };
        if tables.control.read().is_ok_and(same) {
            return;
        }
        let restored = tables.control.restore(control, control.bank());
        if restored.is_ok() {
            self.control = tables.control.read().ok();
        }
        // Whoever changed this knows what else to change.
        self.suspicious = true;
        found.push(Fault {
            damage: Damage::GenerationSwitched,
            place: Place::Table("CONTROL"),
            entries: 1,
            gap: self.looked.elapsed(),
            unrepaired: restored.err().map(|error| error.to_string()),
        });
    }

    fn look_at_entries(
        &mut self,
        tables: &Tables,
        record: &Bank,
        bank: u32,
        hooked: &[u32],
    ) -> Result<Suspicion, DatapathError> {
        let unread = |error| DatapathError::caused("cannot read the maps", error);
        let now = small_ones_differ(tables, record, bank, hooked).map_err(unread)?;
        if now || footprints(tables) != self.footprints {
            return Ok(Suspicion::Now);
        }
        let mut left = SLICE;
        let mut finished = 0;
        while left > 0 && finished < TABLES.len() {
            let (table, from) = self.turn;
            let checked = compare(tables, record, bank, self.turn, left).map_err(unread)?;
            let Some(Checked { of, entries, cost }) = checked else { return Ok(Suspicion::InTurn) };
            left = left.saturating_sub(cost);
            if from + entries < of {
                self.turn.1 += entries;
                continue;
            }
            finished += 1;
            self.turn = ((table + 1) % TABLES.len(), 0);
            if self.turn.0 == 0 {
                self.began = [Instant::now(), self.began[0]];
            }
        }
        self.at_once = finished == TABLES.len();
        Ok(Suspicion::None)
    }

    /// Reads both banks, puts right what differs from what was written, and tells.
    fn read_everything(
        &mut self,
        tables: &mut Tables,
        banks: &Banks,
        in_force: u32,
        suspicion: Suspicion,
    ) -> Result<Vec<Fault>, DatapathError> {
        let began = Instant::now();
        let mut faults = Vec::new();
        for bank in [in_force, in_force ^ 1] {
            let Some(record) = &banks.0[bank as usize] else { continue };
            let unread = |error| DatapathError::caused("cannot read the maps", error);
            let actual = Bank::read(tables, bank).map_err(unread)?;
            let mut differences = differences(&actual, record);
            differences.extend(indexed_differences(tables, record, bank).map_err(unread)?);
            differences.retain(|(_, differ)| differ.entries > 0);
            if differences.is_empty() {
                continue;
            }
            let repaired =
                turn_into(tables, bank, &actual, record).and_then(|()| write_indexed(tables, bank, record));
            let repaired = repaired.and_then(|()| match bank == in_force {
                // Flows that were judged by what stood there are judged anew.
                true => tables.control.step().map(drop),
                false => Ok(()),
            });
            let unrepaired = repaired.err().map(|error| error.to_string());
            faults.extend(differences.into_iter().map(|(table, differ)| Fault {
                damage: Damage::TableChanged,
                place: Place::Table(table),
                entries: differ.entries,
                gap: self.gap(suspicion, differ.altered),
                unrepaired: unrepaired.clone(),
            }));
        }
        self.written(tables, false);
        self.suspicious = false;
        self.read = began;
        self.due = Instant::now() + EVERYTHING.max(began.elapsed() * SHARE);
        Ok(faults)
    }

    /// How long ago it may have happened. Values that were altered show when their turn comes; what came or went shows
    /// at the next look, where the kernel tells how much a map holds.
    fn gap(&self, suspicion: Suspicion, altered: bool) -> Duration {
        let told = self.footprints.iter().any(Option::is_some);
        match suspicion {
            Suspicion::Now if told && !altered => self.looked.elapsed(),
            Suspicion::Now | Suspicion::InTurn if told && self.at_once => self.looked.elapsed(),
            Suspicion::None => self.read.elapsed(),
            _ => self.began[1].max(self.read).elapsed(),
        }
    }
}

/// What differs in a table.
#[derive(Default)]
struct Differ {
    entries: u64,
    /// Whether there was an entry of the same key with another value.
    altered: bool,
}

fn differ<K: Ord + Copy, V: PartialEq + Copy>(actual: &[(K, V)], wanted: &[(K, V)]) -> Differ {
    let change = change(actual, wanted);
    let altered = change.put.iter().any(|(key, _)| actual.binary_search_by_key(key, |(key, _)| *key).is_ok());
    Differ { entries: (change.put.len() + change.gone.len()) as u64, altered }
}

fn differences(actual: &Bank, wanted: &Bank) -> Vec<(&'static str, Differ)> {
    // A subject of zeroes is none.
    let known = |subjects: &[(u32, Subject)]| -> Vec<(u32, Subject)> {
        subjects.iter().copied().filter(|(_, subject)| *subject != Subject::default()).collect()
    };
    vec![
        (TABLES[0], differ(&actual.addresses4, &wanted.addresses4)),
        (TABLES[1], differ(&actual.addresses6, &wanted.addresses6)),
        (TABLES[2], differ(&actual.prefixes4, &wanted.prefixes4)),
        (TABLES[3], differ(&actual.prefixes6, &wanted.prefixes6)),
        (TABLES[4], differ(&actual.pairs, &wanted.pairs)),
        (TABLES[7], differ(&actual.cgroups, &wanted.cgroups)),
        ("SUBJECTS", Differ { altered: false, ..differ(&known(&actual.subjects), &known(&wanted.subjects)) }),
        ("QUARANTINES", Differ { altered: false, ..differ(&actual.quarantines, &wanted.quarantines) }),
    ]
}

fn indexed_differences(
    tables: &Tables,
    record: &Bank,
    bank: u32,
) -> Result<Vec<(&'static str, Differ)>, MapError> {
    fn count<V: Pod + PartialEq>(
        map: &Array<aya::maps::MapData, V>,
        first: u32,
        wanted: &[V],
    ) -> Result<Differ, MapError> {
        let there = range(map, first, wanted.len())?;
        let entries = there.iter().zip(wanted).filter(|(there, wanted)| there != wanted).count();
        Ok(Differ { entries: entries as u64, altered: true })
    }
    let generation = tables.generations.get(&bank, 0)? != record.generation;
    Ok(vec![
        (TABLES[5], count(&tables.intervals, bank * limits::INTERVALS, &record.intervals)?),
        (TABLES[6], count(&tables.decisions, bank * limits::DECISIONS, &record.decisions)?),
        ("GENERATIONS", Differ { entries: generation.into(), altered: false }),
    ])
}

/// Whether what is looked at each time differs: the word beside the tables, and whose device is whose.
fn small_ones_differ(tables: &Tables, record: &Bank, bank: u32, hooked: &[u32]) -> Result<bool, MapError> {
    if tables.generations.get(&bank, 0)? != record.generation {
        return Ok(true);
    }
    for (identity, quarantine) in &record.quarantines {
        let there: Option<Quarantine> =
            get(&tables.quarantines, &QuarantineKey { bank, identity: *identity })?;
        if there.as_ref() != Some(quarantine) {
            return Ok(true);
        }
    }
    let there = |ifindex: u32| -> Result<Subject, MapError> {
        match keys::subject(bank, ifindex) {
            SubjectPlace::Device(slot) => tables.subjects.get(&slot, 0),
            SubjectPlace::Resident(slot) => tables.residents.get(&slot, 0),
            SubjectPlace::High(key) => Ok(get(&tables.subjects_high, &key)?.unwrap_or_default()),
        }
    };
    for (ifindex, subject) in &record.subjects {
        if there(*ifindex)? != *subject {
            return Ok(true);
        }
    }
    let nobodys =
        |ifindex: &&u32| record.subjects.binary_search_by_key(*ifindex, |(known, _)| *known).is_err();
    for ifindex in hooked.iter().filter(nobodys) {
        if there(*ifindex)? != Subject::default() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How much of a table was found to be as it should.
struct Checked {
    /// Entries there should be.
    of: usize,
    /// Entries looked at.
    entries: usize,
    /// As many look-ups took as long.
    cost: usize,
}

/// Compares what comes next in a table; `None` where an entry differs.
fn compare(
    tables: &Tables,
    record: &Bank,
    bank: u32,
    (table, from): (usize, usize),
    most: usize,
) -> Result<Option<Checked>, MapError> {
    let exact4 = |key| keys::exact(bank, key);
    let exact6 = |key| keys::exact(bank, key);
    let prefix4 = |key| keys::prefix(bank, key);
    let prefix6 = |key| keys::prefix(bank, key);
    match table {
        0 => by_key(&tables.v4.addresses, &record.addresses4, from, most, exact4),
        1 => by_key(&tables.v6.addresses, &record.addresses6, from, most, exact6),
        2 => by_key(&tables.v4.prefixes, &record.prefixes4, from, most, prefix4),
        3 => by_key(&tables.v6.prefixes, &record.prefixes6, from, most, prefix6),
        4 => by_key(&tables.pairs, &record.pairs, from, most, |key| keys::pair(bank, key)),
        5 => by_index(&tables.intervals, &record.intervals, from, most, bank * limits::INTERVALS),
        7 => by_key(&tables.cgroups, &record.cgroups, from, most, |id| keys::cgroup(bank, id)),
        _ => by_index(&tables.decisions, &record.decisions, from, most, bank * limits::DECISIONS),
    }
}

/// Looks entries up, from the `from`th on.
fn by_key<R: Copy, K: Pod, V: Pod + PartialEq>(
    map: &impl Table<K, V>,
    wanted: &[(R, V)],
    from: usize,
    most: usize,
    key: impl Fn(R) -> K,
) -> Result<Option<Checked>, MapError> {
    let slice = wanted.get(from..).unwrap_or_default();
    let slice = &slice[..slice.len().min(most)];
    for (record, value) in slice {
        if get(map, &key(*record))?.as_ref() != Some(value) {
            return Ok(None);
        }
    }
    Ok(Some(Checked { of: wanted.len(), entries: slice.len(), cost: slice.len() }))
}

/// The same, of what stands at indexes; the bank's begin at `first`.
fn by_index<V: Pod + PartialEq>(
    map: &Array<aya::maps::MapData, V>,
    wanted: &[V],
    from: usize,
    most: usize,
    first: u32,
) -> Result<Option<Checked>, MapError> {
    let slice = wanted.get(from..).unwrap_or_default();
    let slice = &slice[..slice.len().min(most * CHEAPER)];
    let same = slice.is_empty() || range(map, first + from as u32, slice.len())? == slice;
    let cost = slice.len().div_ceil(CHEAPER);
    Ok(same.then_some(Checked { of: wanted.len(), entries: slice.len(), cost }))
}

fn footprints(tables: &Tables) -> Footprints {
    fn of_family<const N: usize>(family: &Family<N>) -> [Option<u64>; 2]
    where
        AddressKey<N>: Pod,
        FlowKey<N>: Pod,
    {
        [footprint(&family.addresses), footprint(&family.prefixes)]
    }
    let ([a, b], [c, d]) = (of_family(&tables.v4), of_family(&tables.v6));
    [
        a,
        b,
        c,
        d,
        footprint(&tables.pairs),
        footprint(&tables.subjects_high),
        footprint(&tables.quarantines),
        footprint(&tables.cgroups),
    ]
}
