//! Keys as the maps have them.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use enforcer_common::address::{self, Address};
use enforcer_common::maps::{AddressKey, PairKey};

/// Bits of a prefix key that say which bank it belongs to.
pub(super) const BANK_BITS: u32 = 32;

pub(super) fn address4(address: Ipv4Addr) -> Address<1> {
    address::v4(address.octets())
}

pub(super) fn address6(address: Ipv6Addr) -> Address<4> {
    address::v6(address.octets())
}

/// An exact address in a bank.
pub(super) const fn exact<const N: usize>(bank: u32, address: Address<N>) -> AddressKey<N> {
    AddressKey { bank, address }
}

/// A prefix in a bank.
pub(super) const fn prefix<const N: usize>(bank: u32, (len, address): (u32, Address<N>)) -> Key<AddressKey<N>>
where
    AddressKey<N>: aya::Pod,
{
    Key::new(BANK_BITS + len, AddressKey { bank, address })
}

/// A pair of classes in a bank.
pub(super) const fn pair(bank: u32, [direction, subject, peer]: [u32; 3]) -> PairKey {
    PairKey { table: bank << 1 | direction, subject, peer }
}

/// A subject's place in the array.
pub(super) const fn slot(bank: u32, ifindex: u32) -> u32 {
    ifindex * 2 + bank
}

#[cfg(test)]
mod tests {
    use enforcer_common::maps::Direction;

    use super::*;

    #[test]
    fn keys_carry_their_bank() {
        assert_eq!(pair(1, [1, 7, 8]), PairKey::new(1, Direction::Ingress, 7, 8));
        let key = prefix(1, (16, address4([10, 1, 0, 0].into())));
        assert_eq!((key.prefix_len(), { key.data().bank }), (48, 1));
        assert_eq!((slot(0, 5), slot(1, 5)), (10, 11));
    }
}
