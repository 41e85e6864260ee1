//! Asking the rules: endpoints to classes, classes to port sets, port sets to decisions.

use super::{Context, encapsulates, everyday};
use crate::Reason;
use crate::address::{Address, is_martian, is_multicast};
use crate::answer::{Answer, Decision, PortSet};
use crate::flow::FlowKey;
use crate::maps::{Direction, Endpoint, Generation, PairKey, Subject, kind, mode};
use crate::parse::protocol;
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome, Word};

/// VXLAN (RFC 7348).
const VXLAN: u16 = 4789;
/// VXLAN as Linux had it before the number was assigned.
const VXLAN_LINUX: u16 = 8472;
/// Geneve (RFC 8926).
const GENEVE: u16 = 6081;

/// What the rules say of a flow.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    /// Boot-time clock, nanoseconds.
    pub(super) deadline: u64,
    /// The peer's identity.
    pub(super) peer: u32,
}

/// Decides the flow of `key` as the packet that opens it, going in `direction`. `otherwise` is what it is called where no rule
/// decides and nothing more special holds.
#[inline(always)]
pub(super) fn decide<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    direction: Direction,
    otherwise: Reason,
    tables: &T,
) -> Decided {
    match by_rules(context, key, direction, otherwise, tables) {
        Ok(decided) => decided,
        Err(reason) => Decided { outcome: Outcome::deny(reason), deadline: u64::MAX, peer: 0 },
    }
}

/// As [`decide`]; `Err` is a denial at the boundary that no rule can lift.
#[inline(always)]
fn by_rules<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    direction: Direction,
    otherwise: Reason,
    tables: &T,
) -> Result<Decided, Reason> {
    let bank = context.control.bank();
    let own = own(context, &key.local, direction, tables)?;
    let to_group = is_multicast(&key.remote);
    if is_martian(&key.remote) || to_group && direction == Direction::Ingress {
        return Err(Reason::Martian);
    }
    let peer = endpoint(bank, &key.remote, tables);
    if to_group && peer.kind != kind::MULTICAST {
        return Err(Reason::Multicast);
    }

    let port = u16::from_be(key.ports(direction).1);
    let flags = tables.generation(bank).map_or(0, |generation| generation.flags);
    let mut best = Decision::NONE;
    let mut consider = |flag: u32, subject: u32, peer: u32| {
        if flags & flag == 0 || subject == 0 || peer == 0 {
            return;
        }
        if let Some(set) = tables.pair(&PairKey::new(bank, direction, subject, peer)) {
            merge(&mut best, ask(bank, set, (key.protocol as u32) << 16 | port as u32, tables));
        }
    };
    consider(Generation::NARROW_NARROW, own.class, peer.class);
    consider(Generation::NARROW_BROAD, own.class, peer.coarse);
    consider(Generation::BROAD_NARROW, own.coarse, peer.class);
    consider(Generation::BROAD_BROAD, own.coarse, peer.coarse);

    let group = own.kind == kind::MULTICAST || to_group;
    let outcome = weigh(context, &best, || silence(key.protocol, port, group, otherwise));
    Ok(Decided { outcome, deadline: best.deadline, peer: peer.identity })
}

/// The subject as an endpoint of the rules, once its address is known to be its own.
#[inline(always)]
fn own<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    local: &Address<N>,
    direction: Direction,
    tables: &T,
) -> Result<Endpoint, Reason> {
    if is_martian(local) {
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
    if first == *address {
        return Some(Endpoint { identity: subject.identity, class, coarse, kind: kind::WORKLOAD });
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
    if generation.flags & prefixes != 0
        && let Some(found) = FamilyTables::<N>::prefix(tables, bank, address)
    {
        return found;
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
fn below(a: u64, b: u64) -> u64 {
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

/// What no rule's silence is called.
#[inline(always)]
fn silence(number: u8, port: u16, group: bool, otherwise: Reason) -> Reason {
    let tunnel = number == protocol::UDP && matches!(port, VXLAN | VXLAN_LINUX | GENEVE);
    if group {
        Reason::Multicast
    } else if encapsulates(number) || tunnel {
        Reason::Encapsulated
    } else if !everyday(number) {
        Reason::Protocol
    } else {
        otherwise
    }
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
    let outcome = Outcome { passes, word, cause };
    if !passes && context.mode == mode::AUDIT {
        return Outcome { passes: true, word: Word::Audited, cause };
    }
    outcome
}
