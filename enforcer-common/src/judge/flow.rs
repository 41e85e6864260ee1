//! The flow table: a packet of a flow that is known, and the packet that opens one.

use super::decide::Decided;
use super::{Context, Ruling, Sight, Step, apply_mode, failsafe, past, quota, standing};
use crate::Reason;
use crate::address::is_multicast;
use crate::event::FlowEvent;
use crate::flow::{FlowEntry, FlowKey, Tier, ticks};
use crate::maps::Direction;
use crate::parse::{IcmpKind, flags, protocol};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome};

/// A question to the rules. All of them are asked in one place, because the kernel's verifier walks every copy of it; and every field
/// always has a value, because the verifier refuses to copy one that has none.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) why: Why,
    /// Direction of the packet that opened, or opens, the flow.
    pub(super) opened: Direction,
    /// What it is called where no rule decides and nothing more special holds.
    pub(super) otherwise: Reason,
    /// [`Why::Again`]: where the entry is.
    tier: Tier,
    /// [`Why::Again`]: the verdict it held.
    before: Outcome,
    /// [`Why::Again`]: that verdict's epoch.
    pub(super) epoch: u32,
    /// [`Why::Again`]: who on this machine has the other end, as was found when the flow was opened.
    pub(super) resident: u32,
    /// [`Why::Again`]: the packet is the flow's own, with these TCP flags.
    own: bool,
    flags: u8,
    #[expect(dead_code, reason = "fills what would be padding")]
    reserved: u16,
}

impl Ask {
    /// How does a packet fare that stands for itself?
    #[inline(always)]
    pub(super) const fn message(opened: Direction, otherwise: Reason) -> Self {
        Self { why: Why::Message, opened, otherwise, ..Self::OPEN }
    }

    /// May a flow be opened?
    pub(super) const OPEN: Self = Self {
        why: Why::Open,
        opened: Direction::Egress,
        otherwise: Reason::NoRule,
        tier: Tier::Embryonic,
        before: Outcome::deny(Reason::NoRule),
        epoch: 0,
        resident: 0,
        own: false,
        flags: 0,
        reserved: 0,
    };
}

/// What is done with the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The packet opens a flow.
    Open,
    /// The flow's entry is of another epoch, or its deadline has passed.
    Again,
    /// The packet stands for itself.
    Message,
}

/// Judges a packet that isn't about another one.
#[inline(always)]
pub(super) fn flow<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) -> Result<Step, Reason> {
    let (key, transport) = (&sight.key, &sight.transport);
    let tcp = key.protocol == protocol::TCP;
    // A SYN asks the rules before the table, so that a denied one costs no look-up in it.
    let syn = tcp && transport.flags & (flags::SYN | flags::ACK) == flags::SYN;
    if !syn {
        // A flow to a group has no replies from the group.
        if is_multicast(key.source(context.hook.direction)) {
            return Err(Reason::Martian);
        }
        let found = known(context, key, Some(transport.flags), &mut sight.ask, &mut sight.ruling, tables);
        if let Some(step) = found {
            return Ok(step);
        }
        let answer = transport.icmp == IcmpKind::Answer;
        // The kernel answers for the machine what no socket of it has received: it may tell whoever may ask.
        if context.is_host::<T>()
            && context.hook.direction == Direction::Egress
            && (answer || tcp && transport.flags & flags::RST != 0)
        {
            sight.ask = Ask::message(Direction::Ingress, Reason::State);
            return Ok(Step::Ask);
        }
        if tcp && failsafe::carries(context, key, tables) {
            sight.ruling = Ruling::quiet(Outcome::pass(Reason::Failsafe));
            return Ok(Step::Done);
        }
        if tcp || answer {
            return Err(Reason::State);
        }
    }
    let opened = context.hook.direction;
    if opened == Direction::Egress && !context.hosted::<T>() && serves_dhcp(key) {
        return Err(Reason::RogueServer);
    }
    sight.ask = Ask { opened, ..Ask::OPEN };
    Ok(Step::Ask)
}

