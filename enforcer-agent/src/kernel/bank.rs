//! What stands in a bank. Remembered, so that a new generation costs what it changes; read from the kernel after a
//! restart, or where an attempt was cut short.

use aya::Pod;
use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use enforcer_common::address::Address;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{
    AddressKey, Cgroup, CgroupKey, Endpoint, Generation, PairKey, Quarantine, QuarantineKey, Subject,
};
use enforcer_common::{Decision, Interval, PortSet};
use enforcer_policy::compile::{Delta, Image};
use ipnet::{Ipv4Net, Ipv6Net};

use super::batch::dump;
use super::keys;
use super::tables::{Family, Tables};

/// Key and value of entries, sorted by key, each key once.
pub(super) type Entries<K, V> = Vec<(K, V)>;

/// The contents of a bank as keys without their bank.
#[derive(Clone, Debug, Default)]
pub(super) struct Bank {
    pub(super) generation: Generation,
    /// By index. Behind these may stand others of earlier generations; nothing points to them, and they aren't read back.
    pub(super) intervals: Vec<Interval>,
    pub(super) decisions: Vec<Decision>,
    pub(super) addresses4: Entries<Address<1>, Endpoint>,
    pub(super) addresses6: Entries<Address<4>, Endpoint>,
    /// By prefix length and address.
    pub(super) prefixes4: Entries<(u32, Address<1>), Endpoint>,
    pub(super) prefixes6: Entries<(u32, Address<4>), Endpoint>,
    /// By direction, subject and peer.
    pub(super) pairs: Entries<[u32; 3], PortSet>,
    pub(super) subjects: Entries<u32, Subject>,
    pub(super) cgroups: Entries<u64, Cgroup>,
    /// By identity.
    pub(super) quarantines: Entries<u32, Quarantine>,
}

/// What turns one list of entries into another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<K, V> {
    pub(super) put: Vec<(K, V)>,
    pub(super) gone: Vec<K>,
}

/// Compares two sorted lists.
pub(super) fn change<K: Ord + Copy, V: PartialEq + Copy>(old: &[(K, V)], new: &[(K, V)]) -> Change<K, V> {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    let mut old = old.iter().peekable();
    for &(key, value) in new {
        gone.extend(std::iter::from_fn(|| old.next_if(|(before, _)| *before < key)).map(|(key, _)| *key));
        match old.next_if(|(same, _)| *same == key) {
            Some((_, before)) if *before == value => {}
            _ => put.push((key, value)),
        }
    }
    gone.extend(old.map(|(key, _)| *key));
    Change { put, gone }
}

