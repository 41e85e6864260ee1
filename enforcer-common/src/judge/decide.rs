//! Asking the rules: endpoints to classes, classes to port sets, port sets to decisions.

use super::flow::Why;
use super::silence::silence;
use super::{Context, Sight, apply_mode, failsafe, quarantine, settle};
use crate::Reason;
use crate::address::{Address, is_loopback, is_martian, is_multicast};
use crate::answer::{Answer, Decision, PortSet};
use crate::maps::{Direction, Endpoint, Generation, PairKey, Subject, kind};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome, Word};

/// What the rules say of a flow.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    /// Boot-time clock, nanoseconds.
    pub(super) deadline: u64,
    /// The peer's identity.
    pub(super) peer: u32,
    /// Who on this machine has the other end, where a socket tells; else 0.
    pub(super) resident: u32,
}

/// Decides the flow that [`Sight::ask`] is about, as the packet that opens it, into [`Sight::decided`].
#[inline(always)]
pub(super) fn decide<'a, const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &'a mut Sight<N>,
    tables: &T,
) -> &'a mut Sight<N> {
    if failsafe::allows(context, sight, tables) {
        let outcome = Outcome::pass(Reason::Failsafe);
        sight.decided = Decided { outcome, deadline: u64::MAX, peer: 0, resident: 0 };
        return settle(sight);
    }
    sight.within = false;
    sight.decided.resident = 0;
    let refused = endpoints(context, sight, tables).err();
    sight.refused = refused.is_some();
    let reason = refused.unwrap_or(Reason::NoRule);
    let outcome = if sight.within { Outcome::pass(Reason::Within) } else { Outcome::deny(reason) };
    // A group that no rule names is a silence of the rules: where that passes as audited, it opens a flow like any other.
    let outcome =
        if reason as u8 == Reason::Multicast as u8 { apply_mode(context, outcome) } else { outcome };
    sight.decided = Decided { outcome, deadline: u64::MAX, peer: 0, resident: sight.decided.resident };
    let sight = settle(sight);
    if sight.refused {
        return sight;
    }
    if quarantine::decide(context, sight, tables) {
        return settle(sight);
    }
    if sight.within { sight } else { by_rules(context, sight, tables) }
}

/// Whose the two ends are, into [`Sight::own`] and [`Sight::peer`]. `Err` is a denial at the boundary that no rule can lift.
#[inline(always)]
fn endpoints<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &T,
) -> Result<(), Reason> {
    let own = own(context, &sight.target().local, sight.ask.opened, tables)?;
    sight.own = own;
    let sight = settle(sight);
    let remote = &sight.target().remote;
    let to_group = is_multicast(remote);
    if never_on_wire::<N, T>(context, remote) || to_group && sight.ask.opened == Direction::Ingress {
        return Err(Reason::Martian);
    }
    let peer = endpoint(context.control.bank(), remote, tables);
    if to_group && peer.kind != kind::MULTICAST {
        return Err(Reason::Multicast);
    }
    sight.peer = peer;
    if peer.local != 0 {
        resident(context, settle(sight), tables);
    }
    Ok(())
}

/// Who has the other end at an address of the machine's, by its socket.
#[inline(always)]
fn resident<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &T,
) {
    let bank = context.control.bank();
    // What was found when the flow was opened holds for as long as the flow does: its sockets may be gone before it is.
    let number = match sight.ask.why {
        Why::Again => sight.ask.resident,
        Why::Open | Why::Message => tables.resident(bank, sight.target(), sight.ask.opened),
    };
    sight.within = number != 0 && number == context.hook.subject;
    sight.decided.resident = number;
    let sight = settle(sight);
    let number = sight.decided.resident;
    if number != 0 {
        sight.peer = at_home::<N, T>(bank, number, sight.peer.place, tables);
    }
}

/// Whether no packet of the subject may have this address. Only what stays inside the machine has loopback's.
#[inline(always)]
fn never_on_wire<const N: usize, T: Tables>(context: &Context, address: &Address<N>) -> bool {
    is_martian(address) && !(context.hosted::<T>() && is_loopback(address))
}

/// Somebody known by its cgroup, at the machine's addresses of a place. Whom the tables don't know is nobody to the rules.
#[inline(never)]
fn at_home<const N: usize, T: Tables>(bank: u32, number: u32, place: u8, tables: &T) -> Endpoint {
    let Some(subject) = tables.subject(bank, Subject::at(number, place)) else { return Endpoint::NONE };
    let (_, class, coarse) = inline::<N>(&subject);
    let kind = if subject.flags & Subject::IS_HOST != 0 { kind::HOST } else { kind::WORKLOAD };
    let held = if subject.flags & Subject::QUARANTINED != 0 { kind::QUARANTINED } else { 0 };
    Endpoint::new(subject.identity, class, coarse, kind | held)
}

