//! Longest-prefix lookup.

use enforcer_common::address::{self, Address};
use enforcer_common::maps::Endpoint;
use ipnet::{Ipv4Net, Ipv6Net};
use rustc_hash::FxHashMap;

/// Prefixes of one family and bank: one hash, asked from the longest length that occurs to the shortest.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes<const N: usize, V = Endpoint> {
    lengths: Vec<u8>,
    nets: FxHashMap<(u8, Address<N>), V>,
}

/// Length and network address.
pub(super) fn key4(net: &Ipv4Net) -> (u8, Address<1>) {
    (net.prefix_len(), address::v4(net.network().octets()))
}

/// Length and network address.
pub(super) fn key6(net: &Ipv6Net) -> (u8, Address<4>) {
    (net.prefix_len(), address::v6(net.network().octets()))
}

impl<const N: usize, V> Prefixes<N, V> {
    pub(super) fn new(entries: impl Iterator<Item = ((u8, Address<N>), V)>) -> Self {
        let mut prefixes = Self { lengths: Vec::new(), nets: entries.collect() };
        prefixes.measure();
        prefixes
    }

    pub(super) fn update(&mut self, changes: impl Iterator<Item = ((u8, Address<N>), Option<V>)>) {
        let mut changed = false;
        for (key, endpoint) in changes {
            match endpoint {
                Some(endpoint) => self.nets.insert(key, endpoint),
                None => self.nets.remove(&key),
            };
            changed = true;
        }
        if changed {
            self.measure();
        }
    }

    /// Notes which lengths occur.
    fn measure(&mut self) {
        self.lengths = self.nets.keys().map(|(length, _)| *length).collect();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }

    pub(super) fn get(&self, address: &Address<N>) -> Option<&V> {
        self.lengths.iter().find_map(|length| self.nets.get(&(*length, masked(address, *length))))
    }
}

fn masked<const N: usize>(address: &Address<N>, length: u8) -> Address<N> {
    let mut out = *address;
    for (index, word) in out.iter_mut().enumerate() {
        let bits = u32::from(length).saturating_sub(32 * index as u32).min(32);
        let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
        *word &= mask.to_be();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(identity: u32) -> Endpoint {
        Endpoint { identity, ..Endpoint::default() }
    }

    #[test]
    fn the_longest_prefix_answers() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"];
        let entries = nets.iter().zip(1..).map(|(net, n)| (key4(&net.parse().unwrap()), endpoint(n)));
        let prefixes = Prefixes::new(entries);
        for (at, expected) in [([10, 1, 2, 3], 2), ([10, 2, 2, 3], 1), ([11, 1, 2, 3], 3)] {
            assert_eq!(prefixes.get(&address::v4(at)), Some(&endpoint(expected)), "{at:?}");
        }
    }

    #[test]
    fn six_masks_in_every_word() {
        for length in 0..=128 {
            let net =
                Ipv6Net::new("abcd:ef01:2345:6789:abcd:ef01:2345:6789".parse().unwrap(), length).unwrap();
            let full = address::v6(net.addr().octets());
            assert_eq!(masked(&full, length), key6(&net).1, "/{length}");
        }
    }
}
