//! Flows, counted by who reached whom at which port, and sorted by what became of them.

use super::apart::Why;
use super::{Evidence, Party};
use crate::audit::Audit;
use crate::flows::Flow;
use crate::report::make::is_liftable;
use enforcer_common::Word;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// An address that reached another one at a port. Ends are numbers of the dry run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) protocol: u8,
    /// 0 for protocols without ports.
    pub(super) port: u16,
}

/// Client ports that are told apart: more than two are a service's many clients.
pub(super) const CLIENTS: usize = 3;

/// What was seen of a target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) evidence: Evidence,
    /// Somebody was there.
    pub(super) answered: bool,
    /// Something came back.
    pub(super) replied: bool,
    /// An answer would have been seen.
    pub(super) captured: bool,
    clients: [u16; CLIENTS],
}

impl Seen {
    /// Distinct ports that flows came from; `CLIENTS` are as many as are counted.
    pub(super) fn clients(&self) -> usize {
        self.clients.iter().filter(|port| **port != 0).count()
    }

    fn client(&mut self, port: u16) {
        if !self.clients.contains(&port)
            && let Some(free) = self.clients.iter_mut().find(|port| **port == 0)
        {
            *free = port;
        }
    }
}

/// Who reached whom at which port, as rules see it.
pub(super) type Class = (Party, Party, u8, u16);

#[derive(Default)]
pub(super) struct Sorted {
    /// What rules may be made for.
    pub(super) candidates: FxHashMap<Target, Seen>,
    /// What none is made for.
    pub(super) out: BTreeMap<(Why, Class), Evidence>,
    pub(super) allowed_before: Evidence,
    /// Of those, records of TCP: flows of which answers are told, and all.
    pub(super) told_before: (u64, u64),
}

/// Every flow of a dry run.
pub(super) fn sort(audit: &Audit, party: impl Fn(u32) -> Party) -> Sorted {
    let mut sorted = Sorted::default();
    for (key, flow) in audit.flows.iter() {
        let group = &audit.groups.all()[flow.group as usize].key;
        let (protocol, port) = (key.protocol(), group.port);
        let target = Target { source: key.source(), destination: key.destination(), protocol, port };
        let seen = flow.is(Flow::TIMED).then_some((flow.first, flow.last));
        let evidence = Evidence { flows: 1, packets: flow.packets, seen };
        let class = (party(target.source), party(target.destination), protocol, port);
        let why = match group.ruling {
            None => Some(Why::NoHook),
            Some(ruling) if ruling.cause.as_rule().is_some() && ruling.word == Word::Denied => {
                Some(Why::Forbidden)
            }
            Some(ruling) if ruling.word == Word::Denied => match ruling.cause.as_reason() {
                Some(reason) if !is_liftable(reason) => Some(Why::NoRuleHelps(reason.word())),
                _ if flow.is(Flow::REFUSED) && !flow.is(Flow::PASSED) => Some(Why::Refused),
                _ => None,
            },
            Some(_) => {
                sorted.allowed_before.add(evidence);
                if protocol == 6 && !flow.is(Flow::CAPTURED) {
                    sorted.told_before.0 += u64::from(flow.is(Flow::REPLIED));
                    sorted.told_before.1 += 1;
                }
                continue;
            }
        };
        if let Some(why) = why {
            sorted.out.entry((why, class)).or_default().add(evidence);
            continue;
        }
        let seen = sorted.candidates.entry(target).or_default();
        seen.evidence.add(evidence);
        seen.answered |= is_answered(audit, target, flow);
        seen.replied |= flow.is(Flow::REPLIED);
        seen.captured |= flow.is(Flow::CAPTURED);
        seen.client(key.ports().0);
    }
    sorted
}

/// More packets than a handshake and a goodbye have, or repeated attempts at one: somebody was there, whatever else was seen.
const TALK: u64 = 8;

pub(super) fn is_answered(audit: &Audit, target: Target, flow: &Flow) -> bool {
    let replied = flow.is(Flow::REPLIED);
    if target.protocol != 6 {
        return replied;
    }
    if flow.packets >= TALK {
        return true;
    }
    // A reset is an answer, too: that nobody is there.
    let taken = if flow.is(Flow::CAPTURED) {
        !flow.is(Flow::OPENED) || audit.listeners.has(target.destination, 6, target.port)
    } else {
        flow.packets > 2
    };
    replied && taken
}
