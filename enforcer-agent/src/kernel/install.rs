//! Generations: filled aside, switched with one write, changed in place by deltas.

use std::collections::BTreeSet;
use std::time::Duration;

use aya::Pod;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, MapData, MapError};
use enforcer_common::address;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{AddressKey, Endpoint, Generation, PairKey, Subject, SubjectKey, limits};
use enforcer_policy::compile::{Delta, Image};
use ipnet::{Ipv4Net, Ipv6Net};

use super::batch::{clear, dump, fill};
use super::sys;
use super::tables::{Family, Tables};
use crate::datapath::{DatapathError, Epoch};

/// How long to let packets finish where the kernel can't say that they have. Far above any packet's way through a program.
const PACKETS_FINISH: Duration = Duration::from_millis(200);

/// Which subjects stand in a bank's slots, where known: not after a restart, until the first look.
#[derive(Debug, Default)]
pub(super) struct Slots([Option<BTreeSet<u32>>; 2]);

/// Names a table in an error.
fn failed(table: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::caused(format_args!("cannot write the map `{table}`"), error)
}

/// Refuses what wouldn't fit, before anything is touched.
pub(super) fn check(image: &Image) -> Result<(), DatapathError> {
    let sizes = [
        ("IPv4 addresses", image.addresses4.len(), limits::ADDRESSES),
        ("IPv6 addresses", image.addresses6.len(), limits::ADDRESSES),
        // Both banks share these.
        ("IPv4 prefixes", image.prefixes4.len(), limits::PREFIXES / 2),
        ("IPv6 prefixes", image.prefixes6.len(), limits::PREFIXES / 2),
        ("pairs of classes", image.pairs.len(), limits::PAIRS),
        ("port set break points", image.intervals.len(), limits::INTERVALS),
        ("port set decisions", image.decisions.len(), limits::DECISIONS),
    ];
    match sizes.into_iter().find(|(_, count, limit)| *count > *limit as usize) {
        Some((what, count, limit)) => Err(DatapathError::does_not_fit(what, count, limit as usize)),
        None => Ok(()),
    }
}

/// Fills the bank that isn't in force and switches to it.
pub(super) fn install(
    tables: &mut Tables,
    slots: &mut Slots,
    image: &Image,
    subjects: &[(u32, Subject)],
) -> Result<Epoch, DatapathError> {
    check(image)?;
    let bank = tables.control.read()?.bank() ^ 1;
    // Packets that began before the last switch may still be reading this bank.
    if !sys::wait_for_packets() {
        std::thread::sleep(PACKETS_FINISH);
    }
    empty(tables, slots, bank)?;
    fill_bank(tables, image, bank)?;
    slots.0[bank as usize] = Some(BTreeSet::new());
    for &(ifindex, subject) in subjects {
        put_subject(tables, slots, bank, ifindex, Some(subject))?;
    }
    tables.generations.set(bank, image.generation, 0).map_err(failed("GENERATIONS"))?;
    tables.control.advance(bank)
}

/// Takes out whatever an older generation, or an attempt that was cut short, left in a bank.
fn empty(tables: &mut Tables, slots: &mut Slots, bank: u32) -> Result<(), DatapathError> {
    empty_family(&mut tables.v4, bank).map_err(failed("ADDRESSES4"))?;
    empty_family(&mut tables.v6, bank).map_err(failed("ADDRESSES6"))?;
    let mut pairs = Vec::new();
    let mut high = Vec::new();
    dump(&tables.pairs, |key: PairKey, _| {
        if key.table >> 1 == bank {
            pairs.push(key)
        }
    })
    .and_then(|()| clear(&mut tables.pairs, &pairs))
    .map_err(failed("PAIRS"))?;
    dump(&tables.subjects_high, |key: SubjectKey, _| {
        if key.bank == bank {
            high.push(key)
        }
    })
    .and_then(|()| clear(&mut tables.subjects_high, &high))
    .map_err(failed("SUBJECTS_HIGH"))?;
    let written = match slots.0[bank as usize].take() {
        Some(written) => written.into_iter().collect(),
        None => occupied(&tables.subjects, bank).map_err(failed("SUBJECTS"))?,
    };
    let blank = written.into_iter().map(|number| (slot(number, bank), Subject::default()));
    fill(&mut tables.subjects, blank).map_err(failed("SUBJECTS"))
}