/// What is known of a flow; `None` where it isn't tracked, or is over. `own` carries the TCP flags of a packet of the flow itself, which
/// is counted to it; a packet that is about the flow, or a later part of one, isn't. What is to be asked, or the verdict, is left in `ask` and `ruling`.
#[inline(always)]
pub(super) fn known<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    own: Option<u8>,
    ask: &mut Ask,
    ruling: &mut Ruling,
    tables: &mut T,
) -> Option<Step> {
    if let Some(step) = consult(Tier::Established, context, key, own, ask, ruling, tables) {
        return Some(step);
    }
    consult(Tier::Embryonic, context, key, own, ask, ruling, tables)
}

#[inline(always)]
fn consult<const N: usize, T: Tables + FamilyTables<N>>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    own: Option<u8>,
    ask: &mut Ask,
    ruling: &mut Ruling,
    tables: &mut T,
) -> Option<Step> {
    let clock = tables.clock();
    let entry = tables.flow(tier, key)?;
    let now = ticks(clock.coarse());
    if entry.expired(now, key.protocol) {
        return None;
    }
    let outcome = standing(entry);
    if entry.epoch != context.control.epoch() || past(entry.deadline, clock) {
        let opened = entry.opener();
        let (own, flags) = (own.is_some(), own.unwrap_or(0));
        let (why, epoch, resident) = (Why::Again, entry.epoch, entry.resident);
        let before = outcome;
        *ask = Ask { why, opened, tier, before, epoch, resident, own, flags, ..Ask::OPEN };
        return Some(Step::Ask);
    }
    if !outcome.passes {
        *ruling = Ruling::told(outcome, 0, 0);
        return Some(Step::Done);
    }
    if let Some(set) = own {
        note(entry, context, key.protocol, set, now);
        if matches!(tier, Tier::Embryonic) && established(entry, context, key.protocol) {
            quota::establish(context, key, entry.opener(), now, tables);
        }
    }
    *ruling = Ruling::quiet(outcome);
    Some(Step::Done)
}

/// Takes the rules' answer.
#[inline(always)]
pub(super) fn answered<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let key = if sight.quotes { &sight.about } else { &sight.key };
    let (ask, decided) = (&sight.ask, &sight.decided);
    match ask.why {
        Why::Message => Ok(Ruling::told(decided.outcome, decided.peer, 0)),
        Why::Open => open(context, key, decided, &mut sight.fresh, tables),
        Why::Again => {
            let outcome = apply_mode(context, decided.outcome);
            let now = ticks(tables.clock().coarse());
            // What is only about a flow leaves it as it was: the record of its end has to be of a packet of its own.
            if !sight.quotes
                && let Some(entry) = tables.flow(ask.tier, key)
            {
                renew(entry, context, outcome, decided.deadline);
                if ask.own && outcome.passes {
                    note(entry, context, key.protocol, ask.flags, now);
                }
            }
            let same = outcome.passes == ask.before.passes && outcome.word as u8 == ask.before.word as u8;
            if same || sight.quotes {
                return Ok(if outcome.passes {
                    Ruling::quiet(outcome)
                } else {
                    Ruling::told(outcome, decided.peer, 0)
                });
            }
            let cut = if ask.before.passes && !outcome.passes { FlowEvent::CUT } else { 0 };
            Ok(Ruling::told(outcome, decided.peer, FlowEvent::CHANGED | cut))
        }
    }
}

#[inline(always)]
fn renew(entry: &mut FlowEntry, context: &Context, outcome: Outcome, deadline: u64) {
    // The epoch goes last: another CPU that sees it sees the verdict too, or judges once more.
    entry.cause = outcome.cause.0;
    entry.verdict = packed(outcome);
    entry.deadline = deadline;
    entry.epoch = context.control.epoch();
}

/// An outcome as entries hold it.
#[inline(always)]
const fn packed(outcome: Outcome) -> u8 {
    outcome.word as u8 | if outcome.passes { FlowEntry::PASSES } else { 0 }
}

