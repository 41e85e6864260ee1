//! Headers, from the frame inwards. What isn't understood is a [`Reason`], never a guess.

mod icmp;
mod ipv4;
mod ipv6;
mod link;
mod transport;

use crate::Reason;
use crate::address::Address;
use crate::packet::Packet;

pub(crate) use icmp::{IcmpKind, icmp_kind, icmp_ports};
use ipv4::ipv4;
pub use ipv4::{Options, options};
use ipv6::ipv6;
pub use ipv6::{Chain, walk};
pub(crate) use link::{Link, ethertype, hardware, is_tag, link};
pub use transport::flags;
pub(crate) use transport::{Transport, transport};

/// IP protocol numbers with a meaning here.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const SCTP: u8 = 132;
}

/// The rest of an IP header, extension headers passed.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    /// What follows at `transport`.
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    #[expect(dead_code, reason = "fills what would be padding")]
    pub(crate) reserved: u16,
    /// Offset of the transport header in the frame.
    pub(crate) transport: u32,
    /// Offset one past the IP payload, as the header states it; may lie past a cut frame.
    pub(crate) end: u32,
    pub(crate) fragment: Fragment,
}

impl Network {
    /// Nothing parsed.
    pub(crate) const NONE: Self =
        Self { protocol: 0, hop_limit: 0, reserved: 0, transport: 0, end: 0, fragment: Fragment::WHOLE };
}

/// The fragment fields; all zero for a whole datagram.
#[derive(Clone, Copy)]
pub(crate) struct Fragment {
    /// Identification, as it stands in memory.
    pub(crate) id: u32,
    /// Offset of this part, bytes.
    pub(crate) offset: u32,
    /// Bytes of the datagram in this part.
    pub(crate) len: u32,
    /// Whether more parts follow.
    pub(crate) more: bool,
    /// Protocol as it stands in every part (on IPv6, the fragment header's next header).
    pub(crate) protocol: u8,
    #[expect(dead_code, reason = "fills what would be padding")]
    pub(crate) reserved: u16,
}

impl Fragment {
    pub(crate) const WHOLE: Self = Self { id: 0, offset: 0, len: 0, more: false, protocol: 0, reserved: 0 };

    /// What holds of any part: only the last may have a length that isn't a multiple of 8, and the datagram has an end.
    #[inline(always)]
    fn check(&self) -> Result<(), Reason> {
        let odd = self.more && !self.len.is_multiple_of(8);
        if odd || self.len == 0 || self.offset + self.len > 65_535 { Err(Reason::Malformed) } else { Ok(()) }
    }
}

/// A reason as part of a number that is 0 where there is none.
#[inline(always)]
const fn code(reason: Reason) -> u64 {
    reason as u64 + 1
}

/// The reason that [`code`] made a number of.
#[inline(always)]
const fn reason(code: u8) -> Option<Reason> {
    match code {
        0 => None,
        code => match Reason::from_code(code as u32 - 1) {
            None => Some(Reason::Malformed),
            known => known,
        },
    }
}

/// Parses the IP header of a family. What is written where it isn't understood means nothing.
#[inline(always)]
pub(crate) fn network<const N: usize, P: Packet>(
    packet: &P,
    offset: u32,
    into: &mut Network,
    source: &mut Address<N>,
    destination: &mut Address<N>,
) -> Result<(), Reason> {
    if N == 1 {
        ipv4(packet, offset, into, source, destination)
    } else {
        ipv6(packet, offset, into, source, destination)
    }
}
