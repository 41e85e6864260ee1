//! Where a container's packets are met: from its first process to its namespace, devices, addresses and cgroup.

use super::container::{Container, Found, Generation, Key, Kind, Network};
use super::process::{Process, own_network};
use crate::links;
use std::io;
use std::net::IpAddr;

/// What was found at a place, with the process that it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) process: Process,
    pub(super) network: Network,
    pub(super) cgroup: Option<String>,
    pub(super) devices: Vec<String>,
    /// What the namespace says, which is for whoever runs in it to change.
    pub(super) addresses: Vec<IpAddr>,
}

/// Looks where a process is; `None` where it has ended meanwhile. Takes about a millisecond, and blocks.
pub(super) fn place(found: &Found) -> io::Result<Option<Place>> {
    let Some(process) = Process::find(found.pid) else { return Ok(None) };
    let looked = look(process, found);
    // What was read of a process that has ended may be another's.
    if process.runs() { looked.map(Some) } else { Ok(None) }
}

fn look(process: Process, found: &Found) -> io::Result<Place> {
    let (namespace, inode) = process.network()?;
    let mut place = Place {
        process,
        network: Network::Host,
        cgroup: process.cgroup(),
        devices: Vec::new(),
        addresses: Vec::new(),
    };
    if inode == own_network()? {
        return Ok(place);
    }
    if found.joined {
        place.network = Network::Shared(inode);
        return Ok(place);
    }
    place.network = Network::Own(inode);
    place.devices = links::devices_into(&namespace)?;
    if found.addresses.is_none() || found.early {
        place.addresses = links::addresses_in(&namespace)?;
    }
    Ok(place)
}

impl Place {
    /// Whether everything is there that a container with a network has.
    pub(super) fn is_whole(&self, found: &Found) -> bool {
        match self.network {
            Network::Own(_) => !self.devices.is_empty() && !self.addresses.is_empty(),
            Network::Host => !found.apart,
            Network::Shared(_) => true,
        }
    }

    /// The container that is there.
    pub(super) fn container(self, kind: Kind, serial: u64, found: Found) -> Container {
        let (key, ticks) = (Key { kind, id: found.id }, self.process.began);
        let addresses = match (found.addresses, found.early) {
            (Some(given), false) => given,
            (_, true) | (None, _) => self.addresses,
        };
        let mut container = Container {
            key,
            generation: Generation { ticks, serial },
            name: found.name,
            image: found.image,
            labels: found.labels,
            pid: self.process.pid,
            network: self.network,
            cgroup: self.cgroup,
            addresses,
            devices: self.devices,
            began: found.began,
        };
        if !matches!(container.network, Network::Own(_)) {
            container.addresses.clear();
        }
        container.addresses.sort_unstable();
        container.addresses.dedup();
        container
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_still_on_the_hosts_network_isnt_the_container_yet() {
        // This process, which is on the host's as far as it knows.
        let found = Found { pid: std::process::id(), ..Found::default() };
        let place = place(&found).unwrap().unwrap();
        assert_eq!(place.network, Network::Host);
        assert!(place.is_whole(&found));
        assert!(!place.is_whole(&Found { apart: true, ..found }));
    }
}
