//! Which rule lets pass what was seen.
//!
//! Each pair of addresses and port is asked anew, as if it opened now, of the policies that are enforced: what a policy in audit would say is no
//! use of a rule, and a flow's own history is none either.

use super::super::Evidence;
use super::super::targets::is_answered;
use crate::audit::{Audit, AuditError};
use crate::flows::{Flow, Key};
use crate::ground::Ground;
use crate::judge::Ruling;
use crate::packets::opening;
use crate::report::make::is_liftable;
use crate::setting::At;
use crate::suggest::targets::Target;
use enforcer_common::Word;
use enforcer_policy::model::{FlowPolicy, PolicyMode};
use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};

/// Position of a policy in the set, and of a rule in it.
pub(super) type RuleAt = (usize, usize);

/// One address that reached another one at a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Ends by number.
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// A source port that was seen.
    from_port: u16,
    pub(super) evidence: Evidence,
    /// Flows without an answer, where one would have been seen.
    pub(super) unanswered: u64,
}

/// Everything that was seen, by the rule that lets it pass.
pub(super) struct Uses {
    by_rule: FxHashMap<RuleAt, Vec<Used>>,
    /// All of it, with its verdict as the set stands.
    pub(super) all: Vec<(Used, Option<Ruling>)>,
    now: Option<Timestamp>,
}

impl Uses {
    pub(super) fn of(&self, rule: RuleAt) -> &[Used] {
        self.by_rule.get(&rule).map_or(&[], Vec::as_slice)
    }

    pub(super) fn expired(&self, policy: &FlowPolicy) -> bool {
        policy.expires.zip(self.now).is_some_and(|(expires, now)| now >= expires)
    }

    /// Rules that let pass what was seen.
    pub(super) fn rules(&self) -> impl Iterator<Item = (RuleAt, &[Used])> {
        self.by_rule.iter().map(|(rule, used)| (*rule, used.as_slice()))
    }
}

/// The verdict on the packet that opens it.
pub(super) fn verdict(audit: &Audit, ground: &mut Ground, used: &Used) -> Result<Option<Ruling>, AuditError> {
    let ends = [used.source, used.destination];
    audit.ends.settle(ends, ground)?;
    let path = audit.hooks(used.source, used.destination);
    let [source, destination] = ends.map(|end| audit.ends.get(end).address);
    let frame = opening(source, destination, used.protocol, (used.from_port, used.port));
    Ok(frame.and_then(|frame| ground.judge.opening(&frame, path)))
}

/// Policies to ask, and what they said.
struct Asked<'a> {
    audit: &'a Audit,
    enforced: Ground,
    whole: Ground,
    /// Positions of policies by name.
    policies: FxHashMap<&'a str, usize>,
    uses: Uses,
}

impl Asked<'_> {
    /// Whether the policies that are enforced allow it.
    fn ask(&mut self, used: Used) -> Result<bool, AuditError> {
        let decided = verdict(self.audit, &mut self.enforced, &used)?;
        let allowed = decided.filter(|ruling| ruling.word == Word::Allowed);
        let rule = allowed.and_then(|ruling| ruling.cause.as_rule());
        if let Some(rule) = rule.and_then(|rule| self.enforced.compiled.rule(rule))
            && let Some(policy) = self.policies.get(rule.policy.as_str())
        {
            self.uses.by_rule.entry((*policy, rule.index)).or_default().push(used);
        }
        let stands = verdict(self.audit, &mut self.whole, &used)?;
        self.uses.all.push((used, stands));
        Ok(allowed.is_some())
    }
}

fn target(key: Key, port: u16) -> Target {
    Target { source: key.source(), destination: key.destination(), protocol: key.protocol(), port }
}

fn used(key: Key) -> Used {
    let (from_port, port) = key.ports();
    let (source, destination, protocol) = (key.source(), key.destination(), key.protocol());
    Used { source, destination, protocol, port, from_port, evidence: Evidence::default(), unanswered: 0 }
}

pub(super) fn uses(audit: &Audit) -> Result<Uses, AuditError> {
    let mut targets: FxHashMap<Target, Used> = FxHashMap::default();
    for (key, flow) in audit.flows.iter() {
        let group = &audit.groups.all()[flow.group as usize].key;
        if !could_use(group.ruling) {
            continue;
        }
        let target = target(key, group.port);
        let used = targets.entry(target).or_insert_with(|| used(key));
        used.evidence.add(evidence(flow));
        let tells = flow.is(Flow::CAPTURED) && matches!(key.protocol(), 6 | 132);
        used.unanswered += u64::from(tells && !is_answered(audit, target, flow));
    }
    // Without the flow that they are about, errors wouldn't pass.
    for key in &audit.assumed {
        let evidence = Evidence { flows: 1, ..Evidence::default() };
        targets.entry(target(*key, key.ports().1)).or_insert(Used { evidence, ..used(*key) });
    }
    let policies = &audit.ground.set.policies;
    let enforced = policies.iter().filter(|policy| policy.mode == PolicyMode::Enforce).cloned().collect();
    let mut asked = Asked {
        audit,
        enforced: audit.ground.with_policies(enforced)?,
        whole: audit.ground.with_policies(policies.clone())?,
        policies: policies.iter().zip(0..).map(|(policy, number)| (policy.name.as_str(), number)).collect(),
        uses: Uses {
            by_rule: FxHashMap::default(),
            all: Vec::with_capacity(targets.len()),
            now: match audit.setting.at {
                At::Instant(now) => Some(now),
                At::Own => None,
            },
        },
    };
    let mut allowed = FxHashSet::default();
    for (target, used) in in_order(targets) {
        if asked.ask(used)? {
            allowed.insert(target);
        }
    }
    // Where it was guessed which end opened a flow, the rule may be for the other way.
    let mut turned: FxHashMap<Target, Used> = FxHashMap::default();
    for (key, flow) in audit.flows.iter().filter(|(key, _)| !matches!(key.protocol(), 1 | 58)) {
        let group = &audit.groups.all()[flow.group as usize].key;
        let by_rule = group.ruling.is_some_and(|ruling| ruling.passes && ruling.cause.as_rule().is_some());
        if by_rule && !allowed.contains(&target(key, group.port)) {
            let (from_port, port) = key.ports();
            let back = Key::new(key.destination(), key.source(), key.protocol(), (port, from_port));
            let used = turned.entry(target(back, from_port)).or_insert_with(|| used(back));
            used.evidence.add(evidence(flow));
        }
    }
    for (_, used) in in_order(turned).into_iter().filter(|(target, _)| !allowed.contains(target)) {
        asked.ask(used)?;
    }
    Ok(asked.uses)
}

/// What no hook sees, and what is denied whatever the rules say, uses none.
fn could_use(ruling: Option<Ruling>) -> bool {
    ruling
        .is_some_and(|ruling| ruling.word != Word::Denied || ruling.cause.as_reason().is_none_or(is_liftable))
}

fn evidence(flow: &Flow) -> Evidence {
    let seen = flow.is(Flow::TIMED).then_some((flow.first, flow.last));
    Evidence { flows: 1, packets: flow.packets, seen }
}

fn in_order(targets: FxHashMap<Target, Used>) -> Vec<(Target, Used)> {
    let mut list: Vec<(Target, Used)> = targets.into_iter().collect();
    list.sort_unstable_by_key(|(target, _)| *target);
    list
}
