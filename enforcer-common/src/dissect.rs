//! What the verdict function reads out of an IP packet, for whoever wants to hold it against something else.

use crate::Reason;
use crate::address::record;
use crate::packet::Packet;
use crate::parse::{Link, Network, Transport, ethertype, is_tag, link, network, transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The headers of an IP packet as the verdict function takes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dissected {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it goes to.
    pub destination: IpAddr,
    /// What stands at `transport`; for a later part of a datagram, what its first header says.
    pub protocol: u8,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// Offset of the transport header, or of a later part's bytes.
    pub transport: u32,
    /// Offset one past the IP payload.
    pub end: u32,
    /// Which part of a datagram it is; `None` for a whole one.
    pub part: Option<Part>,
    /// Source and destination port in host order, as flows have them; `None` for a later part of a datagram.
    pub ports: Option<(u16, u16)>,
    /// TCP flags; 0 for everything else.
    pub flags: u8,
}

/// One part of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Identification, in host order.
    pub id: u32,
    /// Where in the datagram it begins, bytes.
    pub offset: u32,
    /// How many bytes of the datagram it has.
    pub len: u32,
    /// Whether more parts follow.
    pub more: bool,
}

/// Reads a packet as far as [`crate::judge()`] does before it looks anything up. What isn't IP is [`Reason::Ethertype`], ARP as well.
/// `no_header` as [`crate::maps::Subject::NO_LINK_HEADER`].
pub fn dissect<P: Packet>(packet: &P, no_header: bool) -> Result<Dissected, Reason> {
    let link = link(packet, no_header)?;
    match link.ethertype {
        ethertype::IPV4 => family::<1, P>(packet, &link, 4),
        ethertype::IPV6 => family::<4, P>(packet, &link, 6),
        tag if is_tag(tag) => Err(Reason::Vlan),
        _ => Err(Reason::Ethertype),
    }
}

fn family<const N: usize, P: Packet>(packet: &P, link: &Link, version: u8) -> Result<Dissected, Reason> {
    let mut net = Network::NONE;
    let (mut source, mut destination) = ([0; N], [0; N]);
    network::<N, P>(packet, link.network, &mut net, &mut source, &mut destination)?;
    let first = net.fragment.offset == 0;
    // Of a first part and a whole datagram, the transport header's reader says so.
    if !first && net.end > packet.len() {
        return Err(Reason::Malformed);
    }
    let read = if first { transport::<N, P>(packet, &net)? } else { Transport::NONE };
    Ok(Dissected {
        source: shown(record(&source), version),
        destination: shown(record(&destination), version),
        protocol: net.protocol,
        hop_limit: net.hop_limit,
        transport: net.transport,
        end: net.end,
        part: part(&net, version),
        ports: first.then(|| (u16::from_be(read.source), u16::from_be(read.destination))),
        flags: read.flags,
    })
}

fn part(net: &Network, version: u8) -> Option<Part> {
    let fragment = &net.fragment;
    let id = u32::from_be(fragment.id) >> if version == 4 { 16 } else { 0 };
    let part = Part { id, offset: fragment.offset, len: fragment.len, more: fragment.more };
    (part.more || part.offset != 0).then_some(part)
}

fn shown(words: [u32; 4], version: u8) -> IpAddr {
    let mut octets = [0; 16];
    for (to, word) in octets.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let [a, b, c, d, ..] = octets;
    if version == 4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(octets).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Frame;

    #[test]
    fn a_first_part_over_ipv4() {
        let mut frame = vec![0; 12];
        frame
            .extend([8, 0, 0x45, 0, 0, 44, 0x12, 0x34, 0x20, 0, 64, 6, 0x34, 0x96, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9]);
        assert_eq!(
            dissect(&Frame::new(&frame), false),
            Ok(Dissected {
                source: "10.0.0.1".parse().unwrap(),
                destination: "10.0.0.2".parse().unwrap(),
                protocol: 6,
                hop_limit: 64,
                transport: 34,
                end: 58,
                part: Some(Part { id: 0x1234, offset: 0, len: 24, more: true }),
                ports: Some((40_000, 443)),
                flags: 2,
            })
        );
        assert_eq!(dissect(&Frame::new(&frame[..57]), false), Err(Reason::Malformed));
        assert_eq!(dissect(&Frame::new(&frame[14..]), true).map(|read| read.transport), Ok(20));
    }
}
