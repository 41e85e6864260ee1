//! The tables of one address family.

use super::prefixes::Prefixes;
use enforcer_common::address::Address;
use enforcer_common::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, Tier};
use enforcer_common::maps::{Direction, Endpoint, Failsafe, limits};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// How many entries the flow tables of one family take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Established flows; a full table takes no more.
    pub established: usize,
    /// New flows nobody has answered; a full table forgets the oldest.
    pub embryonic: usize,
    /// Fragmented datagrams under way; a full table forgets the oldest.
    pub fragments: usize,
}

impl Default for Capacity {
    /// As the kernel maps are made.
    fn default() -> Self {
        Self {
            established: limits::FLOWS as usize,
            embryonic: limits::EMBRYONIC as usize,
            fragments: limits::FRAGMENTS as usize,
        }
    }
}

/// Addresses, prefixes, flows and fragments of one family.
#[derive(Clone, Debug)]
pub(super) struct Family<const N: usize> {
    capacity: Capacity,
    addresses: [FxHashMap<Address<N>, Endpoint>; 2],
    prefixes: [Prefixes<N>; 2],
    /// What stays open at the machine itself.
    failsafe: Prefixes<N, Failsafe>,
    established: FxHashMap<FlowKey<N>, FlowEntry>,
    embryonic: FxHashMap<FlowKey<N>, FlowEntry>,
    embryonic_order: VecDeque<FlowKey<N>>,
    fragments: FxHashMap<FragmentKey<N>, FragmentEntry>,
    fragments_order: VecDeque<FragmentKey<N>>,
    /// Who has a socket: by protocol, address and port in network order.
    residents: FxHashMap<(u8, Address<N>, u16), u32>,
}