/// Asks the pair table for the classes the two ends have, narrow and broad, and lets the first answer decide.
#[inline(always)]
fn by_rules<'a, const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &'a mut Sight<N>,
    tables: &T,
) -> &'a mut Sight<N> {
    let bank = context.control.bank();
    let flags = tables.generation(bank).map_or(0, |generation| generation.flags);
    let mut sight = sight;
    sight.best = Decision::NONE;
    for combination in 0..4u32 {
        sight = settle(sight);
        let subject = if combination & 2 == 0 { sight.own.class } else { sight.own.coarse };
        let peer = if combination & 1 == 0 { sight.peer.class } else { sight.peer.coarse };
        if flags & Generation::NARROW_NARROW << combination == 0 || subject == 0 || peer == 0 {
            continue;
        }
        let (opened, key) = (sight.ask.opened, sight.target());
        let port = (key.protocol as u32) << 16 | u16::from_be(key.ports(opened).1) as u32;
        if let Some(set) = tables.pair(&PairKey::new(bank, opened, subject, peer)) {
            let found = ask(bank, set, port, tables);
            merge(&mut sight.best, found);
        }
    }
    let sight = settle(sight);
    sight.decided = Decided {
        outcome: weigh(context, &sight.best, || unanswered(sight)),
        deadline: sight.best.deadline,
        peer: sight.peer.identity,
        resident: sight.decided.resident,
    };
    settle(sight)
}

/// The subject as an endpoint of the rules, once its address is known to be its own.
#[inline(always)]
fn own<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    local: &Address<N>,
    direction: Direction,
    tables: &T,
) -> Result<Endpoint, Reason> {
    if never_on_wire::<N, T>(context, local) {
        return Err(Reason::Martian);
    }
    if is_multicast(local) {
        if direction == Direction::Egress {
            return Err(Reason::Martian);
        }
        let group = endpoint(context.control.bank(), local, tables);
        return if group.kind == kind::MULTICAST { Ok(group) } else { Err(Reason::Multicast) };
    }
    match (owned(context, local, tables), direction) {
        (Some(own), _) => Ok(own),
        (None, Direction::Ingress) => Err(Reason::ForeignDestination),
        (None, Direction::Egress) => Err(Reason::SpoofedSource),
    }
}

/// The subject's endpoint at one of its own addresses.
#[inline(always)]
pub(super) fn owned<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    address: &Address<N>,
    tables: &T,
) -> Option<Endpoint> {
    let bank = context.control.bank();
    let subject = tables.subject(bank, context.hook.subject)?;
    let (first, class, coarse) = inline::<N>(&subject);
    if subject.flags & Subject::HOSTED != 0 {
        let found = endpoint(bank, address, tables);
        return match found.kind {
            kind::WORKLOAD => (found.identity == subject.identity).then_some(found),
            kind::HOST if found.place == 0 => {
                Some(Endpoint::new(subject.identity, class, coarse, found.kind))
            }
            kind::HOST => Some(at_home::<N, T>(bank, context.hook.subject, found.place, tables)),
            _ => None,
        };
    }
    if first == *address {
        return Some(Endpoint::new(subject.identity, class, coarse, kind::WORKLOAD));
    }
    if subject.flags & Subject::MORE_ADDRESSES == 0 {
        return None;
    }
    FamilyTables::<N>::address(tables, bank, address).filter(|found| found.identity == subject.identity)
}

/// The address that stands in the subject itself, and its classes.
#[inline(always)]
fn inline<const N: usize>(subject: &Subject) -> (Address<N>, u32, u32) {
    let mut address = [0; N];
    let mut i = 0;
    while i < N {
        address[i] = if N == 1 { subject.address4[0] } else { subject.address6[i % 4] };
        i += 1;
    }
    if N == 1 {
        (address, subject.class4, subject.coarse4)
    } else {
        (address, subject.class6, subject.coarse6)
    }
}