fn empty_family<const N: usize>(family: &mut Family<N>, bank: u32) -> Result<(), MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let mut addresses = Vec::new();
    dump(&family.addresses, |key: AddressKey<N>, _| {
        if key.bank == bank {
            addresses.push(key)
        }
    })?;
    clear(&mut family.addresses, &addresses)?;
    let mut prefixes = Vec::new();
    dump(&family.prefixes, |key: Key<AddressKey<N>>, _| {
        if key.data().bank == bank {
            prefixes.push(key)
        }
    })?;
    clear(&mut family.prefixes, &prefixes)
}

/// Interface indexes whose slot in a bank isn't blank.
fn occupied(subjects: &Array<MapData, Subject>, bank: u32) -> Result<Vec<u32>, MapError> {
    let mut found = Vec::new();
    dump(subjects, |index: u32, subject: Subject| {
        if index & 1 == bank && subject != Subject::default() {
            found.push(index >> 1);
        }
    })?;
    Ok(found)
}

fn fill_bank(tables: &mut Tables, image: &Image, bank: u32) -> Result<(), DatapathError> {
    let address4 =
        image.addresses4.iter().map(|&(address, endpoint)| (AddressKey { bank, address }, endpoint));
    let address6 =
        image.addresses6.iter().map(|&(address, endpoint)| (AddressKey { bank, address }, endpoint));
    let prefixes4 = image.prefixes4.iter().map(|&(net, endpoint)| (key4(bank, net), endpoint));
    let prefixes6 = image.prefixes6.iter().map(|&(net, endpoint)| (key6(bank, net), endpoint));
    let pairs = image.pairs.iter().map(|&(key, ports)| (in_bank(key, bank), ports));
    let intervals = (bank * limits::INTERVALS..).zip(image.intervals.iter().copied());
    let decisions = (bank * limits::DECISIONS..).zip(image.decisions.iter().copied());
    fill(&mut tables.v4.addresses, address4).map_err(failed("ADDRESSES4"))?;
    fill(&mut tables.v6.addresses, address6).map_err(failed("ADDRESSES6"))?;
    fill(&mut tables.v4.prefixes, prefixes4).map_err(failed("PREFIXES4"))?;
    fill(&mut tables.v6.prefixes, prefixes6).map_err(failed("PREFIXES6"))?;
    fill(&mut tables.pairs, pairs).map_err(failed("PAIRS"))?;
    fill(&mut tables.intervals, intervals).map_err(failed("INTERVALS"))?;
    fill(&mut tables.decisions, decisions).map_err(failed("DECISIONS"))
}

/// Changes the bank in force. Each step leaves tables that judge every packet as before or as afterwards; the new epoch at
/// the end has all open flows judged again.
pub(super) fn apply(
    tables: &mut Tables,
    slots: &mut Slots,
    delta: &Delta,
    subjects: &[(u32, Option<Subject>)],
) -> Result<Epoch, DatapathError> {
    let control = tables.control.read()?;
    if control.epoch() == 0 {
        return Err(DatapathError::new("nothing is installed that could be changed"));
    }
    let bank = control.bank();
    add(tables, delta, bank)?;
    for &(ifindex, subject) in subjects {
        put_subject(tables, slots, bank, ifindex, subject)?;
    }
    remove(tables, delta, bank)?;
    if let Some(generation) = delta.generation {
        tables.generations.set(bank, generation, 0).map_err(failed("GENERATIONS"))?;
    }
    tables.control.advance(bank)
}

fn add(tables: &mut Tables, delta: &Delta, bank: u32) -> Result<(), DatapathError> {
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
    let decisions =
        delta.decisions.iter().map(|&(index, decision)| (bank * limits::DECISIONS + index, decision));
    let intervals =
        delta.intervals.iter().map(|&(index, interval)| (bank * limits::INTERVALS + index, interval));
    fill(&mut tables.decisions, decisions).map_err(failed("DECISIONS"))?;
    fill(&mut tables.intervals, intervals).map_err(failed("INTERVALS"))?;
    let pairs = delta.pairs.iter().filter_map(|&(key, ports)| Some((in_bank(key, bank), ports?)));
    fill(&mut tables.pairs, pairs).map_err(failed("PAIRS"))?;
    if let Some(generation) = delta.generation {
        // Tables that become used have to be looked at from now on, those that fall out of use still for a while.
        let old = tables.generations.get(&bank, 0).map_err(failed("GENERATIONS"))?;
        let both = Generation { flags: old.flags | generation.flags, ..old };
        tables.generations.set(bank, both, 0).map_err(failed("GENERATIONS"))?;
    }
    let some = |endpoint: Option<Endpoint>| endpoint;
    let prefixes4 =
        delta.prefixes4.iter().filter_map(|&(net, endpoint)| Some((key4(bank, net), some(endpoint)?)));
    let prefixes6 =
        delta.prefixes6.iter().filter_map(|&(net, endpoint)| Some((key6(bank, net), some(endpoint)?)));
    fill(&mut tables.v4.prefixes, prefixes4).map_err(failed("PREFIXES4"))?;
    fill(&mut tables.v6.prefixes, prefixes6).map_err(failed("PREFIXES6"))?;
    let address4 = delta
        .addresses4
        .iter()
        .filter_map(|&(address, endpoint)| Some((AddressKey { bank, address }, endpoint?)));
    let address6 = delta
        .addresses6
        .iter()
        .filter_map(|&(address, endpoint)| Some((AddressKey { bank, address }, endpoint?)));
    fill(&mut tables.v4.addresses, address4).map_err(failed("ADDRESSES4"))?;
    fill(&mut tables.v6.addresses, address6).map_err(failed("ADDRESSES6"))
}

