//! Who seems to live behind this host's devices, with which addresses: a start for an inventory, for a person to put right.
//!
//! A tenant's device is a virtual one whose other end is elsewhere: a veth or netkit with its peer in another network namespace, or a tap.
//! Its addresses are those with a route of their own through it, and the neighbours that were met on it, or on its bridge with a hardware
//! address that the bridge learned there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};

use super::Link;
use super::ask::Asker;
use super::message::report;
use super::state::Report;

/// Somebody behind a device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tenant {
    /// The device on this host. Chosen by whoever made it: escape it where it is shown.
    pub device: String,
    /// Addresses, as far as the kernel knows them.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether a route to a block or a gateway leads through the device: then it is the way to others rather than somebody.
    pub leads_on: bool,
}

/// What the kernel says, as far as it matters here.
#[derive(Debug, Default)]
struct Known {
    devices: BTreeMap<u32, Device>,
    /// Device, address, and its hardware address.
    neighbours: Vec<(u32, IpAddr, Vec<u8>)>,
    /// Port of a bridge by the hardware address that was learned there.
    learned: HashMap<Vec<u8>, u32>,
    /// Device, and the address that has a route of its own through it; none where the route leads to more than one.
    routes: Vec<(u32, Option<IpAddr>)>,
    /// The host's own addresses, which have routes as well.
    own: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Device {
    link: Link,
    bridge: Option<u32>,
}

/// Everybody behind the devices of this network namespace, in the order in which devices were made.
pub fn tenants() -> io::Result<Vec<Tenant>> {
    let mut asker = Asker::open()?;
    let mut known = Known::default();
    let mut bridged = NeighbourMessage::default();
    bridged.header.family = AddressFamily::Bridge;
    for question in [
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        RouteNetlinkMessage::GetNeighbour(bridged),
        RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        RouteNetlinkMessage::GetRoute(RouteMessage::default()),
    ] {
        asker.list(question, |_, bytes| {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
            if let NetlinkPayload::InnerMessage(message) = message.payload {
                known.take(&message);
            }
            Ok(())
        })?;
    }
    Ok(known.tenants())
}

impl Known {
    fn take(&mut self, message: &RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.link(message, link),
            RouteNetlinkMessage::NewAddress(_) => {
                if let Some(Report::Address((_, address))) = report(message) {
                    self.own.insert(address);
                }
            }
            RouteNetlinkMessage::NewNeighbour(neighbour) => self.neighbour(neighbour),
            RouteNetlinkMessage::NewRoute(route) => self.route(route),
            _ => {}
        }
    }

    fn link(&mut self, whole: &RouteNetlinkMessage, message: &LinkMessage) {
        let Some(Report::Link(link)) = report(whole) else { return };
        let mut device = Device { link, bridge: None };
        for attribute in &message.attributes {
            if let LinkAttribute::Controller(bridge) = attribute {
                device.bridge = Some(*bridge);
            }
        }
        self.devices.insert(device.link.index, device);
    }