/// Whose address it is: exactly, else by the longest prefix, else the world's.
#[inline(always)]
fn endpoint<const N: usize, T: Tables + FamilyTables<N>>(
    bank: u32,
    address: &Address<N>,
    tables: &T,
) -> Endpoint {
    if let Some(found) = FamilyTables::<N>::address(tables, bank, address) {
        return found;
    }
    let Some(generation) = tables.generation(bank) else { return Endpoint::default() };
    let prefixes = if N == 1 { Generation::PREFIXES4 } else { Generation::PREFIXES6 };
    let to_itself = is_loopback(address);
    if generation.flags & prefixes != 0
        && let Some(found) = FamilyTables::<N>::prefix(tables, bank, address)
        && (!to_itself || found.kind == kind::HOST)
    {
        return found;
    }
    if to_itself {
        return if N == 1 { generation.loopback4 } else { generation.loopback6 };
    }
    if N == 1 { generation.world4 } else { generation.world6 }
}

/// The decision of a port set for `key`, as of now.
#[inline(always)]
fn ask<T: Tables>(bank: u32, set: PortSet, key: u32, tables: &T) -> Decision {
    match tables.port_decision(bank, set, key) {
        0 => Decision::NONE,
        index => tables.decision(bank, index).unwrap_or(Decision::NONE),
    }
}

/// Number of the decision that answers for `key` now, 0 for none: what [`Tables::port_decision`] does. The kernel's tables wrap it in a
/// function of its own that the verifier walks once, whoever calls it.
#[inline(always)]
pub fn port_decision<T: Tables>(bank: u32, set: PortSet, key: u32, tables: &T) -> u32 {
    let mut index = search(bank, set, key, tables);
    let Some(mut decision) = tables.decision(bank, index) else { return 0 };
    if decision.deadline == u64::MAX {
        return index;
    }
    let now = tables.clock().boot();
    for _ in 0..Decision::CHAIN {
        if now < decision.deadline {
            return index;
        }
        index = decision.next;
        match tables.decision(bank, index) {
            Some(next) => decision = next,
            None => return 0,
        }
    }
    // A longer chain is refused when it is compiled.
    0
}

/// The last break point at or below `key`; 0 where there is none. Arithmetic instead of branches, so that the verifier walks
/// one path and not two to the number of steps.
#[inline(always)]
fn search<T: Tables>(bank: u32, set: PortSet, key: u32, tables: &T) -> u32 {
    let steps = if set.len < 8 { 3 } else { PortSet::STEPS };
    let mut position = 0u64;
    let mut step = 1u64 << (steps - 1);
    while step != 0 {
        let next = position + step;
        let inside = below(next, set.len as u64);
        let probe = set.first.wrapping_add((next & inside) as u32);
        let Some(interval) = tables.interval(bank, probe) else { return 0 };
        let reached = below(interval.start as u64, key as u64 + 1);
        position += step & inside & reached;
        step >>= 1;
    }
    let Some(last) = tables.interval(bank, set.first.wrapping_add(position as u32)) else { return 0 };
    // Below the first break point nothing answers: number 0.
    last.decision & below(last.start as u64, key as u64 + 1) as u32
}

/// All ones where `a < b`, else zero; for numbers below 2^63. The difference is hidden from the compiler, which would make a
/// branch of it again.
#[inline(always)]
pub(super) fn below(a: u64, b: u64) -> u64 {
    (core::hint::black_box(a.wrapping_sub(b)) as i64 >> 63) as u64
}

#[inline(always)]
fn merge(best: &mut Decision, other: Decision) {
    best.enforced = best.enforced.first(other.enforced);
    best.full = best.full.first(other.full);
    if other.deadline < best.deadline {
        best.deadline = other.deadline;
    }
}

/// What it is called that no rule answered.
#[inline(always)]
fn unanswered<const N: usize>(sight: &Sight<N>) -> Reason {
    let key = sight.target();
    let group = sight.own.kind == kind::MULTICAST || sight.peer.kind == kind::MULTICAST;
    silence(key.protocol, u16::from_be(key.ports(sight.ask.opened).1), group, sight.ask.otherwise)
}

/// Both answers and the subject's mode, as one outcome.
#[inline(always)]
fn weigh(context: &Context, best: &Decision, silence: impl Fn() -> Reason) -> Outcome {
    let cause = |answer: Answer| {
        if answer.is_none() { Cause::reason(silence()) } else { Cause::rule(answer.rule()) }
    };
    let passes = best.enforced.allows();
    let (word, cause) = if passes != best.full.allows() {
        (Word::Audited, cause(best.full))
    } else if passes {
        (Word::Allowed, cause(best.enforced))
    } else {
        (Word::Denied, cause(best.enforced))
    };
    apply_mode(context, Outcome::new(passes, word, cause))
}
