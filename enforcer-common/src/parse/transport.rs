//! Transport headers: ports, TCP flags, lengths.

use super::{IcmpKind, Network, icmp_kind, icmp_ports, protocol};
use crate::Reason;
use crate::packet::Packet;

/// TCP flags (RFC 9293, 3.1).
pub mod flags {
    /// The sender says no more.
    pub const FIN: u8 = 1;
    /// Opens a connection, or answers its opening.
    pub const SYN: u8 = 2;
    /// Ends a connection at once.
    pub const RST: u8 = 4;
    /// To be handed on at once.
    pub const PSH: u8 = 8;
    /// The acknowledgement number means something.
    pub const ACK: u8 = 16;
    /// The urgent pointer means something.
    pub const URG: u8 = 32;
}

#[derive(Clone, Copy)]
pub(crate) struct Transport {
    /// Source port as it stands in memory; see [`icmp_ports`] for ICMP; 0 where the protocol has none.
    pub(crate) source: u16,
    /// Destination port, likewise.
    pub(crate) destination: u16,
    /// TCP flags; 0 otherwise.
    pub(crate) flags: u8,
    /// What an ICMP message does; [`IcmpKind::Message`] for every other protocol.
    pub(crate) icmp: IcmpKind,
}

impl Transport {
    /// Nothing parsed.
    pub(crate) const NONE: Self = Self { source: 0, destination: 0, flags: 0, icmp: IcmpKind::Message };
}

/// Reads the transport header of a whole datagram or a first fragment.
#[inline(always)]
pub(crate) fn transport<const N: usize, P: Packet>(packet: &P, net: &Network) -> Result<Transport, Reason> {
    let mut parsed = Transport::NONE;
    let family_icmp = if N == 1 { protocol::ICMP } else { protocol::ICMPV6 };
    let need = match net.protocol {
        protocol::TCP => {
            let header: [u16; 8] = read::<_, N, P>(packet, net, 20)?;
            let offset_and_flags = u16::from_be(header[6]);
            let header_len = (offset_and_flags >> 12) as u32 * 4;
            parsed.source = header[0];
            parsed.destination = header[1];
            parsed.flags = offset_and_flags as u8 & 0x3f;
            if header_len < 20 {
                return Err(Reason::Malformed);
            }
            header_len
        }
        protocol::UDP => {
            let header: [u16; 4] = read::<_, N, P>(packet, net, 8)?;
            let len = u16::from_be(header[2]) as u32;
            parsed.source = header[0];
            parsed.destination = header[1];
            // A first fragment states the whole datagram's length; an aggregate past 64 KiB states none.
            let stated = len == 0 && packet.len() > 0xffff;
            if len < 8 && !stated {
                return Err(Reason::Malformed);
            }
            if net.fragment.more { 8 } else { len }
        }
        protocol::SCTP => {
            let header: [u16; 6] = read::<_, N, P>(packet, net, 12)?;
            parsed.source = header[0];
            parsed.destination = header[1];
            12
        }
        number if number == family_icmp => {
            let header: [u8; 8] = read::<_, N, P>(packet, net, 8)?;
            let id = u16::from_ne_bytes([header[4], header[5]]);
            parsed.icmp = icmp_kind(number, header[0]);
            (parsed.source, parsed.destination) = icmp_ports(number, header[0], header[1], id);
            8
        }
        // Nobody takes the other family's ICMP, and its types mean something else there.
        protocol::ICMP | protocol::ICMPV6 => return Err(Reason::Malformed),
        _ => 0,
    };
    if net.transport + need > net.end {
        return Err(cut::<N>(net));
    }
    if net.transport + need > packet.len() && net.protocol != protocol::UDP {
        return Err(Reason::Short);
    }
    if net.end > packet.len() {
        return Err(Reason::Malformed);
    }
    check_flags(net.protocol, parsed.flags)?;
    Ok(parsed)
}

/// The first bytes of the transport header, of which `len` must be inside the datagram.
#[inline(always)]
fn read<T: crate::packet::Wire, const N: usize, P: Packet>(
    packet: &P,
    net: &Network,
    len: u32,
) -> Result<T, Reason> {
    if net.transport + len > net.end {
        return Err(cut::<N>(net));
    }
    // The usual places, known to the compiler: behind an IP header without options.
    let usual = P::NETWORK + if N == 1 { 20 } else { 40 };
    let read = if net.transport == usual as u32 { packet.fixed(usual) } else { packet.at(net.transport) };
    let value = read.ok_or(Reason::Short)?;
    if net.transport + len > packet.len() { Err(Reason::Short) } else { Ok(value) }
}

/// Why a header that the datagram has no room for is denied.
#[inline(always)]
fn cut<const N: usize>(net: &Network) -> Reason {
    match (net.fragment.more, N) {
        (true, 1) => Reason::FragmentTiny,
        (true, _) => Reason::FragmentHeader,
        (false, _) => Reason::Malformed,
    }
}

/// Combinations no connection sends: none; SYN with FIN or RST; FIN without ACK; anything but SYN and RST without ACK.
#[inline(always)]
fn check_flags(number: u8, set: u8) -> Result<(), Reason> {
    if number != protocol::TCP {
        return Ok(());
    }
    let syn = set & flags::SYN != 0;
    let wrong = if syn {
        set & (flags::FIN | flags::RST) != 0
    } else {
        set & flags::ACK == 0 && set & (flags::RST | flags::FIN) != flags::RST
    };
    if wrong { Err(Reason::TcpFlags) } else { Ok(()) }
}
