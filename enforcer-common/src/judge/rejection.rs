//! Who is told that a packet was denied, where a Segment wants its workloads' peers to learn at once.

use super::{Context, Sight};
use crate::Reason;
use crate::address::{is_martian, is_multicast};
use crate::event::FlowEvent;
use crate::maps::Subject;
use crate::parse::{IcmpKind, flags, protocol};
use crate::verdict::{Cause, Outcome};

/// How the sender of a denied packet is told: by a TCP reset, else by an ICMP error. Judging only says so, the kernel programs do it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rejection {
    /// Offset of the IP header in the frame.
    pub network: u16,
    /// Offset of the transport header.
    pub transport: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6; 0 where nobody is told.
    pub family: u8,
    /// 1 where the other end is told as well: the packet's flow was open until now.
    pub both: u8,
    /// Zero.
    pub reserved: u8,
}

impl Rejection {
    /// Nobody is told.
    pub const NONE: Self = Self { network: 0, transport: 0, protocol: 0, family: 0, both: 0, reserved: 0 };
}

/// What is made of a packet that was denied. Nobody answers what no rule has decided (it may be forged), parts of datagrams, groups,
/// resets, or errors: RFC 1122, 3.2.2 and RFC 9293, 3.5.2.
#[inline(always)]
pub(super) fn rejection<const N: usize>(context: &Context, sight: &Sight<N>, outcome: &Outcome) -> Rejection {
    let none = Rejection::NONE;
    if context.flags & Subject::ANSWERS_DENIED == 0 {
        return none;
    }
    let decided = outcome.cause.as_rule().is_some()
        || outcome.cause.0 == Cause::reason(Reason::NoRule).0
        || outcome.cause.0 == Cause::reason(Reason::Protocol).0
        || outcome.cause.0 == Cause::reason(Reason::State).0;
    let (key, net) = (&sight.key, &sight.net);
    let part = net.fragment.more || net.fragment.offset != 0;
    let (from, to) = (key.source(context.hook.direction), key.destination(context.hook.direction));
    if !decided || part || is_multicast(from) || is_martian(from) || is_multicast(to) {
        return none;
    }
    let tcp = key.protocol == protocol::TCP;
    let icmp = key.protocol == protocol::ICMP || key.protocol == protocol::ICMPV6;
    if tcp && sight.transport.flags & flags::RST != 0 || icmp && sight.transport.icmp != IcmpKind::Query {
        return none;
    }
    let cut = tcp && sight.ruling.flags & FlowEvent::CHANGED != 0;
    Rejection {
        network: context.link.network as u16,
        transport: net.transport as u16,
        protocol: key.protocol,
        family: if N == 1 { 4 } else { 6 },
        both: cut as u8,
        reserved: 0,
    }
}
