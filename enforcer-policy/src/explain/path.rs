//! The verdict on a whole path: the source's egress hook, then the destination's ingress hook.

use super::Explainer;
use super::clauses::{names_port, opens, selects};
use super::ends::{End, Who};
use crate::model::{Action, FlowEntry, FlowPolicy, PolicyMode, SegmentMode, WorkloadMatch};
use enforcer_common::address;
use enforcer_common::judge::{silence, unremarkable};
use enforcer_common::maps::Direction;
use enforcer_common::packet::Frame;
use enforcer_common::{Hook, Reason, Word, judge};
use std::fmt;
use std::net::IpAddr;

/// One `flows` entry of one policy.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// Its policy.
    pub policy: &'a FlowPolicy,
    /// Place among the policy's flows, from 0.
    pub index: usize,
}

impl<'a> RuleRef<'a> {
    /// The entry itself.
    pub fn entry(&self) -> &'a FlowEntry {
        &self.policy.flows[self.index]
    }
}

impl PartialEq for RuleRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.policy.name == other.policy.name && self.index == other.index
    }
}

impl Eq for RuleRef<'_> {}

impl fmt::Display for RuleRef<'_> {
    /// `policy#index`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.policy.name, self.index)
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// This rule decides.
    Rule(RuleRef<'a>),
    /// No rule does.
    Reason(Reason),
}

impl fmt::Display for Cause<'_> {
    /// `policy#index` or the reason's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Reason(reason) => f.write_str(reason.word()),
        }
    }
}

/// A verdict with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict<'a> {
    /// Whether the flow passes.
    pub passes: bool,
    /// What is reported.
    pub word: Word,
    /// Why.
    pub cause: Cause<'a>,
}

/// What becomes of a flow on its whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// Who opens it.
    pub from: End<'a>,
    /// Who is reached.
    pub to: End<'a>,
    /// All hooks together; the rules' answer where there is none.
    pub verdict: Verdict<'a>,
    /// The source's hook, where it has one. Of the machine itself: a failsafe path, where there is one.
    pub egress: Option<Verdict<'a>>,
    /// The destination's hook, where it has one and the flow gets there.
    pub ingress: Option<Verdict<'a>>,
}

impl<'a> Explainer<'a> {
    /// The verdict on a flow from `from` to `to`.
    pub fn path(&mut self, from: End<'a>, to: End<'a>, protocol: u8, port: u16) -> Path<'a> {
        let egress = self.hook(Direction::Egress, from, to, protocol, port);
        if let Some(verdict) = egress.filter(|verdict| !verdict.passes) {
            return Path { from, to, verdict, egress, ingress: None };
        }
        let ingress = self.hook(Direction::Ingress, from, to, protocol, port);
        let hooks = || [egress, ingress].into_iter().flatten();
        let off = |verdict: &Verdict<'_>| verdict.cause == Cause::Reason(Reason::SegmentOff);
        let verdict = hooks()
            .find(|verdict| !verdict.passes)
            .or_else(|| hooks().find(|verdict| verdict.word == Word::Audited))
            .or_else(|| hooks().find(|verdict| !off(verdict)))
            .or_else(|| hooks().next())
            .unwrap_or_else(|| self.rules(&from, &to, protocol, port));
        Path { from, to, verdict, egress, ingress }
    }

    /// The verdict of the hook at one end, if there is one.
    fn hook(
        &mut self,
        way: Direction,
        from: End<'a>,
        to: End<'a>,
        protocol: u8,
        port: u16,
    ) -> Option<Verdict<'a>> {
        if let Some(open) = self.failsafe(way, &from, &to, protocol, port) {
            return Some(open);
        }
        let own = if way == Direction::Egress { from } else { to };
        let Who::Workload(workload) = own.who else { return None };
        if !workload.matches.iter().any(WorkloadMatch::has_hook) {
            return None;
        }
        let (subject, mode) = *self.hooks.get(workload.name.as_str())?;
        if let (Some(source), Some(destination)) = (from.address(), to.address())
            && opens(source, protocol, port)
            && !stands_in(&from)
            && !stands_in(&to)
            && let Some(frame) = crate::memory::frame::opening(source, destination, protocol, port)
        {
            let hook = Hook { subject, direction: way };
            let outcome = judge(&Frame::new(&frame), hook, &mut self.tables);
            self.tables.forget_flows();
            let cause = match (outcome.cause.as_rule(), outcome.cause.as_reason()) {
                (Some(number), _) => self.rule(number).map(Cause::Rule),
                (None, reason) => reason.map(Cause::Reason),
            };
            let cause = cause.unwrap_or(Cause::Reason(Reason::NoRule));
            return Some(Verdict { passes: outcome.passes, word: outcome.word, cause });
        }
        let verdict = self.rules(&from, &to, protocol, port);
        Some(match mode {
            SegmentMode::Off => {
                Verdict { passes: true, word: Word::Allowed, cause: Cause::Reason(Reason::SegmentOff) }
            }
            SegmentMode::Audit if !verdict.passes => {
                Verdict { passes: true, word: Word::Audited, cause: verdict.cause }
            }
            SegmentMode::Audit | SegmentMode::Enforce => verdict,
        })
    }

    fn rule(&self, number: u32) -> Option<RuleRef<'a>> {
        let info = self.compiled.rule(number)?;
        let policy = *self.policies.get(info.policy.as_str())?;
        (info.index < policy.flows.len()).then_some(RuleRef { policy, index: info.index })
    }

    /// What the rules say, whoever has a hook.
    pub(super) fn rules(&self, from: &End<'_>, to: &End<'_>, protocol: u8, port: u16) -> Verdict<'a> {
        let (mut enforced, mut full) = (None, None);
        for rule in &self.order {
            let entry = rule.entry();
            if self.expired(rule)
                || !names_port(entry, protocol, port)
                || !selects(&entry.from, from)
                || !selects(&entry.to, to)
            {
                continue;
            }
            full = full.or(Some(*rule));
            if rule.policy.mode == PolicyMode::Enforce {
                enforced = Some(*rule);
                break;
            }
        }
        let allows =
            |rule: Option<RuleRef<'a>>| rule.is_some_and(|rule| rule.entry().action == Action::Allow);
        let cause = |rule: Option<RuleRef<'a>>| match rule {
            Some(rule) => Cause::Rule(rule),
            None => {
                let group = to.who == Who::Multicast;
                Cause::Reason(silence(protocol, port, group, unremarkable(protocol, port)))
            }
        };
        let passes = allows(enforced);
        let (word, cause) = match (passes, allows(full)) {
            (true, true) => (Word::Allowed, cause(enforced)),
            (false, false) => (Word::Denied, cause(enforced)),
            _ => (Word::Audited, cause(full)),
        };
        Verdict { passes, word, cause }
    }

    pub(super) fn expired(&self, rule: &RuleRef<'_>) -> bool {
        rule.policy.expires.is_some_and(|expires| self.inputs.clock.now >= expires)
    }
}

/// Whether an end stands for a group by an address that is never on a wire, as 0.0.0.0 does for 0.0.0.0/0.
fn stands_in(end: &End<'_>) -> bool {
    matches!(end.who, Who::Group(_))
        && end.address().is_some_and(|at| match at {
            IpAddr::V4(v4) => address::is_martian(&address::v4(v4.octets())),
            IpAddr::V6(v6) => address::is_martian(&address::v6(v6.octets())),
        })
}
