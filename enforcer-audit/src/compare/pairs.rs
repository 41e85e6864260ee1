//! Which flow of one dry run is which of the other.
//!
//! Ends have numbers of their own in each run, so flows meet by their addresses. Where an address isn't always the same end's in one of them, one
//! flow may be several there: those meet in the order of their times.

use crate::audit::Audit;
use crate::flows::{Flow, Key};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// A flow of one run.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) flow: Flow,
}

/// A flow in the old run and in the new one.
pub(super) type Pair = (Option<Found>, Option<Found>);

/// Ends, ports and protocol as addresses.
type Tuple = (IpAddr, IpAddr, (u16, u16), u8);

/// Who has an address.
enum Holder {
    /// It wasn't met.
    Unmet,
    /// This end, at all times.
    One(u32),
    /// Several ends, or one for some of the time.
    Several,
}

fn holder(audit: &Audit, address: IpAddr) -> Holder {
    match audit.ends.always(address) {
        None => Holder::Unmet,
        Some(Some(end)) => Holder::One(end),
        Some(None) => Holder::Several,
    }
}

fn tuple(audit: &Audit, key: Key) -> Tuple {
    let address = |end| audit.ends.get(end).address;
    (address(key.source()), address(key.destination()), key.ports(), key.protocol())
}

/// What the other run has in place of a flow.
enum Other {
    /// This, or nothing.
    Is(Option<Found>),
    /// Times decide.
    ByTime,
}

fn other(audit: &Audit, key: Key, to: &Audit) -> Other {
    let changes = |end| audit.ends.get(end).changes;
    let (source, destination, ports, protocol) = tuple(audit, key);
    let (source, destination) = match (holder(to, source), holder(to, destination)) {
        (Holder::Unmet, _) | (_, Holder::Unmet) => return Other::Is(None),
        (Holder::One(source), Holder::One(destination)) => (source, destination),
        (Holder::Several, _) | (_, Holder::Several) => return Other::ByTime,
    };
    if changes(key.source()) || changes(key.destination()) {
        return Other::ByTime;
    }
    let key = Key::new(source, destination, protocol, ports);
    Other::Is(to.flows.get(key).map(|flow| Found { key, flow: *flow }))
}

/// Hands on every flow once, with its counterpart.
pub(super) fn each(old: &Audit, new: &Audit, mut take: impl FnMut(Pair)) {
    let mut moving: FxHashMap<Tuple, (Vec<Found>, Vec<Found>)> = FxHashMap::default();
    for (key, flow) in old.flows.iter() {
        let was = Found { key, flow: *flow };
        match other(old, key, new) {
            Other::Is(is) => take((Some(was), is)),
            Other::ByTime => moving.entry(tuple(old, key)).or_default().0.push(was),
        }
    }
    for (key, flow) in new.flows.iter() {
        let is = Found { key, flow: *flow };
        match other(new, key, old) {
            // It has been told of with the old one.
            Other::Is(Some(_)) => {}
            Other::Is(None) => take((None, Some(is))),
            Other::ByTime => moving.entry(tuple(new, key)).or_default().1.push(is),
        }
    }
    let mut moving: Vec<_> = moving.into_iter().collect();
    moving.sort_unstable_by_key(|(tuple, _)| *tuple);
    for (_, (was, is)) in moving {
        by_time(was, is, &mut take);
    }
}

fn by_time(mut was: Vec<Found>, mut is: Vec<Found>, take: &mut impl FnMut(Pair)) {
    for list in [&mut was, &mut is] {
        list.sort_by_key(|found| (found.flow.first, found.key.source(), found.key.destination()));
    }
    if was.is_empty() || is.is_empty() || was.len() == is.len() {
        let all = was.len().max(is.len());
        return (0..all).for_each(|at| take((was.get(at).copied(), is.get(at).copied())));
    }
    // One of them tells more ends apart: each of its flows meets the one that it shares most time with.
    if was.len() > is.len() {
        was.iter().for_each(|one| take((Some(*one), closest(one, &is))));
    } else {
        is.iter().for_each(|one| take((closest(one, &was), Some(*one))));
    }
}

fn closest(one: &Found, among: &[Found]) -> Option<Found> {
    let shared = |other: &Found| {
        other.flow.last.min(one.flow.last) as i128 - i128::from(other.flow.first.max(one.flow.first))
    };
    among.iter().rev().max_by_key(|other| shared(other)).copied()
}