impl<const N: usize> Family<N> {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            addresses: Default::default(),
            prefixes: [Prefixes::default(), Prefixes::default()],
            failsafe: Prefixes::new(std::iter::empty()),
            established: FxHashMap::default(),
            embryonic: FxHashMap::default(),
            embryonic_order: VecDeque::new(),
            fragments: FxHashMap::default(),
            fragments_order: VecDeque::new(),
            residents: FxHashMap::default(),
        }
    }

    pub(super) fn house(&mut self, protocol: u8, address: Address<N>, port: u16, number: u32) {
        self.residents.insert((protocol, address, port.to_be()), number);
    }

    pub(super) fn resident(&self, key: &FlowKey<N>) -> u32 {
        self.residents.get(&(key.protocol, key.remote, key.remote_port)).copied().unwrap_or_default()
    }

    pub(super) fn load(
        &mut self,
        bank: usize,
        addresses: &[(Address<N>, Endpoint)],
        prefixes: impl Iterator<Item = ((u8, Address<N>), Endpoint)>,
    ) {
        self.addresses[bank] = addresses.iter().copied().collect();
        self.prefixes[bank] = Prefixes::new(prefixes);
    }

    pub(super) fn update(
        &mut self,
        bank: usize,
        addresses: &[(Address<N>, Option<Endpoint>)],
        prefixes: impl Iterator<Item = ((u8, Address<N>), Option<Endpoint>)>,
    ) {
        for (address, endpoint) in addresses {
            match endpoint {
                Some(endpoint) => self.addresses[bank].insert(*address, *endpoint),
                None => self.addresses[bank].remove(address),
            };
        }
        self.prefixes[bank].update(prefixes);
    }

    pub(super) fn forget(&mut self) {
        self.established.clear();
        self.embryonic.clear();
        self.embryonic_order.clear();
        self.fragments.clear();
        self.fragments_order.clear();
    }

    /// Forgets flows that have been idle for too long at tick `now`, and counts the established ones that stay.
    pub(super) fn sweep(&mut self, now: u32, mut stays: impl FnMut(u32, Direction)) {
        self.established.retain(|key, entry| {
            let lives = !entry.expired(now, key.protocol);
            if lives {
                stays(key.subject, entry.opener());
            }
            lives
        });
        self.embryonic.retain(|key, entry| !entry.expired(now, key.protocol));
        if self.embryonic_order.len() > self.embryonic.len().saturating_mul(2) {
            self.embryonic_order.retain(|key| self.embryonic.contains_key(key));
        }
    }

    pub(super) fn flows(&self, tier: Tier) -> usize {
        match tier {
            Tier::Established => self.established.len(),
            Tier::Embryonic => self.embryonic.len(),
        }
    }

    pub(super) fn flow(&mut self, tier: Tier, key: &FlowKey<N>) -> Option<&mut FlowEntry> {
        match tier {
            Tier::Established => self.established.get_mut(key),
            Tier::Embryonic => self.embryonic.get_mut(key),
        }
    }

    pub(super) fn insert_flow(&mut self, tier: Tier, key: &FlowKey<N>, entry: &FlowEntry) -> bool {
        match tier {
            Tier::Established => {
                if self.established.len() >= self.capacity.established && !self.established.contains_key(key)
                {
                    return false;
                }
                self.established.insert(*key, *entry);
                true
            }
            Tier::Embryonic => insert_bounded(
                &mut self.embryonic,
                &mut self.embryonic_order,
                self.capacity.embryonic,
                *key,
                *entry,
            ),
        }
    }

    pub(super) fn promote_flow(&mut self, key: &FlowKey<N>) {
        if let Some(entry) = self.embryonic.get(key).copied()
            && self.insert_flow(Tier::Established, key, &entry)
        {
            self.embryonic.remove(key);
        }
    }

    pub(super) fn remove_flow(&mut self, tier: Tier, key: &FlowKey<N>) {
        match tier {
            Tier::Established => self.established.remove(key),
            Tier::Embryonic => self.embryonic.remove(key),
        };
    }

    pub(super) fn address(&self, bank: usize, address: &Address<N>) -> Option<&Endpoint> {
        self.addresses.get(bank)?.get(address)
    }

    pub(super) fn prefix(&self, bank: usize, address: &Address<N>) -> Option<&Endpoint> {
        self.prefixes.get(bank)?.get(address)
    }

    pub(super) fn keep_open(&mut self, blocks: impl Iterator<Item = ((u8, Address<N>), Failsafe)>) {
        self.failsafe = Prefixes::new(blocks);
    }

    pub(super) fn failsafe(&self, address: &Address<N>) -> Option<&Failsafe> {
        self.failsafe.get(address)
    }

    pub(super) fn fragment(&mut self, key: &FragmentKey<N>) -> Option<&mut FragmentEntry> {
        self.fragments.get_mut(key)
    }

    pub(super) fn insert_fragment(&mut self, key: &FragmentKey<N>, entry: &FragmentEntry) -> bool {
        insert_bounded(&mut self.fragments, &mut self.fragments_order, self.capacity.fragments, *key, *entry)
    }

    pub(super) fn remove_fragment(&mut self, key: &FragmentKey<N>) {
        self.fragments.remove(key);
    }
}

/// Inserts, forgetting the oldest entry of a full table. `order` may name entries that are gone; twice as many as there is room for at most.
fn insert_bounded<K: Copy + Eq + std::hash::Hash, V>(
    table: &mut FxHashMap<K, V>,
    order: &mut VecDeque<K>,
    capacity: usize,
    key: K,
    value: V,
) -> bool {
    if capacity == 0 {
        return false;
    }
    if table.insert(key, value).is_none() {
        order.push_back(key);
    }
    while table.len() > capacity {
        let Some(oldest) = order.pop_front() else { break };
        table.remove(&oldest);
    }
    if order.len() > capacity.saturating_mul(2) {
        order.retain(|key| table.contains_key(key));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let (mut table, mut order) = (FxHashMap::default(), VecDeque::new());
        for key in 0..10_u32 {
            assert!(insert_bounded(&mut table, &mut order, 3, key, ()));
            assert!(order.len() <= 6);
        }
        let mut kept: Vec<_> = table.into_keys().collect();
        kept.sort_unstable();
        assert_eq!(kept, [7, 8, 9]);
    }
}
