//! The IPv6 header and its extension headers (RFC 8200).

use super::{Fragment, Network, code, reason};
use crate::Reason;
use crate::address::Address;
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
    into: &mut Network,
    source: &mut Address<N>,
    destination: &mut Address<N>,
) -> Result<(), Reason> {
    let words: [u32; 10] =
        if offset == P::NETWORK as u32 { packet.fixed(P::NETWORK) } else { packet.at(offset) }
            .ok_or(Reason::Short)?;
    if u32::from_be(words[0]) >> 28 != 6 {
        return Err(Reason::Malformed);
    }
    let second = u32::from_be(words[1]);
    let payload = second >> 16;
    // Jumbograms and aggregated packets past 64 KiB state no length (RFC 2675).
    let end = if payload == 0 && packet.len() > 0xffff { packet.len() } else { offset + 40 + payload };
    let mut i = 0;
    while i < N {
        (source[i], destination[i]) = (words[2 + i], words[6 + i]);
        i += 1;
    }
    let first = (second >> 8) as u8;
    let chain = if is_extension(first) {
        packet.chain(first, offset + 40, end)
    } else {
        Chain::bare(first, offset + 40)
    };
    if let Some(reason) = chain.fault() {
        return Err(reason);
    }
    let fragment = match chain.fragment() {
        0 => Fragment::WHOLE,
        at => part(packet, at, end)?,
    };
    let (protocol, transport) = (chain.protocol(), chain.transport());
    *into = Network { protocol, hop_limit: second as u8, reserved: 0, transport, end, fragment };
    Ok(())
}

#[inline(always)]
const fn is_extension(header: u8) -> bool {
    matches!(header, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Where a walk along the extension headers ended. One number, so that the kernel's tables can wrap the walk in a function of its own:
/// `transport:32 · fragment header:16 · protocol:8 · reason:8`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain(pub u64);

impl Chain {
    /// No walk was needed, or it ended without having met a fragment header.
    #[inline(always)]
    const fn bare(protocol: u8, transport: u32) -> Self {
        Self((transport as u64) << 32 | (protocol as u64) << 8)
    }

    #[inline(always)]
    const fn failed(reason: Reason) -> Self {
        Self(code(reason))
    }

    /// Why there is no transport header, and no later part of a datagram either.
    #[inline(always)]
    const fn fault(self) -> Option<Reason> {
        reason(self.0 as u8)
    }

    #[inline(always)]
    const fn protocol(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline(always)]
    const fn transport(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Offset of the fragment header that makes this one part of several, 0 for none.
    #[inline(always)]
    const fn fragment(self) -> u32 {
        (self.0 >> 16) as u16 as u32
    }
}

/// What a fragment header says.
#[inline(always)]
fn part<P: Packet>(packet: &P, at: u32, end: u32) -> Result<Fragment, Reason> {
    let header: [u8; 8] = packet.at(at).ok_or(Reason::Short)?;
    let field = u16::from_be_bytes([header[2], header[3]]) as u32;
    let id = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let more = field & 1 != 0;
    let part =
        Fragment { id, offset: field & 0xfff8, len: end - at - 8, more, protocol: header[0], reserved: 0 };
    part.check()?;
    Ok(part)
}

/// Walks to the transport header, to a later fragment's payload, or to the limit.
#[inline(always)]
pub fn walk<P: Packet>(packet: &P, first: u8, start: u32, end: u32) -> Chain {
    let mut next = first;
    let mut at = start;
    let mut fragment = 0;
    for index in 0..EXTENSION_HEADERS {
        // The whole chain stands in the first fragment (RFC 7112).
        if at + 8 > end {
            return Chain::failed(if fragment != 0 { Reason::FragmentHeader } else { Reason::Malformed });
        }
        let Some(header) = packet.at::<[u8; 8]>(at) else { return Chain::failed(Reason::Short) };
        let len = match next {
            HOP_BY_HOP if index != 0 => return Chain::failed(Reason::Malformed),
            ROUTING => return Chain::failed(Reason::RoutingHeader),
            FRAGMENT => {
                if fragment != 0 {
                    return Chain::failed(Reason::Malformed);
                }
                let field = u16::from_be_bytes([header[2], header[3]]);
                // An atomic fragment is a whole datagram (RFC 6946).
                if field & 0xfff9 != 0 {
                    fragment = at;
                }
                8
            }
            // Its fixed part alone is twelve bytes (RFC 4302, 2).
            AUTHENTICATION if header[1] == 0 => return Chain::failed(Reason::Malformed),
            AUTHENTICATION => (header[1] as u32 + 2) * 4,
            _ => (header[1] as u32 + 1) * 8,
        };
        let later = next == FRAGMENT && u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0;
        next = header[0];
        at += len;
        if later || !is_extension(next) {
            return Chain(Chain::bare(next, at).0 | (fragment as u64) << 16);
        }
    }
    Chain::failed(Reason::ExtensionHeaders)
}