fn sorted<K: Ord + Copy, V: Copy>(entries: impl Iterator<Item = (K, V)>) -> Entries<K, V> {
    let mut entries: Entries<K, V> = entries.collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

fn set<K: Ord + Copy, V>(entries: &mut Entries<K, V>, key: K, value: Option<V>) {
    match (entries.binary_search_by_key(&key, |(key, _)| *key), value) {
        (Ok(at), Some(value)) => entries[at].1 = value,
        (Ok(at), None) => drop(entries.remove(at)),
        (Err(at), Some(value)) => entries.insert(at, (key, value)),
        (Err(_), None) => {}
    }
}

/// Writes values to their indexes.
fn place<V: Copy>(values: &mut Vec<V>, changes: &[(u32, V)], between: V) {
    for &(index, value) in changes {
        let index = index as usize;
        if index >= values.len() {
            values.resize(index + 1, between);
        }
        values[index] = value;
    }
}

const fn pair(key: PairKey) -> [u32; 3] {
    [key.table & 1, key.subject, key.peer]
}

fn net4(net: Ipv4Net) -> (u32, Address<1>) {
    (net.prefix_len().into(), keys::address4(net.network()))
}

fn net6(net: Ipv6Net) -> (u32, Address<4>) {
    (net.prefix_len().into(), keys::address6(net.network()))
}

impl Bank {
    /// What installing this makes of a bank.
    pub(super) fn of(image: &Image, subjects: &[(u32, Subject)], cgroups: &[(u64, Cgroup)]) -> Self {
        Self {
            generation: image.generation,
            intervals: image.intervals.clone(),
            decisions: image.decisions.clone(),
            addresses4: sorted(image.addresses4.iter().copied()),
            addresses6: sorted(image.addresses6.iter().copied()),
            prefixes4: sorted(image.prefixes4.iter().map(|&(net, endpoint)| (net4(net), endpoint))),
            prefixes6: sorted(image.prefixes6.iter().map(|&(net, endpoint)| (net6(net), endpoint))),
            pairs: sorted(image.pairs.iter().map(|&(key, ports)| (pair(key), ports))),
            subjects: sorted(subjects.iter().copied()),
            cgroups: sorted(cgroups.iter().copied()),
            quarantines: sorted(image.quarantines.iter().copied()),
        }
    }

    /// Cgroups that come, change and go.
    pub(super) fn set_cgroups(&mut self, cgroups: &[(u64, Option<Cgroup>)]) {
        cgroups.iter().for_each(|&(id, whose)| set(&mut self.cgroups, id, whose));
    }

    /// What the delta makes of it.
    pub(super) fn apply(&mut self, delta: &Delta, subjects: &[(u32, Option<Subject>)]) {
        self.apply_keyed(delta, subjects);
        self.generation = delta.generation.unwrap_or(self.generation);
        place(&mut self.intervals, &delta.intervals, Interval { start: 0, decision: 0 });
        place(&mut self.decisions, &delta.decisions, Decision::NONE);
    }

    /// What it makes of that which stands under keys.
    pub(super) fn apply_keyed(&mut self, delta: &Delta, subjects: &[(u32, Option<Subject>)]) {
        delta.addresses4.iter().for_each(|&(key, value)| set(&mut self.addresses4, key, value));
        delta.addresses6.iter().for_each(|&(key, value)| set(&mut self.addresses6, key, value));
        delta.prefixes4.iter().for_each(|&(key, value)| set(&mut self.prefixes4, net4(key), value));
        delta.prefixes6.iter().for_each(|&(key, value)| set(&mut self.prefixes6, net6(key), value));
        delta.pairs.iter().for_each(|&(key, value)| set(&mut self.pairs, pair(key), value));
        delta.quarantines.iter().for_each(|&(key, value)| set(&mut self.quarantines, key, value));
        subjects.iter().for_each(|&(key, value)| set(&mut self.subjects, key, value));
    }

    /// Looks what there is, but for what stands at indexes.
    pub(super) fn read(tables: &Tables, bank: u32) -> Result<Self, MapError> {
        let (addresses4, prefixes4) = read_family(&tables.v4, bank)?;
        let (addresses6, prefixes6) = read_family(&tables.v6, bank)?;
        let mut pairs = Vec::new();
        dump(&tables.pairs, |key: PairKey, ports| {
            if key.table >> 1 == bank {
                pairs.push((pair(key), ports));
            }
        })?;
        let mut subjects = Vec::new();
        dump(&tables.subjects, |index: u32, subject: Subject| {
            if index & 1 == bank && subject != Subject::default() {
                subjects.push((index >> 1, subject));
            }
        })?;
        dump(&tables.residents, |index: u32, subject: Subject| {
            if index & 1 == bank && subject != Subject::default() {
                subjects.push((Subject::hosted(index >> 1), subject));
            }
        })?;
        let mut cgroups = Vec::new();
        dump(&tables.cgroups, |key: CgroupKey, whose| {
            if key.bank() == bank {
                cgroups.push((key.id(), whose));
            }
        })?;
        dump(&tables.subjects_high, |key, subject| {
            if key.bank == bank {
                subjects.push((key.number, subject));
            }
        })?;
        let mut quarantines = Vec::new();
        dump(&tables.quarantines, |key: QuarantineKey, quarantine| {
            if key.bank == bank {
                quarantines.push((key.identity, quarantine));
            }
        })?;
        let quarantines = sorted(quarantines.into_iter());
        let (pairs, subjects) = (sorted(pairs.into_iter()), sorted(subjects.into_iter()));
        let cgroups = sorted(cgroups.into_iter());
        Ok(Self {
            addresses4,
            addresses6,
            prefixes4,
            prefixes6,
            pairs,
            subjects,
            quarantines,
            cgroups,
            ..Self::default()
        })
    }
}

type OfFamily<const N: usize> = (Entries<Address<N>, Endpoint>, Entries<(u32, Address<N>), Endpoint>);

fn read_family<const N: usize>(family: &Family<N>, bank: u32) -> Result<OfFamily<N>, MapError>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    let (mut addresses, mut prefixes) = (Vec::new(), Vec::new());
    dump(&family.addresses, |key: AddressKey<N>, endpoint| {
        if key.bank == bank {
            addresses.push((key.address, endpoint));
        }
    })?;
    dump(&family.prefixes, |key: Key<AddressKey<N>>, endpoint| {
        let AddressKey { bank: its, address } = key.data();
        if its == bank {
            prefixes.push(((key.prefix_len() - keys::BANK_BITS, address), endpoint));
        }
    })?;
    Ok((sorted(addresses.into_iter()), sorted(prefixes.into_iter())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_differs() {
        let old = [(1, 'a'), (2, 'b'), (4, 'd'), (6, 'f')];
        let new = [(2, 'b'), (3, 'c'), (4, 'x'), (5, 'e')];
        assert_eq!(change(&old, &new), Change { put: vec![(3, 'c'), (4, 'x'), (5, 'e')], gone: vec![1, 6] });
        assert_eq!(change(&old, &old), Change { put: vec![], gone: vec![] });
        assert_eq!(change(&old, &[]).gone, [1, 2, 4, 6]);
        assert_eq!(change(&[], &old).put, old);
    }

    #[test]
    fn a_delta_does_to_the_record_what_it_does_to_the_map() {
        let endpoint = |identity| Endpoint { identity, ..Endpoint::default() };
        let image = Image { addresses4: vec![([9], endpoint(9)), ([1], endpoint(1))], ..Image::default() };
        let mut bank = Bank::of(&image, &[(7, Subject::default())], &[]);
        let interval = |start| Interval { start, decision: 0 };
        let delta = Delta {
            intervals: vec![(1, interval(8)), (3, interval(9))],
            addresses4: vec![([1], None), ([5], Some(endpoint(5))), ([9], Some(endpoint(8)))],
            prefixes4: vec![("10.1.2.3/8".parse().unwrap(), Some(endpoint(3)))],
            ..Delta::default()
        };
        bank.apply(&delta, &[(7, None), (3, Some(Subject::default()))]);
        assert_eq!(bank.addresses4, [([5], endpoint(5)), ([9], endpoint(8))]);
        assert_eq!(bank.prefixes4, [((8, keys::address4([10, 0, 0, 0].into())), endpoint(3))]);
        assert_eq!(bank.subjects, [(3, Subject::default())]);
        assert_eq!(bank.intervals, [0, 8, 0, 9].map(interval));
    }
}