fn remove(tables: &mut Tables, delta: &Delta, bank: u32) -> Result<(), DatapathError> {
    /// Keys whose value is to go.
    fn gone<K: Copy, V, T>(entries: &[(K, Option<V>)], key: impl Fn(K) -> T) -> Vec<T> {
        entries.iter().filter(|(_, value)| value.is_none()).map(|(k, _)| key(*k)).collect()
    }
    let address4 = gone(&delta.addresses4, |address| AddressKey { bank, address });
    let address6 = gone(&delta.addresses6, |address| AddressKey { bank, address });
    clear(&mut tables.v4.addresses, &address4).map_err(failed("ADDRESSES4"))?;
    clear(&mut tables.v6.addresses, &address6).map_err(failed("ADDRESSES6"))?;
    clear(&mut tables.v4.prefixes, &gone(&delta.prefixes4, |net| key4(bank, net)))
        .map_err(failed("PREFIXES4"))?;
    clear(&mut tables.v6.prefixes, &gone(&delta.prefixes6, |net| key6(bank, net)))
        .map_err(failed("PREFIXES6"))?;
    clear(&mut tables.pairs, &gone(&delta.pairs, |key| in_bank(key, bank))).map_err(failed("PAIRS"))
}

fn put_subject(
    tables: &mut Tables,
    slots: &mut Slots,
    bank: u32,
    ifindex: u32,
    subject: Option<Subject>,
) -> Result<(), DatapathError> {
    if ifindex < Subject::DIRECT {
        let blank = subject.unwrap_or_default();
        tables.subjects.set(slot(ifindex, bank), blank, 0).map_err(failed("SUBJECTS"))?;
        if let Some(written) = &mut slots.0[bank as usize] {
            written.insert(ifindex);
        }
        return Ok(());
    }
    let key = SubjectKey { bank, number: ifindex };
    match subject {
        Some(subject) => tables.subjects_high.insert(key, subject, 0),
        None => clear(&mut tables.subjects_high, &[key]),
    }
    .map_err(failed("SUBJECTS_HIGH"))
}

const fn slot(ifindex: u32, bank: u32) -> u32 {
    ifindex * 2 + bank
}

const fn in_bank(key: PairKey, bank: u32) -> PairKey {
    PairKey { table: bank << 1 | key.table & 1, ..key }
}

fn key4(bank: u32, net: Ipv4Net) -> Key<AddressKey<1>> {
    let address = address::v4(net.network().octets());
    Key::new(32 + u32::from(net.prefix_len()), AddressKey { bank, address })
}

fn key6(bank: u32, net: Ipv6Net) -> Key<AddressKey<4>> {
    let address = address::v6(net.network().octets());
    Key::new(32 + u32::from(net.prefix_len()), AddressKey { bank, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_figure_and_limit() {
        let mut image = Image::default();
        assert!(check(&image).is_ok());
        let net = "10.0.0.0/8".parse().unwrap();
        image.prefixes4 = vec![(net, Endpoint::default()); limits::PREFIXES as usize / 2 + 1];
        let message = check(&image).unwrap_err().to_string();
        assert_eq!(message, "the policy set needs `131073` IPv4 prefixes, and there is room for 131072");
    }

    #[test]
    fn keys_carry_their_bank() {
        let key = PairKey::new(0, enforcer_common::maps::Direction::Ingress, 7, 8);
        assert_eq!(in_bank(key, 1).table, 3);
        assert_eq!(in_bank(in_bank(key, 1), 0), key);
        let prefix = key4(1, "10.1.2.3/16".parse().unwrap());
        assert_eq!((prefix.prefix_len(), prefix.data().bank), (48, 1));
        assert_eq!({ prefix.data().address }, address::v4([10, 1, 0, 0]));
    }
}
