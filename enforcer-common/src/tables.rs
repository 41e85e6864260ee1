//! What the verdict function looks things up in.

use crate::address::Address;
use crate::answer::{Decision, Interval, PortSet};
use crate::event::FlowEvent;
use crate::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, Tier};
use crate::judge::{self, Context, Sight, Step};
use crate::maps::{Control, Direction, Endpoint, Generation, PairKey, Quarantine, Quota, Subject, Tally};
use crate::packet::Packet;
use crate::verdict::Outcome;

/// The tables of both families, the clocks, and where verdicts are counted.
pub trait Tables: FamilyTables<1> + FamilyTables<4> {
    /// Where the time comes from.
    type Clock: Clock;

    /// Whether whoever is judged here is known by its cgroup; `None` where either may be. Known before a packet comes: what can't be met here isn't
    /// walked by the kernel's verifier.
    const HOSTED: Option<bool>;

    /// Which generation is in force. Read once per packet, before anything else.
    fn control(&self) -> Control;
    /// What a bank says beside its tables.
    fn generation(&self, bank: u32) -> Option<&Generation>;
    /// Whose hook number `number` is, as it stands in the table.
    fn subject_entry(&self, bank: u32, number: u32) -> Option<&Subject>;
    /// Whose hook number `number` is.
    #[inline(always)]
    fn subject(&self, bank: u32, number: u32) -> Option<Subject> {
        self.subject_entry(bank, number).copied()
    }
    /// How an identity that is marked as such is cut off.
    fn quarantine(&self, bank: u32, identity: u32) -> Option<&Quarantine>;
    /// The port set of a pair of classes.
    fn pair(&self, key: &PairKey) -> Option<PortSet>;
    /// Break point `index` of a bank.
    fn interval(&self, bank: u32, index: u32) -> Option<Interval>;
    /// Decision `index` of a bank.
    fn decision(&self, bank: u32, index: u32) -> Option<Decision>;

    /// Number of the decision that a port set has for `protocol << 16 | port` now; 0 for none.
    fn port_decision(&self, bank: u32, set: PortSet, key: u32) -> u32;

    /// What was opened of late, by [`Quota::slot`].
    fn quota(&mut self, slot: u32) -> Option<&mut Quota>;
    /// How many established flows there are, by [`Quota::slot`].
    fn share(&mut self, slot: u32) -> Option<&mut u32>;

    /// The clocks, as a handle of their own so that they can be read while an entry is held.
    fn clock(&self) -> Self::Clock;

    /// Counts a packet under its cause. Called exactly once per packet.
    fn count(&mut self, outcome: &Outcome, tally: Tally, bytes: u32, opened: bool);
    /// Whether a record would be taken now. `limited` records are left out beyond a rate; what is left out is counted.
    fn wants(&mut self, limited: bool) -> bool;
    /// Hands a record to whoever listens; one that finds no room is counted and not made.
    fn report(&mut self, event: impl FnOnce() -> FlowEvent);
}

/// The two clocks of a verdict.
pub trait Clock: Copy {
    /// Monotonic clock, cheap and good to a few milliseconds, nanoseconds. Idle times are measured by it.
    fn coarse(self) -> u64;
    /// Boot-time clock, nanoseconds: counts while the machine sleeps, never steps back. Expiries are held against it.
    fn boot(self) -> u64;
}

/// The tables that exist once per address family: `N` is 1 for IPv4, 4 for IPv6.
pub trait FamilyTables<const N: usize> {
    /// A tracked flow.
    fn flow(&mut self, tier: Tier, key: &FlowKey<N>) -> Option<&mut FlowEntry>;
    /// Remembers a flow; `false` where there is no room.
    fn insert_flow(&mut self, tier: Tier, key: &FlowKey<N>, entry: &FlowEntry) -> bool;
    /// Moves a flow from the embryonic tier to the established one; it stays where it is if that is full.
    fn promote_flow(&mut self, key: &FlowKey<N>);
    /// Forgets a flow.
    fn remove_flow(&mut self, tier: Tier, key: &FlowKey<N>);
    /// The endpoint with exactly this address.
    fn address(&self, bank: u32, address: &Address<N>) -> Option<&Endpoint>;
    /// Who on this machine has the other end of a flow, by its socket: a [`Subject::hosted`] number; 0 where no socket tells. `opened` is the
    /// direction in which the flow is opened.
    fn resident(&self, bank: u32, key: &FlowKey<N>, opened: Direction) -> u32;
    /// The endpoint of the longest prefix that holds this address.
    fn prefix(&self, bank: u32, address: &Address<N>) -> Option<&Endpoint>;
    /// Whether a path of the machine itself stays open to this flow; `ways` has bit 0 for paths that are opened from here, bit 1 for those into it.
    /// Asked at the machine's own hook only; see [`crate::judge::stays_open`].
    fn stays_open(&self, key: &FlowKey<N>, ways: u8) -> bool;
    /// A fragmented datagram under way.
    fn fragment(&mut self, key: &FragmentKey<N>) -> Option<&mut FragmentEntry>;
    /// Remembers a datagram's first fragment; `false` where there is no room.
    fn insert_fragment(&mut self, key: &FragmentKey<N>, entry: &FragmentEntry) -> bool;
    /// Forgets a datagram.
    fn remove_fragment(&mut self, key: &FragmentKey<N>);

    /// Judges an ICMP error: what [`judge::related`] does. The kernel's tables wrap stages like this one in functions of their own, which the
    /// verifier walks once, whatever leads there.
    #[inline(always)]
    fn related<P: Packet>(&mut self, packet: &P, context: &Context, sight: &mut Sight<N>) -> Step
    where
        Self: Tables + Sized,
    {
        judge::related(packet, context, sight, self)
    }

    /// Reports a packet: what [`judge::tell`] does.
    #[inline(always)]
    fn tell(&mut self, context: &Context, sight: &Sight<N>, family: u8)
    where
        Self: Tables + Sized,
    {
        judge::tell(context, sight, family, self);
    }

    /// Asks the rules: what [`judge::ask`] does.
    #[inline(always)]
    fn ask(&mut self, context: &Context, sight: &mut Sight<N>)
    where
        Self: Tables + Sized,
    {
        judge::ask(context, sight, self);
    }
}
