//! Generations: filled aside, switched with one write, changed in place by deltas.

use std::time::Duration;

use aya::Pod;
use aya::maps::MapError;
use enforcer_common::address::Address;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{
    AddressKey, Cgroup, Endpoint, Generation, PairKey, QuarantineKey, Subject, limits,
};
use enforcer_policy::compile::{Delta, Image};

use super::bank::{Bank, Change, change};
use super::batch::{clear, fill};
use super::keys::SubjectPlace;
use super::tables::{Family, Tables};
use super::{keys, sys};
use crate::datapath::{DatapathError, Epoch};

/// How long to let packets finish where the kernel can't say that they have. Far above any packet's way through a program.
const PACKETS_FINISH: Duration = Duration::from_millis(200);

/// What stands in the two banks, where that is known.
#[derive(Debug, Default)]
pub(super) struct Banks(pub(super) [Option<Bank>; 2]);

impl Banks {
    /// Of maps that were just made.
    pub(super) fn empty() -> Self {
        Self([Some(Bank::default()), Some(Bank::default())])
    }
}

/// Names a table in an error.
fn failed(table: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::caused(format_args!("cannot write the map `{table}`"), error)
}

/// Refuses what wouldn't fit, before anything is touched.
fn check(image: &Image, cgroups: &[(u64, Cgroup)]) -> Result<(), DatapathError> {
    let sizes = [
        ("IPv4 addresses", image.addresses4.len(), limits::ADDRESSES),
        ("IPv6 addresses", image.addresses6.len(), limits::ADDRESSES),
        // Both banks share these.
        ("IPv4 prefixes", image.prefixes4.len(), limits::PREFIXES / 2),
        ("IPv6 prefixes", image.prefixes6.len(), limits::PREFIXES / 2),
        ("pairs of classes", image.pairs.len(), limits::PAIRS),
        ("port set break points", image.intervals.len(), limits::INTERVALS),
        ("port set decisions", image.decisions.len(), limits::DECISIONS),
        ("cgroups", cgroups.len(), limits::CGROUPS / 2),
        ("quarantines", image.quarantines.len(), limits::QUARANTINES),
    ];
    match sizes.into_iter().find(|(_, count, limit)| *count > *limit as usize) {
        Some((what, count, limit)) => Err(DatapathError::does_not_fit(what, count, limit as usize)),
        None => Ok(()),
    }
}

/// Fills the bank that isn't in force and switches to it; where `until` says so, for a time.
pub(super) fn install(
    tables: &mut Tables,
    banks: &mut Banks,
    image: &Image,
    subjects: &[(u32, Subject)],
    cgroups: &[(u64, Cgroup)],
    until: Option<u64>,
) -> Result<Epoch, DatapathError> {
    check(image, cgroups)?;
    let mut control = tables.control.read()?;
    if control.is_unconfirmed() {
        // The other bank may come in force at any moment, and so can't be written over: it is, from now on.
        tables.control.end_trial(control.bank() ^ 1)?;
        control = tables.control.read()?;
    }
    let bank = control.bank() ^ 1;
    // Packets that began before the last switch may still be reading this bank. Before the first there is none to read.
    if control.epoch() != 0 && !sys::wait_for_packets() {
        std::thread::sleep(PACKETS_FINISH);
    }
    let mut new = Bank::of(image, subjects, cgroups);
    new.generation.until = until.unwrap_or(0);
    // Taken: if this is cut short, nobody knows what stands there.
    let old = match banks.0[bank as usize].take() {
        Some(old) => old,
        None => Bank::read(tables, bank)
            .map_err(|error| DatapathError::caused("cannot read the maps of the other bank", error))?,
    };
    turn_into(tables, bank, &old, &new)?;
    write_indexed(tables, bank, &new)?;
    let epoch = match until {
        Some(_) => tables.control.try_out(bank)?,
        None => tables.control.advance(bank)?,
    };
    banks.0[bank as usize] = Some(new);
    Ok(epoch)
}

