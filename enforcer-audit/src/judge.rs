//! A packet at the hooks on its path.

use enforcer_common::judge::{Scratch, judge_in};
use enforcer_common::maps::{Direction, Endpoint, Subject};
use enforcer_common::packet::{Frame, Packet};
use enforcer_common::tables::{FamilyTables, Tables};
use enforcer_common::{Cause, Hook, Outcome, Reason, Word, address};
use enforcer_policy::compile::{Delta, Image};
use enforcer_policy::memory::{Capacity, MemoryTables};
use std::net::IpAddr;

/// More than the kernel's tables have room for, because a recording may hold the traffic of many hosts. What doesn't fit is forgotten and then taken
/// for a flow whose opening wasn't seen.
const ROOM: Capacity = Capacity { established: 2 << 20, embryonic: 1 << 20, fragments: 1 << 16 };

/// What is counted from a path's hooks: nothing else is remembered of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ruling {
    /// Whether the packet goes on.
    pub passes: bool,
    /// What is reported.
    pub word: Word,
    /// Why.
    pub cause: Cause,
}

impl Ruling {
    /// Whether it is about a packet that no flow was found for.
    pub(crate) fn is_out_of_state(self) -> bool {
        self.cause == Cause::reason(Reason::State)
    }
}

impl From<Outcome> for Ruling {
    fn from(outcome: Outcome) -> Self {
        Self { passes: outcome.passes, word: outcome.word, cause: outcome.cause }
    }
}

/// The hooks that a packet passes, by number; 0 where an end has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) egress: u32,
    pub(crate) ingress: u32,
}

impl Path {
    pub(crate) fn is_unhooked(self) -> bool {
        self.egress == 0 && self.ingress == 0
    }

    pub(crate) fn reversed(self) -> Self {
        Self { egress: self.ingress, ingress: self.egress }
    }
}

/// The tables, twice: captured packets meet the flows before them, records stand each for itself.
pub(crate) struct Judge {
    packets: MemoryTables,
    openings: MemoryTables,
    scratch: Box<Scratch>,
    boot: u64,
}

impl Judge {
    pub(crate) fn new(image: &Image, boot: u64) -> Self {
        let mut packets = MemoryTables::with_capacity(image, ROOM);
        packets.be_quiet();
        packets.set_clock(boot, 0);
        let mut openings = MemoryTables::new(image);
        openings.be_quiet();
        openings.set_clock(boot, 0);
        Self { packets, openings, scratch: Box::new(Scratch::EMPTY), boot }
    }

    pub(crate) fn switch(&mut self, image: &Image) {
        self.packets.switch(image, &[]);
        self.openings.switch(image, &[]);
    }

    pub(crate) fn apply(&mut self, delta: &Delta) {
        self.packets.apply(delta);
        self.openings.apply(delta);
    }

    pub(crate) fn bind(&mut self, hook: u32, subject: Subject) {
        self.packets.bind(hook, subject);
        self.openings.bind(hook, subject);
    }

    /// Sets the clock that expiries are held against, for all that follows.
    pub(crate) fn set_boot(&mut self, boot: u64) {
        self.boot = boot;
        self.openings.set_clock(boot, 0);
    }

    /// Sets the clock that idle times are measured by.
    pub(crate) fn set_time(&mut self, time: u64) {
        self.packets.set_clock(self.boot, time);
    }

    pub(crate) fn sweep(&mut self) {
        self.packets.sweep();
    }

    /// A captured packet among those before it. `None` where no hook is on its path.
    pub(crate) fn packet<P: Packet>(&mut self, packet: &P, path: Path) -> Option<Ruling> {
        hooks(packet, path, &mut self.scratch, &mut self.packets)
    }

    /// A frame as if nothing had come before it.
    pub(crate) fn opening(&mut self, frame: &[u8], path: Path) -> Option<Ruling> {
        let ruling = hooks(&Frame::new(frame), path, &mut self.scratch, &mut self.openings);
        self.openings.forget_flows();
        ruling
    }

    /// Who an address is to the tables.
    pub(crate) fn endpoint(&self, at: IpAddr) -> Endpoint {
        match at {
            IpAddr::V4(at) => endpoint::<1>(&self.openings, address::v4(at.octets())),
            IpAddr::V6(at) => endpoint::<4>(&self.openings, address::v6(at.octets())),
        }
    }
}

fn endpoint<const N: usize>(tables: &MemoryTables, at: address::Address<N>) -> Endpoint
where
    MemoryTables: FamilyTables<N>,
{
    let bank = tables.control().bank();
    let found = FamilyTables::<N>::address(tables, bank, &at);
    found.or_else(|| FamilyTables::<N>::prefix(tables, bank, &at)).copied().unwrap_or(Endpoint::NONE)
}

/// The egress hook, and where that lets it pass, the ingress hook. The first that drops it decides; else the first that says `audited`;
/// else the first that isn't off.
fn hooks<P: Packet>(
    packet: &P,
    path: Path,
    scratch: &mut Scratch,
    tables: &mut MemoryTables,
) -> Option<Ruling> {
    let mut at = |subject: u32, direction| {
        (subject != 0).then(|| Ruling::from(judge_in(packet, Hook { subject, direction }, scratch, tables)))
    };
    let first = at(path.egress, Direction::Egress);
    if first.is_some_and(|ruling| !ruling.passes) {
        return first;
    }
    let second = at(path.ingress, Direction::Ingress);
    match (first, second) {
        (Some(first), Some(second)) => Some(weigh(first, second)),
        (first, second) => first.or(second),
    }
}

fn weigh(first: Ruling, second: Ruling) -> Ruling {
    let off = |ruling: Ruling| ruling.cause == Cause::reason(Reason::SegmentOff);
    if !second.passes {
        second
    } else if first.word == Word::Audited {
        first
    } else if second.word == Word::Audited || off(first) {
        second
    } else {
        first
    }
}
