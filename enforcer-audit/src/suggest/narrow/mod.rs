//! Existing rules that are wider than their use, and the rules that would do in their place.
//!
//! Guarantees, each looked at by the engine before anything is told:
//!
//! - with the narrower rules in place of the old ones, every flow that was seen has the verdict that it had;
//! - nothing is let pass that wasn't: the exact comparison of connectivity finds nothing that opens.
//!
//! A rule for which that can't be had stays as it is.

mod shrink;
mod text;
mod uses;
mod verify;

use super::{Evidence, Options};
use crate::audit::{Audit, AuditError};
use enforcer_policy::model::{Action, FlowEntry, FlowPolicy, PolicyMode, PortSpec, Selector};
use shrink::Shrinker;
use std::collections::BTreeMap;
use uses::{RuleAt, Uses, uses};

/// A rule in place of a wider one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrower {
    /// Who was seen to open flows.
    pub from: Vec<Selector>,
    /// To whom.
    pub to: Vec<Selector>,
    /// To which ports.
    pub ports: Vec<PortSpec>,
    /// What was seen of all of it.
    pub total: Evidence,
    /// And of each port.
    pub by_port: Vec<(PortSpec, Evidence)>,
    /// Of its flows, those that nobody answered: the rule may have let in a probe.
    pub unanswered: u64,
    /// Ports that its ranges let in and nobody has used.
    pub unseen: u64,
}

/// What is to be done with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It lets in more than was used: these would do.
    Narrow(Vec<Narrower>),
    /// It decided nothing: a candidate for removal.
    Unused,
    /// It is as wide as its use.
    Fits,
    /// It is left as it is, for this reason.
    Left(&'static str),
}

/// A rule, and what came of looking at its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAdvice {
    /// Its number in the policy: the rule is `policy#index`.
    pub index: usize,
    /// The rule as it is.
    pub entry: FlowEntry,
    /// Flows that it decided.
    pub used: Evidence,
    /// Distinct ports among them.
    pub ports: u64,
    /// What is to be done.
    pub advice: Advice,
}

/// A policy, and its rules in reading order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAdvice {
    /// The policy as it is.
    pub policy: FlowPolicy,
    /// All of its rules.
    pub rules: Vec<RuleAdvice>,
}

impl PolicyAdvice {
    /// Whether any of its rules can be narrower.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.advice, Advice::Narrow(_)))
    }

    /// The policy with the narrower rules.
    #[must_use]
    pub fn narrowed(&self) -> FlowPolicy {
        let entries = self.rules.iter().flat_map(|rule| match &rule.advice {
            Advice::Narrow(list) => list.iter().map(|narrower| narrower.entry(&rule.entry)).collect(),
            Advice::Unused | Advice::Fits | Advice::Left(_) => vec![rule.entry.clone()],
        });
        FlowPolicy { flows: entries.collect(), ..self.policy.clone() }
    }
}

impl Narrower {
    fn entry(&self, old: &FlowEntry) -> FlowEntry {
        let (from, to, ports) = (self.from.clone(), self.to.clone(), self.ports.clone());
        FlowEntry { from, to, ports, ..old.clone() }
    }
}

/// What came of looking at the use of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowing {
    /// Recordings by name. Attacker-controlled text.
    pub sources: Vec<String>,
    /// First and last time that they name.
    pub window: Option<(enforcer_flows::Time, enforcer_flows::Time)>,
    /// The policies that were looked at, in reading order.
    pub policies: Vec<PolicyAdvice>,
}

impl Narrowing {
    /// Rules with a kind of advice.
    pub fn count(&self, is: impl Fn(&Advice) -> bool) -> usize {
        self.policies.iter().flat_map(|policy| &policy.rules).filter(|rule| is(&rule.advice)).count()
    }

    /// Length of the window in words, where there are times.
    #[must_use]
    pub fn span(&self) -> Option<String> {
        let (first, last) = self.window?;
        let minutes = u64::try_from(last.saturating_sub(first)).unwrap_or(0) / 60_000_000_000;
        let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
        Some(match (days, hours, minutes) {
            (0, 0, 0) => "less than a minute".to_owned(),
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        })
    }
}

impl Audit {
    /// Looks at the use of the policies that `chosen` picks. Make the [`crate::Setting`] with hooks everywhere ([`crate::Managed::All`]) and
    /// without segments, and with all policies that are in force.
    pub fn narrow(
        &mut self,
        options: &Options,
        chosen: impl Fn(&FlowPolicy) -> bool,
    ) -> Result<Narrowing, AuditError> {
        self.sound()?;
        let uses = uses(self)?;
        let mut kept: BTreeMap<RuleAt, &'static str> = BTreeMap::new();
        // What one rule lets go may be another's in the end, so that it takes more than one look at times.
        loop {
            let narrowing = self.advise(options, &chosen, &uses, &kept);
            let wrong = verify::wrong(self, &uses, &narrowing)?;
            if wrong.is_empty() {
                return Ok(narrowing);
            }
            kept.extend(
                wrong.into_iter().map(|rule| (rule, "what it allows can't be told apart by narrower rules")),
            );
        }
    }

    fn advise(
        &self,
        options: &Options,
        chosen: impl Fn(&FlowPolicy) -> bool,
        uses: &Uses,
        kept: &BTreeMap<RuleAt, &'static str>,
    ) -> Narrowing {
        let shrinker = Shrinker::new(self, options);
        let policies = self.ground.set.policies.iter().enumerate().filter(|(_, policy)| chosen(policy));
        let policies = policies.map(|(number, policy)| {
            let rules = policy.flows.iter().enumerate().map(|(index, entry)| {
                let used = uses.of((number, index));
                let mut sum = Evidence::default();
                used.iter().for_each(|used| sum.add(used.evidence));
                let mut ports: Vec<_> = used.iter().map(|used| (used.protocol, used.port)).collect();
                ports.sort_unstable();
                ports.dedup();
                let advice = if entry.action == Action::Deny {
                    Advice::Left("it denies")
                } else if policy.mode == PolicyMode::Audit {
                    Advice::Left("its policy is in audit")
                } else if uses.expired(policy) {
                    Advice::Left("its policy has expired")
                } else if let Some(why) = kept.get(&(number, index)) {
                    Advice::Left(why)
                } else if used.is_empty() {
                    Advice::Unused
                } else {
                    shrinker.shrink(entry, used).map_or(Advice::Fits, Advice::Narrow)
                };
                RuleAdvice { index, entry: entry.clone(), used: sum, ports: ports.len() as u64, advice }
            });
            PolicyAdvice { policy: policy.clone(), rules: rules.collect() }
        });
        Narrowing {
            sources: self.sources.iter().map(|source| source.name.clone()).collect(),
            window: self.window,
            policies: policies.collect(),
        }
    }
}