    fn neighbour(&mut self, message: &NeighbourMessage) {
        let (mut address, mut mac, device) = (None, None, message.header.ifindex);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(at)) => {
                    address = Some(IpAddr::from(*at))
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(at)) => {
                    address = Some(IpAddr::from(*at))
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = Some(bytes.clone()),
                _ => {}
            }
        }
        match (message.header.family, address, mac) {
            (AddressFamily::Bridge, _, Some(mac)) if message.header.state != NeighbourState::Permanent => {
                self.learned.insert(mac, device);
            }
            (AddressFamily::Inet | AddressFamily::Inet6, Some(address), Some(mac))
                if is_met(message.header.state) =>
            {
                self.neighbours.push((device, address, mac));
            }
            _ => {}
        }
    }

    fn route(&mut self, message: &RouteMessage) {
        let header = &message.header;
        let (mut device, mut to, mut gateway) = (None, None, false);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => device = Some(*index),
                RouteAttribute::Destination(RouteAddress::Inet(at)) => to = Some(IpAddr::from(*at)),
                RouteAttribute::Destination(RouteAddress::Inet6(at)) => to = Some(IpAddr::from(*at)),
                RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => gateway = true,
                _ => {}
            }
        }
        let Some(device) = device.filter(|_| header.kind == RouteType::Unicast) else { return };
        let whole = match to {
            Some(IpAddr::V4(_)) => header.destination_prefix_length == 32,
            Some(IpAddr::V6(_)) => header.destination_prefix_length == 128,
            None => false,
        };
        if whole && !gateway {
            self.routes.push((device, to));
        } else if gateway || header.protocol != RouteProtocol::Kernel {
            // What the kernel makes for an address of the host's own says only which network is behind the device.
            self.routes.push((device, None));
        }
    }

    fn tenants(&self) -> Vec<Tenant> {
        let mut tenants = Vec::new();
        for (index, device) in &self.devices {
            let is_tenants = match device.link.kind.as_str() {
                "veth" | "netkit" => device.link.abroad,
                "tun" => device.link.ethernet,
                _ => false,
            };
            if !is_tenants {
                continue;
            }
            let mut tenant = Tenant { device: device.link.name.clone(), ..Tenant::default() };
            for (_, to) in self.routes.iter().filter(|(through, _)| through == index) {
                match to {
                    Some(address) => tenant.addresses.extend([*address]),
                    None => tenant.leads_on = true,
                }
            }
            for (on, address, mac) in &self.neighbours {
                let behind =
                    *on == *index || (device.bridge == Some(*on) && self.learned.get(mac) == Some(index));
                if behind {
                    tenant.addresses.insert(*address);
                }
            }
            tenant.addresses.retain(|address| !is_link_local(*address) && !self.own.contains(address));
            tenants.push(tenant);
        }
        // An address behind several devices is nobody's in particular.
        let mut places: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for address in tenants.iter().flat_map(|tenant: &Tenant| &tenant.addresses) {
            *places.entry(*address).or_default() += 1;
        }
        for tenant in &mut tenants {
            tenant.addresses.retain(|address| places[address] == 1);
        }
        tenants
    }
}

/// Somebody answered for the address, lately or ever.
fn is_met(state: NeighbourState) -> bool {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    matches!(state, Reachable | Stale | Delay | Probe | Permanent)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, name: &str, kind: &str, abroad: bool, bridge: Option<u32>) -> (u32, Device) {
        let link = Link {
            index,
            name: name.to_owned(),
            kind: kind.to_owned(),
            ethernet: true,
            loopback: false,
            mac: None,
            peer: None,
            abroad,
        };
        (index, Device { link, bridge })
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tenants_are_told_from_bridges_uplinks_and_pairs_at_home() {
        let known = Known {
            devices: [
                device(1, "eth0", "", false, None),
                device(2, "br0", "bridge", false, None),
                device(3, "veth-a", "veth", true, Some(2)),
                device(4, "tap-b", "tun", false, Some(2)),
                device(5, "pair", "veth", false, None),
                device(6, "uplink", "veth", true, None),
                device(7, "veth-c", "veth", true, None),
            ]
            .into(),
            neighbours: vec![
                (2, at("10.0.0.3"), vec![3]),
                (2, at("10.0.0.4"), vec![4]),
                (2, at("10.0.0.9"), vec![9]),
                (7, at("10.0.7.2"), vec![7]),
                (7, at("fe80::7"), vec![7]),
            ],
            learned: [(vec![3], 3), (vec![4], 4)].into(),
            routes: vec![
                (6, None),
                (6, Some(at("192.0.2.1"))),
                (7, Some(at("fd00::7"))),
                (7, Some(at("fd00::1"))),
                (3, Some(at("10.0.0.77"))),
                (4, Some(at("10.0.0.77"))),
            ],
            own: [at("fd00::1")].into(),
        };
        let found: Vec<(String, Vec<String>, bool)> = known
            .tenants()
            .into_iter()
            .map(|one| (one.device, one.addresses.iter().map(ToString::to_string).collect(), one.leads_on))
            .collect();
        let tenant = |device: &str, addresses: &[&str], leads_on| {
            (device.to_owned(), addresses.iter().map(|at| (*at).to_owned()).collect(), leads_on)
        };
        assert_eq!(
            found,
            [
                tenant("veth-a", &["10.0.0.3"], false),
                tenant("tap-b", &["10.0.0.4"], false),
                tenant("uplink", &["192.0.2.1"], true),
                tenant("veth-c", &["10.0.7.2", "fd00::7"], false),
            ]
        );
    }
}