/// Makes the contents of a bank, but for what stands at indexes. For banks that nobody reads, and to put right what others changed.
pub(super) fn turn_into(tables: &mut Tables, bank: u32, old: &Bank, new: &Bank) -> Result<(), DatapathError> {
    turn_family(
        &mut tables.v4,
        bank,
        change(&old.addresses4, &new.addresses4),
        change(&old.prefixes4, &new.prefixes4),
    )
    .map_err(failed("ADDRESSES4 or PREFIXES4"))?;
    turn_family(
        &mut tables.v6,
        bank,
        change(&old.addresses6, &new.addresses6),
        change(&old.prefixes6, &new.prefixes6),
    )
    .map_err(failed("ADDRESSES6 or PREFIXES6"))?;
    let pairs = change(&old.pairs, &new.pairs);
    let gone: Vec<_> = pairs.gone.into_iter().map(|key| keys::pair(bank, key)).collect();
    let put = pairs.put.into_iter().map(|(key, ports)| (keys::pair(bank, key), ports));
    clear(&mut tables.pairs, &gone).and_then(|()| fill(&mut tables.pairs, put)).map_err(failed("PAIRS"))?;
    let quarantines = change(&old.quarantines, &new.quarantines);
    let key = |identity| QuarantineKey { bank, identity };
    let gone: Vec<_> = quarantines.gone.into_iter().map(key).collect();
    let put = quarantines.put.into_iter().map(|(identity, quarantine)| (key(identity), quarantine));
    clear(&mut tables.quarantines, &gone)
        .and_then(|()| fill(&mut tables.quarantines, put))
        .map_err(failed("QUARANTINES"))?;
    let subjects = change(&old.subjects, &new.subjects);
    let gone = subjects.gone.into_iter().map(|number| (number, None));
    let put = subjects.put.into_iter().map(|(number, subject)| (number, Some(subject)));
    gone.chain(put).try_for_each(|(number, subject)| put_subject(tables, bank, number, subject))?;
    turn_cgroups(tables, bank, change(&old.cgroups, &new.cgroups))
}

fn turn_cgroups(tables: &mut Tables, bank: u32, cgroups: Change<u64, Cgroup>) -> Result<(), DatapathError> {
    let gone: Vec<_> = cgroups.gone.into_iter().map(|id| keys::cgroup(bank, id)).collect();
    let put = cgroups.put.into_iter().map(|(id, whose)| (keys::cgroup(bank, id), whose));
    clear(&mut tables.cgroups, &gone).and_then(|()| fill(&mut tables.cgroups, put)).map_err(failed("CGROUPS"))
}

/// Says whose cgroups are, in the bank in force; during a trial, in the one that may come in force again as well. No flow is judged anew: to
/// those that there are, nothing has changed.
pub(super) fn set_cgroups(
    tables: &mut Tables,
    banks: &mut Banks,
    cgroups: &[(u64, Option<Cgroup>)],
) -> Result<(), DatapathError> {
    let control = tables.control.read()?;
    let behind = control.is_unconfirmed().then_some(control.bank() ^ 1);
    let set = set_cgroups_of(behind.into_iter().chain([control.bank()]), tables, banks, cgroups);
    // Also where not all could be written.
    tables.control.reown().and(set)
}

fn set_cgroups_of(
    of: impl Iterator<Item = u32>,
    tables: &mut Tables,
    banks: &mut Banks,
    cgroups: &[(u64, Option<Cgroup>)],
) -> Result<(), DatapathError> {
    for bank in of {
        let put = cgroups.iter().filter_map(|&(id, whose)| Some((id, whose?))).collect();
        let gone = cgroups.iter().filter(|(_, whose)| whose.is_none()).map(|(id, _)| *id).collect();
        let record = banks.0[bank as usize].take();
        turn_cgroups(tables, bank, Change { put, gone })?;
        banks.0[bank as usize] = record.map(|mut record| {
            record.set_cgroups(cgroups);
            record
        });
    }
    Ok(())
}

/// Writes what stands at indexes.
pub(super) fn write_indexed(tables: &mut Tables, bank: u32, new: &Bank) -> Result<(), DatapathError> {
    let intervals = (bank * limits::INTERVALS..).zip(new.intervals.iter().copied());
    let decisions = (bank * limits::DECISIONS..).zip(new.decisions.iter().copied());
    fill(&mut tables.intervals, intervals).map_err(failed("INTERVALS"))?;
    fill(&mut tables.decisions, decisions).map_err(failed("DECISIONS"))?;
    tables.generations.set(bank, new.generation, 0).map_err(failed("GENERATIONS"))
}

