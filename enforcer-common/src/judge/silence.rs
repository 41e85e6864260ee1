//! What it is called where no rule decides: the same denial under five names, told apart for the reader.

use crate::Reason;
use crate::parse::{IcmpKind, icmp_kind, protocol};

/// VXLAN (RFC 7348).
const VXLAN: u16 = 4789;
/// VXLAN as Linux had it before the number was assigned.
const VXLAN_LINUX: u16 = 8472;
/// Geneve (RFC 8926).
const GENEVE: u16 = 6081;

/// Whether a protocol carries another flow inside (numbers of the IANA registry): such a flow is hidden from the rules.
#[inline(always)]
pub const fn encapsulates(number: u8) -> bool {
    matches!(number, 4 | 41 | 47 | 94 | 97 | 115 | 137)
}

/// The reason of a flow that no rule decides. `port` as the rules have it, `group` where an end is a multicast destination;
/// `otherwise` where nothing more special holds, see [`unremarkable`].
#[inline(always)]
pub const fn silence(number: u8, port: u16, group: bool, otherwise: Reason) -> Reason {
    let tunnel = number == protocol::UDP && matches!(port, VXLAN | VXLAN_LINUX | GENEVE);
    let everyday = matches!(number, protocol::ICMP | protocol::TCP | protocol::UDP | protocol::ICMPV6);
    if group {
        Reason::Multicast
    } else if encapsulates(number) || tunnel {
        Reason::Encapsulated
    } else if !everyday {
        Reason::Protocol
    } else {
        otherwise
    }
}

/// What [`silence`] falls back to for a packet that belongs to no flow: an ICMP error has its own word.
pub fn unremarkable(number: u8, port: u16) -> Reason {
    let icmp = matches!(number, protocol::ICMP | protocol::ICMPV6);
    let [message, _] = port.to_be_bytes();
    if icmp && icmp_kind(number, message) == IcmpKind::Error {
        Reason::RelatedUnknown
    } else {
        Reason::NoRule
    }
}
