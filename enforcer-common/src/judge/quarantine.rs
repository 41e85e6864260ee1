//! Quarantine: who is cut off, from whom, and the one path that is left.
//!
//! At its own hook a quarantined workload is marked in its [`Subject`], which is looked at before its mode; at its peers' hooks its addresses are
//! marked, so that one that has no hook of its own is cut off as well. The mark costs others a bit that is looked at. Past the deadline of
//! [`Quarantine`] the marks mean nothing, and what was denied until then is judged anew.

use super::{Context, Sight, past, settle};
use crate::Reason;
use crate::address::Address;
use crate::maps::{Direction, Quarantine, Subject, kind, mode};
use crate::tables::Tables;
use crate::verdict::{Cause, Outcome};

/// In [`Context::flags`] only: its own quarantine leaves no path.
const SEALED: u8 = 128;

/// The mode in which a subject is held, and its flags: those of a quarantine only while that lasts.
#[inline(always)]
pub(super) fn held<T: Tables>(bank: u32, identity: u32, mode: u8, flags: u8, tables: &T) -> (u8, u8) {
    if flags & Subject::QUARANTINED == 0 {
        return (mode, flags);
    }
    match tables.quarantine(bank, identity) {
        Some(quarantine) if past(quarantine.deadline, tables.clock()) => {
            (mode, flags & !Subject::QUARANTINED)
        }
        Some(quarantine) if quarantine.port != 0 => (mode::ENFORCE, flags),
        _ => (mode::ENFORCE, flags | SEALED),
    }
}

/// Whether not even addresses are resolved: there is no path that would need it.
#[inline(always)]
pub(super) const fn sealed(context: &Context) -> bool {
    context.has(SEALED)
}

/// Whether it is a quarantine that denies: no mode lets that pass.
#[inline(always)]
pub(super) const fn cuts(outcome: &Outcome) -> bool {
    outcome.cause.0 == Cause::reason(Reason::Quarantined).0
}

/// Whatever else is wrong with it: a packet that a quarantined workload sends or would receive is denied for that.
#[inline(always)]
pub(super) const fn named(context: &Context, outcome: Outcome) -> Outcome {
    if context.has(Subject::QUARANTINED) && !outcome.passes {
        Outcome::deny(Reason::Quarantined)
    } else {
        outcome
    }
}

/// What a quarantine says of a flow: nothing, that it is denied, or that it is on the path that is left. Numbers, so that each way through has a
/// value, as the verifier wants it.
mod says {
    pub(super) const NOTHING: u32 = 0;
    pub(super) const DENIED: u32 = 1;
    pub(super) const LEFT: u32 = 2;
}

/// Decides the flow that [`Sight::ask`] is about, into [`Sight::decided`], where a quarantine of either end does; whether one does. A function of its
/// own: what comes after it isn't made twice.
#[inline(never)]
pub(super) fn decide<const N: usize, T: Tables>(context: &Context, sight: &mut Sight<N>, tables: &T) -> bool {
    let own = context.has(Subject::QUARANTINED);
    let peer = sight.peer.kind & kind::QUARANTINED != 0;
    if !own && !peer {
        return false;
    }
    let (mut said, mut deadline) = (says::NOTHING, u64::MAX);
    if own {
        // A group that it has joined isn't the subject: its own number counts.
        let bank = context.control.bank();
        let identity = tables.subject(bank, context.hook.subject).map_or(0, |subject| subject.identity);
        (said, deadline) = one(context, sight, identity, Direction::Ingress, tables);
    }
    let sight = settle(sight);
    if peer && said != says::DENIED {
        let (theirs, until) = one(context, sight, sight.peer.identity, Direction::Egress, tables);
        if theirs != says::NOTHING {
            (said, deadline) = (theirs, until);
        }
    }
    if said == says::NOTHING {
        return false;
    }
    let sight = settle(sight);
    let left = said == says::LEFT;
    sight.decided.outcome =
        if left { Outcome::pass(Reason::Forensic) } else { Outcome::deny(Reason::Quarantined) };
    sight.decided.deadline = deadline;
    sight.decided.peer = sight.peer.identity;
    true
}

/// What the quarantine of one end says, and until when; `into` is the direction in which the flow is opened into that end, as this hook sees it.
#[inline(always)]
fn one<const N: usize, T: Tables>(
    context: &Context,
    sight: &Sight<N>,
    identity: u32,
    into: Direction,
    tables: &T,
) -> (u32, u64) {
    let key = sight.target();
    let (outside, address) = match into {
        Direction::Ingress => (sight.peer.identity, &key.remote),
        Direction::Egress => (sight.own.identity, &key.local),
    };
    // Who is marked and has no entry is cut off for good.
    let Some(quarantine) = tables.quarantine(context.control.bank(), identity) else {
        return (says::DENIED, u64::MAX);
    };
    let deadline = quarantine.deadline;
    if past(deadline, tables.clock()) {
        return (says::NOTHING, u64::MAX);
    }
    let opened = sight.ask.opened;
    let port = (key.protocol as u32) << 16 | u16::from_be(key.ports(opened).1) as u32;
    let left = opened as u8 == into as u8 && quarantine.port == port && admits(quarantine, outside, address);
    (if left { says::LEFT } else { says::DENIED }, deadline)
}

/// Whether the path is for this end.
#[inline(always)]
fn admits<const N: usize>(quarantine: &Quarantine, outside: u32, address: &Address<N>) -> bool {
    let mut found = false;
    let mut i = 0;
    while i < Quarantine::PEERS {
        found |= (i as u32) < quarantine.count && quarantine.peers[i] == outside;
        i += 1;
    }
    if quarantine.family != if N == 1 { 4 } else { 6 } {
        return found;
    }
    let mut same = true;
    let mut i = 0;
    while i < N {
        same &= quarantine.address[i % 4] == address[i];
        i += 1;
    }
    found | same
}