fn turn_family<const N: usize>(
    family: &mut Family<N>,
    bank: u32,
    addresses: Change<Address<N>, Endpoint>,
    prefixes: Change<(u32, Address<N>), Endpoint>,
) -> Result<(), MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let gone: Vec<_> = addresses.gone.into_iter().map(|address| keys::exact(bank, address)).collect();
    clear(&mut family.addresses, &gone)?;
    let gone: Vec<_> = prefixes.gone.into_iter().map(|net| keys::prefix(bank, net)).collect();
    clear(&mut family.prefixes, &gone)?;
    fill(
        &mut family.addresses,
        addresses.put.into_iter().map(|(key, value)| (keys::exact(bank, key), value)),
    )?;
    fill(&mut family.prefixes, prefixes.put.into_iter().map(|(net, value)| (keys::prefix(bank, net), value)))
}

/// Which bank is changed in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one in force.
    InForce,
    /// During a trial, the one that may come in force again.
    Behind,
}

/// Changes a bank that packets may be judged by. Each step leaves tables that judge every packet as before or as afterwards; the new
/// epoch at the end has all open flows judged again.
pub(super) fn apply(
    tables: &mut Tables,
    banks: &mut Banks,
    which: Which,
    delta: &Delta,
    subjects: &[(u32, Option<Subject>)],
) -> Result<Epoch, DatapathError> {
    let control = tables.control.read()?;
    if control.epoch() == 0 {
        return Err(DatapathError::new("nothing is installed that could be changed"));
    }
    let bank = match which {
        Which::InForce => control.bank(),
        Which::Behind if control.is_unconfirmed() => control.bank() ^ 1,
        Which::Behind => return Err(DatapathError::new("no generation is on trial")),
    };
    // Until the new epoch: whoever finds the word like this knows that it was cut short.
    tables.control.begin()?;
    let record = banks.0[bank as usize].take();
    add_rules(tables, bank, delta)?;
    // Keys as a bank's record has them.
    let mut part = Bank::default();
    part.apply_keyed(delta, subjects);
    // How somebody is cut off, before the marks that say that he is; and the other way round.
    let key = |identity| QuarantineKey { bank, identity };
    let put = part.quarantines.into_iter().map(|(identity, quarantine)| (key(identity), quarantine));
    fill(&mut tables.quarantines, put).map_err(failed("QUARANTINES"))?;
    fill_family(&mut tables.v4, bank, part.addresses4, part.prefixes4)
        .map_err(failed("ADDRESSES4 or PREFIXES4"))?;
    fill_family(&mut tables.v6, bank, part.addresses6, part.prefixes6)
        .map_err(failed("ADDRESSES6 or PREFIXES6"))?;
    for &(ifindex, subject) in subjects {
        put_subject(tables, bank, ifindex, subject)?;
    }
    remove(tables, bank, delta)?;
    if let Some(generation) = delta.generation {
        tables.generations.set(bank, generation, 0).map_err(failed("GENERATIONS"))?;
    }
    let epoch = tables.control.step()?;
    banks.0[bank as usize] = record.map(|mut record| {
        record.apply(delta, subjects);
        record
    });
    Ok(epoch)
}

/// Decisions before the break points that name them, break points before the pairs that name them.
fn add_rules(tables: &mut Tables, bank: u32, delta: &Delta) -> Result<(), DatapathError> {
    let within = |what: &str, index: Option<u32>, limit: u32| match index {
        Some(index) if index >= limit => {
            Err(DatapathError::does_not_fit(what, index as usize + 1, limit as usize))
        }
        _ => Ok(()),
    };
    within(
        "port set break points",
        delta.intervals.iter().map(|(index, _)| *index).max(),
        limits::INTERVALS,
    )?;
    within("port set decisions", delta.decisions.iter().map(|(index, _)| *index).max(), limits::DECISIONS)?;
    let decisions = delta.decisions.iter().map(|&(index, value)| (bank * limits::DECISIONS + index, value));
    let intervals = delta.intervals.iter().map(|&(index, value)| (bank * limits::INTERVALS + index, value));
    fill(&mut tables.decisions, decisions).map_err(failed("DECISIONS"))?;
    fill(&mut tables.intervals, intervals).map_err(failed("INTERVALS"))?;
    let pairs = delta.pairs.iter().filter_map(|&(key, ports)| Some((in_bank(bank, key), ports?)));
    fill(&mut tables.pairs, pairs).map_err(failed("PAIRS"))?;
    if let Some(generation) = delta.generation {
        // Tables that become used have to be looked at from now on, those that fall out of use still for a while.
        let old = tables.generations.get(&bank, 0).map_err(failed("GENERATIONS"))?;
        let both = Generation { flags: old.flags | generation.flags, ..old };
        tables.generations.set(bank, both, 0).map_err(failed("GENERATIONS"))?;
    }
    Ok(())
}

