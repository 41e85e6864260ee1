//! Route-netlink messages as reports.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, link};

use super::Link;
use super::state::{Placed, Report};

/// What a message reports, if it is about a device or an address.
pub(super) fn report(message: &RouteNetlinkMessage) -> Option<Report> {
    match message {
        RouteNetlinkMessage::NewLink(message) => of_device(message).then(|| Report::Link(link(message))),
        RouteNetlinkMessage::DelLink(message) => {
            of_device(message).then_some(Report::LinkGone(message.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) => address(message).map(Report::Address),
        RouteNetlinkMessage::DelAddress(message) => address(message).map(Report::AddressGone),
        _ => None,
    }
}

/// Bridges report their ports with the same messages: a port that leaves isn't a device that goes.
fn of_device(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn link(message: &LinkMessage) -> Link {
    let layer = message.header.link_layer_type;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        ethernet: layer == LinkLayerType::Ether,
        loopback: layer == LinkLayerType::Loopback,
        mac: None,
        peer: None,
        abroad: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) if link.ethernet => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Link(peer) => link.peer = Some(*peer),
            LinkAttribute::LinkNetNsId(_) => link.abroad = true,
            LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
            _ => {}
        }
    }
    link
}

fn kind(infos: &[link::LinkInfo]) -> String {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    });
    kind.unwrap_or_default()
}

/// The namespace's own end: on point-to-point devices the other attribute is the peer's.
fn address(message: &AddressMessage) -> Option<Placed> {
    let mut local: Option<IpAddr> = None;
    let mut other: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            _ => {}
        }
    }
    Some((message.header.index, local.or(other)?))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::InfoKind;

    use super::*;

    fn message(family: AddressFamily) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.interface_family = family;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes = vec![
            LinkAttribute::IfName("veth7".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Link(9),
            LinkAttribute::LinkNetNsId(0),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
        ];
        message
    }

    #[test]
    fn a_device_is_read_whole() {
        let expected = Link {
            index: 7,
            name: "veth7".to_owned(),
            kind: "veth".to_owned(),
            ethernet: true,
            loopback: false,
            mac: Some([2, 0, 0, 0, 0, 1]),
            peer: Some(9),
            abroad: true,
        };
        let new = RouteNetlinkMessage::NewLink(message(AddressFamily::Unspec));
        assert_eq!(report(&new), Some(Report::Link(expected)));
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        assert_eq!(report(&RouteNetlinkMessage::DelLink(message(AddressFamily::Bridge))), None);
        let gone = RouteNetlinkMessage::DelLink(message(AddressFamily::Unspec));
        assert_eq!(report(&gone), Some(Report::LinkGone(7)));
    }

    #[test]
    fn the_local_end_counts() {
        let mut message = AddressMessage::default();
        message.header.index = 4;
        let (peer, own) = ("192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap());
        message.attributes = vec![AddressAttribute::Address(peer)];
        assert_eq!(address(&message), Some((4, peer)));
        message.attributes.push(AddressAttribute::Local(own));
        assert_eq!(address(&message), Some((4, own)));
    }
}
