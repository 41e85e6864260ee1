//! Who an address belongs to.

use super::World;
use crate::model::{AddressGroup, Labels, Workload};
use jiff::Timestamp;
use std::net::IpAddr;

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// Named by a `Workload` document.
    Workload(&'a Workload),
    /// Named by an `AddressGroup` document.
    Group(&'a AddressGroup),
    /// Labels that no document of the set carries: an identity that may exist elsewhere.
    Labelled(&'a Labels),
    /// The machine the daemon runs on, where no Workload claims the address.
    Host,
    /// A multicast or broadcast destination.
    Multicast,
    /// An address that nothing names.
    World,
}

impl<'a> Identity<'a> {
    /// The value it has for this label key at an instant. Leased labels end with their lease.
    pub fn label(&self, key: &str, now: Timestamp) -> Option<&'a String> {
        if let Identity::Workload(Workload { lease: Some(lease), .. }) = self
            && now >= lease.until
            && lease.labels.contains_key(key)
        {
            return None;
        }
        self.labels()?.get(key)
    }

    /// All labels of an identity that has some, whether their time is over or not.
    pub fn labels(&self) -> Option<&'a Labels> {
        match self {
            Identity::Workload(workload) => Some(&workload.labels),
            Identity::Group(group) => Some(&group.labels),
            Identity::Labelled(labels) => Some(labels),
            Identity::Host | Identity::Multicast | Identity::World => None,
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    At(IpAddr),
    /// At an address nobody has named, of this family where that is known: only `0.0.0.0/0` and `::/0` hold it.
    Somewhere(Option<Family>),
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// What it is.
    pub identity: Identity<'a>,
    /// Where it is.
    pub place: Place,
}

/// Whether `address` names a group of receivers: 224.0.0.0/4, ff00::/8 and 255.255.255.255.
pub fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether `address` can't be on a wire, neither as a source nor as a destination: 0.0.0.0/8, 127.0.0.0/8, ::/96
/// (unspecified, loopback, IPv4-compatible) and ::ffff:0:0/96 (IPv4-mapped).
pub fn is_martian(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets()[0], 0 | 127),
        IpAddr::V6(address) => {
            let segments = address.segments();
            segments[..5] == [0; 5] && matches!(segments[5], 0 | 0xffff)
        }
    }
}

impl<'a> World<'a> {
    /// Who `address` belongs to: multicast, then the Workload with exactly this address, then the host, then the
    /// AddressGroup with the longest prefix, then the world.
    pub fn identify(&self, address: IpAddr) -> Identity<'a> {
        if is_multicast(address) {
            return Identity::Multicast;
        }
        for workload in &self.set.workloads {
            if workload.addresses.contains(&address) {
                return Identity::Workload(workload);
            }
        }
        if self.hosts.contains(&address) {
            return Identity::Host;
        }
        let mut longest: Option<(u8, &'a AddressGroup)> = None;
        for group in &self.set.groups {
            for block in &group.cidrs {
                if block.contains(&address) && longest.is_none_or(|(length, _)| block.prefix_len() > length) {
                    longest = Some((block.prefix_len(), group));
                }
            }
        }
        match longest {
            Some((_, group)) => Identity::Group(group),
            None => Identity::World,
        }
    }

    /// The endpoint at `address`.
    pub fn end(&self, address: IpAddr) -> End<'a> {
        End { identity: self.identify(address), place: Place::At(address) }
    }

    /// The Workload document called `name`.
    pub fn workload(&self, name: &str) -> Option<&'a Workload> {
        self.set.workloads.iter().find(|workload| workload.name == name)
    }
}
