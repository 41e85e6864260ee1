//! Packets that were captured on two devices, or on both sides of a mirror port: the same bytes within a few milliseconds.

use crate::wire::{Captured, IPV4, IPV6};
use enforcer_flows::Time;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// A repetition comes within this time. Retransmissions come later (RFC 6298 has 200 ms at the least in practice), or with another
/// identification or timestamp.
const WITHIN: Time = 2_000_000;
const SLOTS: usize = 1 << 16;

/// What was seen of late, each slot taken over by the next that falls into it.
pub(crate) struct Repeats {
    seen: Vec<(u64, Time)>,
}

impl Repeats {
    pub(crate) fn new() -> Self {
        Self { seen: vec![(0, Time::MIN); SLOTS] }
    }

    /// Whether the same datagram was here a moment ago. What a router changes on its way (hop limit, header checksum) isn't compared.
    pub(crate) fn is_repeat(&mut self, packet: &Captured<'_>, time: Time) -> bool {
        let bytes = packet.datagram();
        if !packet.is_whole() && !is_telling(packet.ethertype, bytes) {
            return false;
        }
        let mut hasher = FxHasher::default();
        hasher.write_u32(packet.tags);
        match packet.ethertype {
            IPV4 if bytes.len() >= 20 => {
                hasher.write(&bytes[..8]);
                hasher.write_u8(bytes[9]);
                hasher.write(&bytes[12..]);
            }
            IPV6 if bytes.len() >= 40 => {
                hasher.write(&bytes[..7]);
                hasher.write(&bytes[8..]);
            }
            _ => hasher.write(bytes),
        }
        let hash = hasher.finish();
        let slot = &mut self.seen[hash as usize % SLOTS];
        let repeat = slot.0 == hash && time.abs_diff(slot.1) <= WITHIN as u64;
        *slot = (hash, time);
        repeat
    }
}

/// Whether what a capture kept tells a packet from the next one of its flow: up to the end of TCP's checksum, and on IPv4 with an identification.
fn is_telling(ethertype: u16, bytes: &[u8]) -> bool {
    match ethertype {
        IPV4 => bytes.len() >= 38 && bytes[4..6] != [0, 0],
        IPV6 => bytes.len() >= 58,
        _ => false,
    }
}