fn fill_family<const N: usize>(
    family: &mut Family<N>,
    bank: u32,
    addresses: Vec<(Address<N>, Endpoint)>,
    prefixes: Vec<((u32, Address<N>), Endpoint)>,
) -> Result<(), MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    turn_family(
        family,
        bank,
        Change { put: addresses, gone: Vec::new() },
        Change { put: prefixes, gone: Vec::new() },
    )
}

fn remove(tables: &mut Tables, bank: u32, delta: &Delta) -> Result<(), DatapathError> {
    /// Keys whose value is to go.
    fn gone<K: Copy, V, T>(entries: &[(K, Option<V>)], key: impl Fn(K) -> T) -> Vec<T> {
        entries.iter().filter(|(_, value)| value.is_none()).map(|(k, _)| key(*k)).collect()
    }
    let addresses4 = gone(&delta.addresses4, |address| keys::exact(bank, address));
    let addresses6 = gone(&delta.addresses6, |address| keys::exact(bank, address));
    let prefixes4 = gone(&delta.prefixes4, |net| {
        keys::prefix(bank, (net.prefix_len().into(), keys::address4(net.network())))
    });
    let prefixes6 = gone(&delta.prefixes6, |net| {
        keys::prefix(bank, (net.prefix_len().into(), keys::address6(net.network())))
    });
    clear(&mut tables.v4.addresses, &addresses4).map_err(failed("ADDRESSES4"))?;
    clear(&mut tables.v6.addresses, &addresses6).map_err(failed("ADDRESSES6"))?;
    clear(&mut tables.v4.prefixes, &prefixes4).map_err(failed("PREFIXES4"))?;
    clear(&mut tables.v6.prefixes, &prefixes6).map_err(failed("PREFIXES6"))?;
    clear(&mut tables.pairs, &gone(&delta.pairs, |key| in_bank(bank, key))).map_err(failed("PAIRS"))?;
    let released = gone(&delta.quarantines, |identity| QuarantineKey { bank, identity });
    clear(&mut tables.quarantines, &released).map_err(failed("QUARANTINES"))
}

fn in_bank(bank: u32, key: PairKey) -> PairKey {
    keys::pair(bank, [key.table & 1, key.subject, key.peer])
}

fn put_subject(
    tables: &mut Tables,
    bank: u32,
    number: u32,
    subject: Option<Subject>,
) -> Result<(), DatapathError> {
    let value = subject.unwrap_or_default();
    match keys::subject(bank, number) {
        SubjectPlace::Device(slot) => tables.subjects.set(slot, value, 0).map_err(failed("SUBJECTS")),
        SubjectPlace::Resident(slot) => tables.residents.set(slot, value, 0).map_err(failed("RESIDENTS")),
        SubjectPlace::High(key) => match subject {
            Some(subject) => tables.subjects_high.insert(key, subject, 0),
            None => clear(&mut tables.subjects_high, &[key]),
        }
        .map_err(failed("SUBJECTS_HIGH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_figure_and_limit() {
        let mut image = Image::default();
        assert!(check(&image, &[]).is_ok());
        let net = "10.0.0.0/8".parse().unwrap();
        image.prefixes4 = vec![(net, Endpoint::default()); limits::PREFIXES as usize / 2 + 1];
        let message = check(&image, &[]).unwrap_err().to_string();
        assert_eq!(message, "the policy set needs `131073` IPv4 prefixes, and there is room for 131072");
    }
}
