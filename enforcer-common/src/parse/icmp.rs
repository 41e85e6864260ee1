//! ICMP and ICMPv6 as flows: a query and its answer share one key, an error points at the flow it is about.

use super::protocol;

/// What an ICMP message does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IcmpKind {
    /// Opens a flow; an answer may come.
    Query,
    /// Answers a query.
    Answer,
    /// Quotes the packet it is about.
    Error,
    /// Sends its receiver elsewhere.
    Redirect,
    /// Router discovery.
    Router,
    /// Neighbour discovery (ICMPv6 only).
    Neighbour,
    /// Anything else: a message of its own.
    Message,
}

/// Kind of a message: RFC 792, 950, 1256 for ICMP; RFC 4443, 4861 for ICMPv6.
#[inline(always)]
pub(crate) const fn icmp_kind(protocol: u8, message: u8) -> IcmpKind {
    if protocol == protocol::ICMP {
        match message {
            8 | 13 | 15 | 17 => IcmpKind::Query,
            0 | 14 | 16 | 18 => IcmpKind::Answer,
            3 | 4 | 11 | 12 => IcmpKind::Error,
            5 => IcmpKind::Redirect,
            9 | 10 => IcmpKind::Router,
            _ => IcmpKind::Message,
        }
    } else {
        match message {
            128 => IcmpKind::Query,
            129 => IcmpKind::Answer,
            1..=4 => IcmpKind::Error,
            133..=136 => IcmpKind::Neighbour,
            137 => IcmpKind::Redirect,
            _ => IcmpKind::Message,
        }
    }
}

/// Source and destination "port" of a message, in memory order. A query goes from its identifier to its type and code; its answer
/// comes from the query's type and code to the identifier, so both have the flow's key, and a query in the
/// other direction does not.
#[inline(always)]
pub(crate) const fn icmp_ports(protocol: u8, message: u8, code: u8, id: u16) -> (u16, u16) {
    match icmp_kind(protocol, message) {
        IcmpKind::Query => (id, u16::from_ne_bytes([message, code])),
        IcmpKind::Answer => {
            let query = match message {
                0 => 8,
                129 => 128,
                answer => answer - 1,
            };
            (u16::from_ne_bytes([query, code]), id)
        }
        _ => (0, u16::from_ne_bytes([message, code])),
    }
}
