//! What was counted beside flows.

use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that came in adds up here: `packets` is `judged + unjudged + repeated + truncated + unreadable + not_ip` and the neighbours'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Distinct flows.
    pub flows: u64,
    /// Distinct addresses.
    pub addresses: u64,
    /// Captured packets.
    pub packets: u64,
    /// Their bytes, link header included.
    pub packet_bytes: u64,
    /// Packets of flows that met a hook.
    pub judged: u64,
    /// Packets between ends of which none is managed.
    pub unjudged: u64,
    /// Packets that were captured a second time.
    pub repeated: u64,
    /// Packets of which the capture cut off a header.
    pub truncated: u64,
    /// Packets too short to say between whom they go.
    pub unreadable: u64,
    /// Packets that aren't IP, ARP or neighbour discovery.
    pub not_ip: u64,
    /// Packets with a VLAN tag. They are counted elsewhere, too.
    pub tagged: u64,
    /// Address resolution and neighbour discovery.
    pub neighbours: Neighbours,
    /// Flow records.
    pub records: u64,
    /// Packets that they count, each flow at one end.
    pub record_packets: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Records between ends of which none is managed.
    pub records_unjudged: u64,
    /// Records of a flow at its other end, whose figures aren't counted twice.
    pub seen_at_both_ends: u64,
    /// Records that don't say who opened the flow.
    pub openers_inferred: u64,
    /// Records of ICMP that don't say which message; taken for echo requests.
    pub icmp_assumed: u64,
    /// Records of ICMP errors, which follow flows that the record doesn't name: not judged.
    pub icmp_errors: u64,
    /// Times that the recording doesn't cover.
    pub gaps: u64,
    /// Lines or records that couldn't be read.
    pub damaged: u64,
}

/// ARP and neighbour discovery, which are judged but no flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Neighbours {
    /// They pass.
    pub passed: u64,
    /// They don't, by reason.
    pub denied: BTreeMap<&'static str, u64>,
    /// Between ends of which none is managed.
    pub unjudged: u64,
}
