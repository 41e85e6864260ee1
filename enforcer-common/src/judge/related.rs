//! ICMP errors: let through where they quote a flow that passes.

use super::flow::{Ask, known};
use super::{Context, Sight, Step};
use crate::Reason;
use crate::address::{Address, is_martian, is_multicast};
use crate::flow::FlowKey;
use crate::maps::Direction;
use crate::packet::Packet;
use crate::parse::{Network, icmp_ports, protocol};
use crate::tables::{FamilyTables, Tables};

/// The quoted packet, as its sender sent it.
struct Quoted<const N: usize> {
    source: Address<N>,
    destination: Address<N>,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
}

/// Judges an ICMP error: by the flow it quotes, whose key takes the place of the packet's own in what follows, else by the rules as
/// a message of its own.
#[inline(always)]
pub fn related<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) -> Step {
    if let Some(quoted) = flow_of(packet, context, &sight.net, &sight.key) {
        sight.about = quoted;
        let found = known(context, &sight.about, None, &mut sight.ask, &mut sight.ruling, tables);
        if let Some(step) = found {
            sight.quotes = true;
            return step;
        }
        sight.stray = true;
    }
    sight.ask = Ask::message(context.hook.direction, Reason::RelatedUnknown);
    Step::Ask
}

/// The key of the flow an error is about. An error goes back to who sent the quoted packet; from a subject,
/// it comes from where that packet went, so the key proves its source. Anybody on the path may send one to a subject.
#[inline(always)]
fn flow_of<const N: usize, P: Packet>(
    packet: &P,
    context: &Context,
    net: &Network,
    key: &FlowKey<N>,
) -> Option<FlowKey<N>> {
    let direction = context.hook.direction;
    let (source, destination) = (key.source(direction), key.destination(direction));
    let quoted = quoted::<N, P>(packet, net.transport + 8)?;
    if quoted.source != *destination || is_martian(source) || is_multicast(source) {
        return None;
    }
    let (local, local_port, remote, remote_port) = match direction {
        Direction::Ingress => {
            (quoted.source, quoted.source_port, quoted.destination, quoted.destination_port)
        }
        Direction::Egress if quoted.destination != *source => return None,
        Direction::Egress => (quoted.destination, quoted.destination_port, quoted.source, quoted.source_port),
    };
    let protocol = quoted.protocol;
    Some(FlowKey {
        subject: context.hook.subject,
        local,
        remote,
        local_port,
        remote_port,
        protocol,
        reserved: [0; 3],
    })
}

/// Reads the quoted headers: the IP header and the first eight bytes after it (RFC 792, RFC 4443). A quoted fragment that isn't
/// the first, or an IPv6 header chain, quotes no ports that could be trusted.
#[inline(always)]
fn quoted<const N: usize, P: Packet>(packet: &P, offset: u32) -> Option<Quoted<N>> {
    let mut source = [0; N];
    let mut destination = [0; N];
    let (number, transport) = if N == 1 {
        let words: [u32; 5] = packet.at(offset)?;
        let first = u32::from_be(words[0]);
        let header = (first >> 24 & 15) * 4;
        if first >> 28 != 4 || header < 20 || u32::from_be(words[1]) & 0x1fff != 0 {
            return None;
        }
        // What would steer a packet never passed, so nothing is about it.
        if header > 20 && packet.options(offset + 20, offset + header).fault().is_some() {
            return None;
        }
        source[0] = words[3];
        destination[0] = words[4];
        ((u32::from_be(words[2]) >> 16) as u8, offset + header)
    } else {
        let words: [u32; 10] = packet.at(offset)?;
        if u32::from_be(words[0]) >> 28 != 6 {
            return None;
        }
        let mut i = 0;
        while i < N {
            source[i] = words[2 + i];
            destination[i] = words[6 + i];
            i += 1;
        }
        ((u32::from_be(words[1]) >> 8) as u8, offset + 40)
    };
    let family_icmp = if N == 1 { protocol::ICMP } else { protocol::ICMPV6 };
    let (source_port, destination_port) = match number {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            let ports: [u16; 2] = packet.at(transport)?;
            (ports[0], ports[1])
        }
        _ if number == family_icmp => {
            let header: [u8; 8] = packet.at(transport)?;
            icmp_ports(number, header[0], header[1], u16::from_ne_bytes([header[4], header[5]]))
        }
        _ => (0, 0),
    };
    Some(Quoted { source, destination, source_port, destination_port, protocol: number })
}
