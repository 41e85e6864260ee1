//! The IPv4 header (RFC 791).

use super::{Addresses, Fragment, Network};
use crate::Reason;
use crate::checksum::folded;
use crate::packet::Packet;

/// Options looked at before a packet is given up; eight fit with room for padding, more is an attack.
const OPTIONS: u32 = 16;

#[inline(always)]
pub(crate) fn ipv4<const N: usize, P: Packet>(
    packet: &P,
    offset: u32,
) -> Result<(Network, Addresses<N>), Reason> {
    let words: [u32; 5] =
        if offset == P::NETWORK as u32 { packet.fixed(P::NETWORK) } else { packet.at(offset) }
            .ok_or(Reason::Short)?;
    let first = u32::from_be(words[0]);
    let header = (first >> 24 & 15) * 4;
    let total = first & 0xffff;
    if first >> 28 != 4 || header < 20 {
        return Err(Reason::Malformed);
    }
    // Aggregated packets past 64 KiB state no length (kernel: iph_set_totlen).
    let end = if total == 0 && packet.len() > 0xffff { packet.len() } else { offset + total };
    if end < offset + header {
        return Err(Reason::Malformed);
    }
    let sum = words.iter().fold(0, |sum, word| sum + *word as u64);
    if header > 20 {
        options(packet, offset + 20, offset + header)?;
        checked(more(packet, sum, offset + 20, offset + header)?)?;
    } else {
        checked(sum)?;
    }
    let second = u32::from_be(words[1]);
    let third = u32::from_be(words[2]);
    let protocol = (third >> 16) as u8;
    let mut fragment = Fragment::WHOLE;
    // The reserved flag is set by nobody honest (RFC 3514 aside).
    if second & 0x8000 != 0 {
        return Err(Reason::Malformed);
    }
    if second & 0x3fff != 0 {
        let len = end - (offset + header);
        let id = words[1] & u32::from_be(0xffff_0000);
        fragment = Fragment {
            id,
            offset: (second & 0x1fff) * 8,
            len,
            more: second & 0x2000 != 0,
            protocol,
            reserved: 0,
        };
        fragment.check()?;
        // A second part that starts inside the first eight words can rewrite a transport header (RFC 3128).
        if fragment.offset == 8 {
            return Err(Reason::FragmentTiny);
        }
    }
    let mut addresses = Addresses { source: [0; N], destination: [0; N] };
    addresses.source[0] = words[3];
    addresses.destination[0] = words[4];
    let hop_limit = (third >> 24) as u8;
    Ok((Network { protocol, hop_limit, reserved: 0, transport: offset + header, end, fragment }, addresses))
}

/// Adds the words of the options to a sum.
#[inline(always)]
fn more<P: Packet>(packet: &P, sum: u64, start: u32, end: u32) -> Result<u64, Reason> {
    let mut sum = sum;
    for word in 0..10 {
        let at = start + word * 4;
        if at >= end {
            break;
        }
        let word: u32 = packet.at(at).ok_or(Reason::Short)?;
        sum += word as u64;
    }
    Ok(sum)
}

/// Holds that a header's words sum up to what they should (RFC 791). The kernel always computes this checksum
/// by itself, whatever it leaves to devices, so it is right on every honest packet.
#[inline(always)]
fn checked(sum: u64) -> Result<(), Reason> {
    if folded(sum) == 0xffff { Ok(()) } else { Err(Reason::Malformed) }
}

/// Refuses options that steer or map a route (RFC 7126, 4.3 to 4.5): loose (131) and strict (137) source route, record route (7).
#[inline(always)]
pub(crate) fn options<P: Packet>(packet: &P, start: u32, end: u32) -> Result<(), Reason> {
    let mut at = start;
    for _ in 0..OPTIONS {
        if at >= end {
            return Ok(());
        }
        let kind: u8 = packet.at(at).ok_or(Reason::Short)?;
        match kind {
            0 => return Ok(()),
            1 => at += 1,
            7 | 131 | 137 => return Err(Reason::IpOption),
            _ => {
                let len: u8 = packet.at(at + 1).ok_or(Reason::Short)?;
                if len < 2 || at + len as u32 > end {
                    return Err(Reason::Malformed);
                }
                at += len as u32;
            }
        }
    }
    if at >= end { Ok(()) } else { Err(Reason::IpOption) }
}
