//! The IPv4 header (RFC 791).

use super::{Fragment, Network, code, reason};
use crate::Reason;
use crate::address::Address;
use crate::checksum::folded;
use crate::packet::Packet;

/// How many are looked at before a packet is given up; eight fit with room for padding, more is an attack.
const MOST: u32 = 16;

#[inline(always)]
pub(crate) fn ipv4<const N: usize, P: Packet>(
    packet: &P,
    offset: u32,
    into: &mut Network,
    source: &mut Address<N>,
    destination: &mut Address<N>,
) -> Result<(), Reason> {
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
        let options = packet.options(offset + 20, offset + header);
        checked(sum + options.read()? as u64)?;
    } else {
        checked(sum)?;
    }
    (source[0], destination[0]) = (words[3], words[4]);
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
    let hop_limit = (third >> 24) as u8;
    *into = Network { protocol, hop_limit, reserved: 0, transport: offset + header, end, fragment };
    Ok(())
}

/// What was found in the options of a header. One number, so that the kernel's packets can wrap [`options`] in a function of its own:
/// `sum of their words, folded:16 · cut off:8 · reason:8`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options(pub u64);

impl Options {
    const CUT: u64 = 1 << 8;

    /// Why nothing that carries them may pass.
    #[inline(always)]
    pub(crate) const fn fault(self) -> Option<Reason> {
        reason(self.0 as u8)
    }

    /// The sum of their words.
    #[inline(always)]
    const fn read(self) -> Result<u16, Reason> {
        match self.fault() {
            Some(reason) => Err(reason),
            None if self.0 & Self::CUT != 0 => Err(Reason::Short),
            None => Ok((self.0 >> 16) as u16),
        }
    }
}

/// Looks through options.
#[inline(always)]
pub fn options<P: Packet>(packet: &P, start: u32, end: u32) -> Options {
    if let Err(reason) = allowed(packet, start, end) {
        return Options(code(reason));
    }
    match sum(packet, start, end) {
        Some(sum) => Options((folded(sum) as u64) << 16),
        None => Options(Options::CUT),
    }
}

/// The sum of their words.
#[inline(always)]
fn sum<P: Packet>(packet: &P, start: u32, end: u32) -> Option<u64> {
    let mut sum = 0;
    for word in 0..10 {
        let at = start + word * 4;
        if at >= end {
            break;
        }
        sum += packet.at::<u32>(at)? as u64;
    }
    Some(sum)
}

/// Holds that a header's words sum up to what they should (RFC 791). The kernel always computes this checksum
/// by itself, whatever it leaves to devices, so it is right on every honest packet.
#[inline(always)]
fn checked(sum: u64) -> Result<(), Reason> {
    if folded(sum) == 0xffff { Ok(()) } else { Err(Reason::Malformed) }
}

/// Refuses options that steer or map a route (RFC 7126, 4.3 to 4.5): loose (131) and strict (137) source route, record route (7).
#[inline(always)]
fn allowed<P: Packet>(packet: &P, start: u32, end: u32) -> Result<(), Reason> {
    let mut at = start;
    for _ in 0..MOST {
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
