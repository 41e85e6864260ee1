//! Where the network layer of a captured packet begins, and what it is.

use crate::item::{Link, Packet, Side};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Packet types of a cooked header: sent to everybody, to a group, by the capturing host.
const BROADCAST: u16 = 1;
const MULTICAST: u16 = 2;
const OUTGOING: u16 = 4;

/// The network layer of a captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its number in an Ethernet header. Where that is a VLAN tag's, `offset` is at the tag. Below 0x0600 it isn't a type: a length (IEEE 802.3), a
    /// number that means something to Linux alone, or 0 where the link's own number tells of neither IPv4 nor IPv6.
    pub ethertype: u16,
    /// Where it begins in the packet's bytes.
    pub offset: usize,
    /// Which end the capturing host was, where the capture tells.
    pub host: Option<Side>,
    /// The link says that it was sent to a group or to everybody; with an Ethernet header, that is in its addresses.
    pub grouped: bool,
}

/// Finds the network layer. With an Ethernet header of `ethertype` put before the bytes from `offset` on, the packet is what it would have been
/// on Ethernet. `None` where too little was kept.
#[must_use]
pub fn network(packet: &Packet<'_>) -> Option<Network> {
    let bytes = packet.bytes;
    let number = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let plain = |ethertype, offset| Network { ethertype, offset, host: None, grouped: false };
    let cooked = |ethertype: u16, kind: u16, offset: usize| {
        let host = match kind {
            0 => Some(Side::Destination),
            OUTGOING => Some(Side::Source),
            _ => None,
        };
        let grouped = matches!(kind, BROADCAST | MULTICAST);
        (bytes.len() >= offset).then_some(Network { ethertype, offset, host, grouped })
    };
    match packet.link {
        Link::Ethernet => Some(plain(number(12)?, 14)),
        Link::Cooked1 => cooked(number(14)?, number(0)?, 16),
        Link::Cooked2 => cooked(number(0)?, (*bytes.get(10)?).into(), 20),
        Link::Raw => Some(plain(by_version(*bytes.first()?), 0)),
        Link::Loopback => Some(plain(by_family(*bytes.first_chunk()?), 4)),
    }
}

const fn by_version(first: u8) -> u16 {
    match first >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => 0,
    }
}

/// Systems number IPv6 differently (Linux 10, Windows 23, BSD 24 and 28, macOS 30), and write the number in their own byte order.
const fn by_family(family: [u8; 4]) -> u16 {
    match (u32::from_be_bytes(family), u32::from_le_bytes(family)) {
        (2, _) | (_, 2) => IPV4,
        (10 | 23 | 24 | 28 | 30, _) | (_, 10 | 23 | 24 | 28 | 30) => IPV6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: Link, bytes: &[u8]) -> Option<(u16, usize, Option<Side>)> {
        let packet = Packet { time: None, link, bytes, length: 1500 };
        network(&packet).map(|found| (found.ethertype, found.offset, found.host))
    }

    #[test]
    fn every_link_has_its_network_layer() {
        let ethernet = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x86, 0xdd];
        assert_eq!(found(Link::Ethernet, &ethernet), Some((IPV6, 14, None)));
        let tagged = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0x00, 0, 7, 8, 0];
        assert_eq!(found(Link::Ethernet, &tagged), Some((0x8100, 14, None)));
        let sent = [0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
        assert_eq!(found(Link::Cooked1, &sent), Some((IPV4, 16, Some(Side::Source))));
        let mut received = [0; 20];
        received[..2].copy_from_slice(&[8, 6]);
        assert_eq!(found(Link::Cooked2, &received), Some((0x0806, 20, Some(Side::Destination))));
        received[10] = 3;
        assert_eq!(found(Link::Cooked2, &received), Some((0x0806, 20, None)));
        assert_eq!(found(Link::Raw, &[0x45]), Some((IPV4, 0, None)));
        assert_eq!(found(Link::Raw, &[0x60]), Some((IPV6, 0, None)));
        assert_eq!(found(Link::Loopback, &[2, 0, 0, 0]), Some((IPV4, 4, None)));
        assert_eq!(found(Link::Loopback, &[0, 0, 0, 30]), Some((IPV6, 4, None)));
        assert_eq!(found(Link::Loopback, &[23, 0, 0, 0]), Some((IPV6, 4, None)), "Windows");
    }

    #[test]
    fn too_little_is_no_network_layer() {
        for link in [Link::Ethernet, Link::Cooked1, Link::Cooked2, Link::Raw, Link::Loopback] {
            assert_eq!(found(link, &[]), None, "{link:?}");
        }
        assert_eq!(found(Link::Ethernet, &[0; 13]), None);
        assert_eq!(found(Link::Cooked2, &[8; 19]), None);
        assert_eq!(found(Link::Loopback, &[2, 0, 0]), None);
    }

    #[test]
    fn what_has_no_ethertype_is_handed_on_all_the_same() {
        let framed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x00, 0x26];
        assert_eq!(found(Link::Ethernet, &framed), Some((0x26, 14, None)), "a length, not a type");
        assert_eq!(found(Link::Raw, &[0x50]), Some((0, 0, None)));
        assert_eq!(found(Link::Loopback, &[0, 0, 7, 0]), Some((0, 4, None)));
    }

    #[test]
    fn a_cooked_header_says_who_it_was_sent_to() {
        for (kind, grouped) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
            let mut header = [0; 20];
            header[1] = kind;
            header[10] = kind;
            for link in [Link::Cooked1, Link::Cooked2] {
                let packet = Packet { time: None, link, bytes: &header, length: 20 };
                assert_eq!(network(&packet).map(|found| found.grouped), Some(grouped), "{link:?} {kind}");
            }
        }
    }
}
