//! Address blocks with exceptions. Blocks lie inside each other or apart, so they can be intersected and subtracted exactly.

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A block, without the blocks inside it that are taken out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Block {
    net: IpNet,
    except: BTreeSet<IpNet>,
}

impl Block {
    /// `None` where the exceptions leave nothing of it.
    pub(crate) fn new(net: IpNet, except: impl IntoIterator<Item = IpNet>) -> Option<Self> {
        let net = net.trunc();
        let inside: BTreeSet<IpNet> = except.into_iter().map(|out| out.trunc()).collect();
        if inside.iter().any(|out| out.contains(&net)) {
            return None;
        }
        let except = inside
            .iter()
            .filter(|out| net.contains(*out))
            .filter(|out| !inside.iter().any(|other| other != *out && other.contains(*out)))
            .copied()
            .collect();
        Some(Self { net, except })
    }

    /// All of IPv4 and all of IPv6.
    pub(crate) fn everything() -> [Self; 2] {
        [IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])]
            .map(|first| Self { net: IpNet::new_assert(first, 0), except: BTreeSet::new() })
    }

    /// The block itself.
    pub(crate) fn net(&self) -> IpNet {
        self.net
    }

    /// What is taken out of it.
    pub(crate) fn except(&self) -> &BTreeSet<IpNet> {
        &self.except
    }

    /// Whether it holds every address of its family.
    pub(crate) fn is_whole_family(&self) -> bool {
        self.net.prefix_len() == 0 && self.except.is_empty()
    }

    /// Whether it holds an address.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.net.contains(&address) && !self.except.iter().any(|out| out.contains(&address))
    }

    /// What both hold.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let net = if self.net.contains(&other.net) {
            other.net
        } else if other.net.contains(&self.net) {
            self.net
        } else {
            return None;
        };
        Self::new(net, self.except.iter().chain(&other.except).copied())
    }

    /// What this holds and the other doesn't.
    pub(crate) fn without(&self, other: &Self) -> Vec<Self> {
        if self.and(other).is_none() {
            return vec![self.clone()];
        }
        let outer = Self::new(self.net, self.except.iter().copied().chain([other.net]));
        let holes = other.except.iter().filter_map(|hole| Self::new(*hole, [])?.and(self));
        outer.into_iter().chain(holes).collect()
    }
}
