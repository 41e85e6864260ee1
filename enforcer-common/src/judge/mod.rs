//! The verdict on a packet.

use crate::maps::Direction;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::Outcome;

/// Where a packet is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Interface index.
    pub subject: u32,
    /// As the subject sees it.
    pub direction: Direction,
}

/// Judges one packet at one hook, counts it and reports it.
#[inline(always)]
pub fn judge<P: Packet, T: Tables>(_packet: &P, _hook: Hook, _tables: &mut T) -> Outcome {
    Outcome::deny(crate::Reason::UnknownSubject)
}
