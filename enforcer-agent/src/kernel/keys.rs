//! Keys as the maps have them.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use enforcer_common::address::{self, Address};
use enforcer_common::maps::{AddressKey, CgroupKey, PairKey, Subject, SubjectKey};

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

/// A cgroup in a bank.
pub(super) const fn cgroup(bank: u32, id: u64) -> CgroupKey {
    CgroupKey::new(bank, id)
}

/// Where a subject stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SubjectPlace {
    /// In the array of devices.
    Device(u32),
    /// In the array of those who are known by their cgroups.
    Resident(u32),
    /// In the hash.
    High(SubjectKey),
}

/// Where the subject with this number stands.
pub(super) const fn subject(bank: u32, number: u32) -> SubjectPlace {
    let resident = number ^ Subject::CGROUP;
    if number < Subject::DIRECT {
        SubjectPlace::Device(number * 2 + bank)
    } else if resident < Subject::DIRECT {
        SubjectPlace::Resident(resident * 2 + bank)
    } else {
        SubjectPlace::High(SubjectKey { bank, number })
    }
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
        let places = [(0, 5), (1, 5), (1, Subject::hosted(5)), (0, 65_536)].map(|(bank, n)| subject(bank, n));
        let high = SubjectPlace::High(SubjectKey { bank: 0, number: 65_536 });
        let wanted = [SubjectPlace::Device(10), SubjectPlace::Device(11), SubjectPlace::Resident(11), high];
        assert_eq!(places, wanted);
        let elsewhere = Subject::at(Subject::hosted(5), 1);
        assert_eq!(subject(0, elsewhere), SubjectPlace::High(SubjectKey { bank: 0, number: elsewhere }));
    }
}
