//! Asking the rules: endpoints to classes, classes to port sets, port sets to decisions.

use super::flow::Why;
use super::silence::silence;
use super::{Context, Sight, apply_mode, failsafe, lease, quarantine, settle};
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
    lease::settle_classes(context, sight, tables);
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
    own(context, sight, tables)?;
    let sight = settle(sight);
    let opened = sight.ask.opened;
    let (target, _, peer) = sight.ends();
    let to_group = is_multicast(&target.remote);
    if never_on_wire::<N, T>(context, &target.remote) || to_group && opened == Direction::Ingress {
        return Err(Reason::Martian);
    }
    endpoint(context.control.bank(), &target.remote, tables, peer);
    if to_group && peer.kind != kind::MULTICAST {
        return Err(Reason::Multicast);
    }
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
        let place = sight.peer.place;
        at_home::<N, T>(bank, number, place, tables, &mut sight.peer);
    }
}

/// Whether no packet of the subject may have this address. Only what stays inside the machine has loopback's.
#[inline(always)]
fn never_on_wire<const N: usize, T: Tables>(context: &Context, address: &Address<N>) -> bool {
    is_martian(address) && !(context.hosted::<T>() && is_loopback(address))
}

/// Somebody known by its cgroup, at the machine's addresses of a place. Whom the tables don't know is nobody to the rules.
#[inline(never)]
fn at_home<const N: usize, T: Tables>(bank: u32, number: u32, place: u8, tables: &T, into: &mut Endpoint) {
    let Some(subject) = tables.subject_entry(bank, Subject::at(number, place)) else {
        *into = Endpoint::NONE;
        return;
    };
    let kind = if subject.flags & Subject::IS_HOST != 0 { kind::HOST } else { kind::WORKLOAD };
    let held = if subject.flags & Subject::QUARANTINED != 0 { kind::QUARANTINED } else { 0 };
    inline::<N>(subject, kind | held, into);
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
        // Whose labels have a time to live is looked at anew when it is over.
        deadline: lease::earlier(sight.best.deadline, sight.decided.deadline),
        peer: sight.peer.identity,
        resident: sight.decided.resident,
    };
    settle(sight)
}

/// The subject as an endpoint of the rules, once its address is known to be its own.
#[inline(always)]
fn own<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &T,
) -> Result<(), Reason> {
    let opened = sight.ask.opened;
    let (target, own, _) = sight.ends();
    let local = &target.local;
    if never_on_wire::<N, T>(context, local) {
        return Err(Reason::Martian);
    }
    if is_multicast(local) {
        if opened == Direction::Egress {
            return Err(Reason::Martian);
        }
        endpoint(context.control.bank(), local, tables, own);
        return if own.kind == kind::MULTICAST { Ok(()) } else { Err(Reason::Multicast) };
    }
    match (owned(context, local, tables, own), opened) {
        (true, _) => Ok(()),
        (false, Direction::Ingress) => Err(Reason::ForeignDestination),
        (false, Direction::Egress) => Err(Reason::SpoofedSource),
    }
}

/// The subject's endpoint at one of its own addresses; whether it is one. What an entry says is copied from the map to where it is
/// kept: on the way through variables it would take room on the stack, and more of it with each field.
#[inline(always)]
fn owned<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    address: &Address<N>,
    tables: &T,
    into: &mut Endpoint,
) -> bool {
    let (bank, number) = (context.control.bank(), context.hook.subject);
    let Some(subject) = tables.subject_entry(bank, number) else { return false };
    if T::HOSTED.unwrap_or(subject.flags & Subject::HOSTED != 0) {
        endpoint(bank, address, tables, into);
        return match (into.kind, into.place) {
            (kind::WORKLOAD, _) => into.identity == subject.identity,
            (kind::HOST, 0) => {
                inline::<N>(subject, kind::HOST, into);
                true
            }
            (kind::HOST, place) => {
                at_home::<N, T>(bank, number, place, tables, into);
                true
            }
            _ => false,
        };
    }
    if is_first(subject, address) {
        inline::<N>(subject, kind::WORKLOAD, into);
        return true;
    }
    if subject.flags & Subject::MORE_ADDRESSES == 0 {
        return false;
    }
    match FamilyTables::<N>::address(tables, bank, address) {
        Some(found) if found.identity == subject.identity => {
            *into = *found;
            true
        }
        _ => false,
    }
}

/// Whether an address is one of those of the subject behind a device.
#[inline(never)]
pub(super) fn owns<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    address: &Address<N>,
    tables: &T,
) -> bool {
    let bank = context.control.bank();
    let Some(subject) = tables.subject_entry(bank, context.hook.subject) else { return false };
    is_first(subject, address)
        || subject.flags & Subject::MORE_ADDRESSES != 0
            && FamilyTables::<N>::address(tables, bank, address)
                .is_some_and(|found| found.identity == subject.identity)
}

/// Whether this address stands in the subject itself.
#[inline(always)]
fn is_first<const N: usize>(subject: &Subject, address: &Address<N>) -> bool {
    let mut same = true;
    let mut i = 0;
    while i < N {
        same &= address[i] == if N == 1 { subject.address4[0] } else { subject.address6[i % 4] };
        i += 1;
    }
    same
}

/// The subject at that address.
#[inline(always)]
fn inline<const N: usize>(subject: &Subject, kind: u8, into: &mut Endpoint) {
    (into.identity, into.kind, into.local, into.place) = (subject.identity, kind, 0, 0);
    into.lease.until = subject.until;
    if N == 1 {
        (into.class, into.coarse) = (subject.class4, subject.coarse4);
        (into.lease.class, into.lease.coarse) = (subject.after4, subject.coarse_after4);
    } else {
        (into.class, into.coarse) = (subject.class6, subject.coarse6);
        (into.lease.class, into.lease.coarse) = (subject.after6, subject.coarse_after6);
    }
}

/// Whose address it is: exactly, else by the longest prefix, else the world's. A function of its own, so that the verifier doesn't carry each
/// of its ways on into what follows.
#[inline(never)]
fn endpoint<const N: usize, T: Tables + FamilyTables<N>>(
    bank: u32,
    address: &Address<N>,
    tables: &T,
    into: &mut Endpoint,
) {
    if let Some(found) = FamilyTables::<N>::address(tables, bank, address) {
        *into = *found;
        return;
    }
    let Some(generation) = tables.generation(bank) else {
        *into = Endpoint::NONE;
        return;
    };
    let prefixes = if N == 1 { Generation::PREFIXES4 } else { Generation::PREFIXES6 };
    let to_itself = is_loopback(address);
    if generation.flags & prefixes != 0
        && let Some(found) = FamilyTables::<N>::prefix(tables, bank, address)
        && (!to_itself || found.kind == kind::HOST)
    {
        *into = *found;
        return;
    }
    if to_itself {
        *into = if N == 1 { generation.loopback4 } else { generation.loopback6 };
        return;
    }
    *into = if N == 1 { generation.world4 } else { generation.world6 };
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
