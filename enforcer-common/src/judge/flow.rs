//! The flow table: a packet of a flow that is known, and the packet that opens one.

use super::decide::{Decided, decide};
use super::{Context, Ruling, past, standing};
use crate::Reason;
use crate::event::FlowEvent;
use crate::flow::{FlowEntry, FlowKey, Tier, ticks};
use crate::maps::Direction;
use crate::parse::{IcmpKind, Transport, flags, protocol};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::Outcome;

/// What an entry says to a packet.
enum Known {
    /// Judged under today's epoch.
    Current(Outcome),
    /// To be judged again; opened in this direction.
    Stale(Direction, Outcome),
    /// Over, or never there.
    Gone,
}

/// Judges a packet that isn't about another one.
#[inline(always)]
pub(super) fn flow<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    transport: &Transport,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let tcp = key.protocol == protocol::TCP;
    if tcp && transport.flags & (flags::SYN | flags::ACK) == flags::SYN {
        return open(context, key, tables);
    }
    if let Some(ruling) = known(Tier::Established, context, key, transport.flags, tables) {
        return Ok(ruling);
    }
    if let Some(ruling) = known(Tier::Embryonic, context, key, transport.flags, tables) {
        return Ok(ruling);
    }
    if tcp || transport.icmp == IcmpKind::Answer {
        return Err(Reason::State);
    }
    open(context, key, tables)
}

/// A packet of a flow that may be in `tier`.
#[inline(always)]
fn known<const N: usize, T: Tables + FamilyTables<N>>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    set: u8,
    tables: &mut T,
) -> Option<Ruling> {
    let clock = tables.clock();
    let mut grown = false;
    let found = match tables.flow(tier, key) {
        None => return None,
        Some(entry) => {
            let found = look(entry, context, key.protocol, clock);
            if let Known::Current(outcome) = found
                && outcome.passes
            {
                note(entry, context, key.protocol, set, clock);
                grown = matches!(tier, Tier::Embryonic) && established(entry, context, key.protocol);
            }
            found
        }
    };
    let (outcome, changed) = match found {
        Known::Gone => return None,
        Known::Current(outcome) => (outcome, false),
        Known::Stale(opened, before) => {
            let outcome = judge_again(tier, context, key, opened, tables);
            let changed = outcome.passes != before.passes || outcome.word != before.word;
            if outcome.passes
                && let Some(entry) = tables.flow(tier, key)
            {
                note(entry, context, key.protocol, set, clock);
            }
            (outcome, changed)
        }
    };
    if grown {
        tables.promote_flow(key);
    }
    if changed {
        return Some(Ruling::told(outcome, 0, FlowEvent::CHANGED));
    }
    Some(if outcome.passes { Ruling::quiet(outcome) } else { Ruling::told(outcome, 0, 0) })
}

/// What an entry is worth to a packet that came now.
#[inline(always)]
fn look<C: Clock>(entry: &FlowEntry, context: &Context, number: u8, clock: C) -> Known {
    if entry.expired(ticks(clock.coarse()), number) {
        return Known::Gone;
    }
    let outcome = standing(entry);
    if entry.epoch == context.control.epoch() && !past(entry.deadline, clock) {
        return Known::Current(outcome);
    }
    Known::Stale(if entry.opened == 0 { Direction::Egress } else { Direction::Ingress }, outcome)
}

/// Judges a flow anew, as the packet that opened it would be judged now, and remembers the verdict.
#[inline(always)]
fn judge_again<const N: usize, T: Tables + FamilyTables<N>>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    opened: Direction,
    tables: &mut T,
) -> Outcome {
    let decided = match decide(context, key, opened, Reason::NoRule, tables) {
        Ok(decided) => decided,
        Err(reason) => Decided {
            outcome: super::apply_mode(context, Outcome::deny(reason)),
            deadline: u64::MAX,
            peer: 0,
        },
    };
    if let Some(entry) = tables.flow(tier, key) {
        renew(entry, context, &decided);
    }
    decided.outcome
}

#[inline(always)]
fn renew(entry: &mut FlowEntry, context: &Context, decided: &Decided) {
    // The epoch goes last: another CPU that sees it sees the verdict too, or judges once more.
    entry.cause = decided.outcome.cause.0;
    entry.verdict = packed(decided.outcome);
    entry.deadline = decided.deadline;
    entry.epoch = context.control.epoch();
}