/// Brings an entry up to date with a packet that passes.
#[inline(always)]
fn note(entry: &mut FlowEntry, context: &Context, number: u8, set: u8, now: u32) {
    entry.seen = now;
    let from_opener = entry.opened == context.hook.direction as u8;
    if !from_opener && entry.state & FlowEntry::REPLIED == 0 {
        entry.state |= FlowEntry::REPLIED;
    }
    if number == protocol::TCP && set & (flags::FIN | flags::RST) != 0 {
        if set & flags::RST != 0 {
            entry.state |= FlowEntry::RESET;
        } else {
            entry.state |= if from_opener { FlowEntry::FIN_OPENER } else { FlowEntry::FIN_OTHER };
        }
    } else if entry.state & FlowEntry::RESET != 0 {
        // Nothing follows a reset that both ends believe: this one was forged, or wasn't taken (RFC 5961).
        entry.state &= !FlowEntry::RESET;
    }
    match context.hook.direction {
        Direction::Egress => {
            entry.packets_out += 1;
            entry.bytes_out += context.len as u64;
        }
        Direction::Ingress => {
            entry.packets_in += 1;
            entry.bytes_in += context.len as u64;
        }
    }
}

/// Whether a flow belongs among the established ones: answered, and for TCP the answer confirmed by its opener, so
/// that a flood of handshakes nobody finishes doesn't get there.
#[inline(always)]
fn established(entry: &FlowEntry, context: &Context, number: u8) -> bool {
    let replied = entry.state & FlowEntry::REPLIED != 0;
    replied && (number != protocol::TCP || entry.opened == context.hook.direction as u8)
}

/// Remembers a flow that the rules let open.
#[inline(always)]
fn open<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    decided: &Decided,
    fresh: &mut FlowEntry,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let direction = context.hook.direction;
    if !decided.outcome.passes {
        return Ok(Ruling::told(decided.outcome, decided.peer, 0));
    }
    // A frame for everybody opens no flow to one address: a subnet's broadcast address, or a try at many receivers (RFC 1122, 3.3.6).
    if context.link.group != 0 && !is_multicast(key.destination(direction)) {
        return Err(Reason::Multicast);
    }
    let now = ticks(tables.clock().coarse());
    // Only a SYN gets here with an entry alive: a retransmission, or a new connection on an old tuple.
    if key.protocol == protocol::TCP
        && (join(Tier::Established, context, key, decided, now, tables)
            || join(Tier::Embryonic, context, key, decided, now, tables))
    {
        return Ok(Ruling::quiet(decided.outcome));
    }
    if decided.outcome.cause.0 != Cause::reason(Reason::Failsafe).0 {
        quota::open_flow(context, now, tables)?;
    }
    let (out, bytes) = if direction == Direction::Egress { (1, context.len as u64) } else { (0, 0) };
    *fresh = FlowEntry {
        epoch: context.control.epoch(),
        cause: decided.outcome.cause.0,
        deadline: decided.deadline,
        seen: now,
        state: 0,
        verdict: packed(decided.outcome),
        opened: direction as u8,
        reserved: 0,
        packets_out: out,
        bytes_out: bytes,
        packets_in: 1 - out,
        bytes_in: context.len as u64 - bytes,
        resident: decided.resident,
        padding: 0,
    };
    if !tables.insert_flow(Tier::Embryonic, key, fresh) {
        return Err(Reason::FlowTableFull);
    }
    Ok(Ruling::told(decided.outcome, decided.peer, FlowEvent::NEW))
}

/// Counts an allowed SYN to a flow that is alive; a closed one gives way.
#[inline(always)]
fn join<const N: usize, T: Tables + FamilyTables<N>>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    decided: &Decided,
    now: u32,
    tables: &mut T,
) -> bool {
    let Some(entry) = tables.flow(tier, key) else { return false };
    let same = entry.opened == context.hook.direction as u8;
    if entry.closed() || entry.expired(now, key.protocol) || !same {
        if matches!(tier, Tier::Established) {
            tables.remove_flow(tier, key);
        }
        return false;
    }
    entry.resident = decided.resident;
    renew(entry, context, decided.outcome, decided.deadline);
    note(entry, context, key.protocol, flags::SYN, now);
    true
}

/// A DHCP (RFC 2131) or DHCPv6 (RFC 8415) server's message.
#[inline(always)]
fn serves_dhcp<const N: usize>(key: &FlowKey<N>) -> bool {
    let (from, to): (u16, u16) = if N == 1 { (67, 68) } else { (547, 546) };
    key.protocol == protocol::UDP && key.local_port == from.to_be() && key.remote_port == to.to_be()
}
