//! The IPv6 header and its extension headers (RFC 8200).

use super::{Addresses, Fragment, Network};
use crate::Reason;
use crate::packet::Packet;

/// Extension headers looked through.
pub(crate) const EXTENSION_HEADERS: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

#[inline(always)]
pub(crate) fn ipv6<const N: usize, P: Packet>(
    packet: &P,
    offset: u32,
) -> Result<(Network, Addresses<N>), Reason> {
    let words: [u32; 10] =
        if offset == 14 { packet.fixed(14) } else { packet.at(offset) }.ok_or(Reason::Short)?;
    if u32::from_be(words[0]) >> 28 != 6 {
        return Err(Reason::Malformed);
    }
    let second = u32::from_be(words[1]);
    let payload = second >> 16;
    // Jumbograms and aggregated packets past 64 KiB state no length (RFC 2675).
    let end = if payload == 0 && packet.len() > 0xffff { packet.len() } else { offset + 40 + payload };
    let mut addresses = Addresses { source: [0; N], destination: [0; N] };
    let mut i = 0;
    while i < N {
        addresses.source[i] = words[2 + i];
        addresses.destination[i] = words[6 + i];
        i += 1;
    }
    let chain = chain(packet, (second >> 8) as u8, offset + 40, end)?;
    let Chain { protocol, transport, fragment } = chain;
    Ok((Network { protocol, hop_limit: second as u8, reserved: 0, transport, end, fragment }, addresses))
}

struct Chain {
    protocol: u8,
    transport: u32,
    fragment: Fragment,
}

/// Walks to the transport header, to a later fragment's payload, or to the limit.
#[inline(always)]
fn chain<P: Packet>(packet: &P, first: u8, start: u32, end: u32) -> Result<Chain, Reason> {
    let mut next = first;
    let mut at = start;
    let mut fragment = Fragment::WHOLE;
    for index in 0..EXTENSION_HEADERS + 1 {
        if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION) {
            return Ok(Chain { protocol: next, transport: at, fragment });
        }
        if index == EXTENSION_HEADERS {
            break;
        }
        // The whole chain stands in the first fragment (RFC 7112).
        if at + 8 > end {
            return Err(if fragment.more { Reason::FragmentHeader } else { Reason::Malformed });
        }
        let header: [u8; 8] = packet.at(at).ok_or(Reason::Short)?;
        let len = match next {
            HOP_BY_HOP if index != 0 => return Err(Reason::Malformed),
            ROUTING => return Err(Reason::RoutingHeader),
            FRAGMENT => {
                if fragment.is_part() {
                    return Err(Reason::Malformed);
                }
                let field = u16::from_be_bytes([header[2], header[3]]) as u32;
                let id = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
                let part = Fragment {
                    id,
                    offset: field & 0xfff8,
                    len: end - at - 8,
                    more: field & 1 != 0,
                    protocol: header[0],
                    reserved: 0,
                };
                // An atomic fragment is a whole datagram (RFC 6946).
                if part.is_part() {
                    part.check()?;
                    fragment = part;
                    if part.offset != 0 {
                        return Ok(Chain { protocol: header[0], transport: at + 8, fragment });
                    }
                }
                8
            }
            AUTHENTICATION => (header[1] as u32 + 2) * 4,
            _ => (header[1] as u32 + 1) * 8,
        };
        next = header[0];
        at += len;
    }
    Err(Reason::ExtensionHeaders)
}