#[inline(always)]
const fn packed(outcome: Outcome) -> u8 {
    outcome.word as u8 | if outcome.passes { FlowEntry::PASSES } else { 0 }
}

/// Brings an entry up to date with a packet that passes.
#[inline(always)]
fn note<C: Clock>(entry: &mut FlowEntry, context: &Context, number: u8, set: u8, clock: C) {
    entry.seen = ticks(clock.coarse());
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

/// A packet that may open a flow: the rules decide before the table is asked, so that a denied one costs no look-up in it.
#[inline(always)]
fn open<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let direction = context.hook.direction;
    if direction == Direction::Egress && serves_dhcp(key) {
        return Err(Reason::RogueServer);
    }
    let decided = decide(context, key, direction, Reason::NoRule, tables)?;
    if !decided.outcome.passes {
        return Ok(Ruling::told(decided.outcome, decided.peer, 0));
    }
    // Only a SYN gets here with an entry alive: a retransmission, or a new connection on an old tuple.
    if key.protocol == protocol::TCP {
        let clock = tables.clock();
        if join(Tier::Established, context, key, &decided, clock, tables)
            || join(Tier::Embryonic, context, key, &decided, clock, tables)
        {
            return Ok(Ruling::quiet(decided.outcome));
        }
    }
    let (out, bytes) = if direction == Direction::Egress { (1, context.len as u64) } else { (0, 0) };
    let entry = FlowEntry {
        epoch: context.control.epoch(),
        cause: decided.outcome.cause.0,
        deadline: decided.deadline,
        seen: ticks(tables.clock().coarse()),
        state: 0,
        verdict: packed(decided.outcome),
        opened: direction as u8,
        reserved: 0,
        packets_out: out,
        bytes_out: bytes,
        packets_in: 1 - out,
        bytes_in: context.len as u64 - bytes,
    };
    if !tables.insert_flow(Tier::Embryonic, key, &entry) {
        return Err(Reason::FlowTableFull);
    }
    Ok(Ruling::told(decided.outcome, decided.peer, FlowEvent::NEW))
}

/// Counts an allowed SYN to a flow that is alive; a closed one gives way.
#[inline(always)]
fn join<const N: usize, T: Tables + FamilyTables<N>, C: Clock>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    decided: &Decided,
    clock: C,
    tables: &mut T,
) -> bool {
    let Some(entry) = tables.flow(tier, key) else { return false };
    let same = entry.opened == context.hook.direction as u8;
    if entry.closed() || entry.expired(ticks(clock.coarse()), key.protocol) || !same {
        if matches!(tier, Tier::Established) {
            tables.remove_flow(tier, key);
        }
        return false;
    }
    renew(entry, context, decided);
    note(entry, context, key.protocol, flags::SYN, clock);
    true
}

/// A DHCP (RFC 2131) or DHCPv6 (RFC 8415) server's message.
#[inline(always)]
fn serves_dhcp<const N: usize>(key: &FlowKey<N>) -> bool {
    let (from, to): (u16, u16) = if N == 1 { (67, 68) } else { (547, 546) };
    key.protocol == protocol::UDP && key.local_port == from.to_be() && key.remote_port == to.to_be()
}

/// The verdict that stands for a key, judged again where it is stale; `None` where no flow is alive.
#[inline(always)]
pub(super) fn standing_verdict<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    tables: &mut T,
) -> Option<Outcome> {
    in_tier(Tier::Established, context, key, tables)
        .or_else(|| in_tier(Tier::Embryonic, context, key, tables))
}

#[inline(always)]
fn in_tier<const N: usize, T: Tables + FamilyTables<N>>(
    tier: Tier,
    context: &Context,
    key: &FlowKey<N>,
    tables: &mut T,
) -> Option<Outcome> {
    let clock = tables.clock();
    match look(tables.flow(tier, key)?, context, key.protocol, clock) {
        Known::Gone => None,
        Known::Current(outcome) => Some(outcome),
        Known::Stale(opened, _) => Some(judge_again(tier, context, key, opened, tables)),
    }
}
