//! Explaining: the verdict on a flow that nobody sent, every rule that comes near it, and for a deny what would have allowed it.
//!
//! Verdicts at a hook come from the verdict function over the compiled tables wherever both ends have an address; the documents
//! answer only for ends without one, and say which clause of which rule failed.

mod clauses;
mod ends;
mod failsafe;
mod path;
#[cfg(test)]
mod tests;

use crate::compile::{Compiled, Inputs};
use crate::memory::MemoryTables;
use crate::model::{Action, Endpoint, FlowPolicy, PolicyMode, SegmentMode, Workload};
use clauses::{mend_ports, mend_side, names_port};
use ends::couples;
use enforcer_common::Word;
use std::collections::HashMap;

pub use clauses::{port_ranges, port_text, selects, single_port};
pub use ends::{End, Place, Who, is_multicast};
pub use path::{Cause, Path, RuleRef, Verdict};

/// A compiled set that can be asked.
#[derive(Debug)]
pub struct Explainer<'a> {
    inputs: Inputs<'a>,
    compiled: &'a Compiled,
    tables: MemoryTables,
    /// Hook number and mode, by workload.
    hooks: HashMap<&'a str, (u32, SegmentMode)>,
    workloads: HashMap<&'a str, &'a Workload>,
    policies: HashMap<&'a str, &'a FlowPolicy>,
    /// Every rule in deciding order, expired ones included.
    order: Vec<RuleRef<'a>>,
}

/// A clause of a rule that a flow doesn't meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clause {
    /// No entry of `from` matches the source.
    From,
    /// No entry of `to` matches the destination.
    To,
    /// No entry of `ports` names the protocol and port.
    Ports,
    /// The policy has expired.
    Expires,
    /// The policy is in `mode: audit`.
    Mode,
    /// Everything matches, and another rule decides first.
    Outranked,
}

impl Clause {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Ports => "ports",
            Self::Expires => "expires",
            Self::Mode => "mode",
            Self::Outranked => "outranked",
        }
    }
}

/// A rule that comes near a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The rule.
    pub rule: RuleRef<'a>,
    /// The clauses that fail, in the order of [`Clause`]; none for a rule that matches and is in force.
    pub failing: Vec<Clause>,
}

impl Candidate<'_> {
    /// Whether the rule matches, in force or only reported.
    pub fn matches(&self) -> bool {
        self.failing.iter().all(|clause| *clause == Clause::Mode)
    }

    /// The first clause that fails.
    pub fn first_failing(&self) -> Option<Clause> {
        self.failing.first().copied()
    }
}

/// The allow rule that fails the fewest clauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss<'a> {
    /// The rule.
    pub rule: RuleRef<'a>,
    /// What it fails by, and what would mend it, clause by clause.
    pub mends: Vec<(Clause, String)>,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// IP protocol number.
    pub protocol: u8,
    /// Port; `type * 256 + code` for ICMP.
    pub port: u16,
    /// Every pair of ends that the question stands for. Empty where an end names nothing.
    pub paths: Vec<Path<'a>>,
    /// The path that the rest is about: the first that is dropped, else the first that is audited, else the first.
    pub shown: usize,
    /// Rules whose `from` or `to` matches, those that match the flow first, each group in deciding order.
    pub candidates: Vec<Candidate<'a>>,
    /// Where the shown path is dropped.
    pub nearest_miss: Option<Miss<'a>>,
}

impl<'a> Explanation<'a> {
    /// The path that the explanation is about.
    pub fn path(&self) -> Option<&Path<'a>> {
        self.paths.get(self.shown)
    }

    /// Whether other paths of the same question have another verdict.
    pub fn is_mixed(&self) -> bool {
        self.paths.iter().any(|path| path.verdict.word != self.paths[self.shown].verdict.word)
    }
}

impl<'a> Explainer<'a> {
    /// `compiled` must be of `inputs`; the clock may be a later one.
    pub fn new(inputs: Inputs<'a>, compiled: &'a Compiled) -> Self {
        let mut tables = MemoryTables::new(&compiled.image);
        tables.set_clock(inputs.clock.boot_ns, inputs.clock.boot_ns);
        let mut hooks = HashMap::with_capacity(compiled.subjects.len());
        for (number, plan) in (1..).zip(&compiled.subjects) {
            tables.bind(number, plan.subject);
            hooks.insert(plan.workload.as_str(), (number, plan.mode));
        }
        let set = inputs.set;
        let mut order: Vec<RuleRef<'a>> = set
            .policies
            .iter()
            .flat_map(|policy| (0..policy.flows.len()).map(move |index| RuleRef { policy, index }))
            .collect();
        order.sort_by_key(|rule| (rule.policy.tier, rule.entry().action == Action::Allow));
        Self {
            inputs,
            compiled,
            tables,
            hooks,
            workloads: set.workloads.iter().map(|workload| (workload.name.as_str(), workload)).collect(),
            policies: set.policies.iter().map(|policy| (policy.name.as_str(), policy)).collect(),
            order,
        }
    }

    /// The verdict on every pair of ends that a question stands for.
    pub fn paths<'b: 'a>(
        &mut self,
        from: &'b Endpoint,
        to: &'b Endpoint,
        protocol: u8,
        port: u16,
    ) -> Vec<Path<'a>> {
        let couples = couples(&self.ends(from), &self.ends(to), protocol);
        couples.into_iter().map(|(from, to)| self.path(from, to, protocol, port)).collect()
    }

    /// The verdict with everything that bears on it.
    pub fn explain<'b: 'a>(
        &mut self,
        from: &'b Endpoint,
        to: &'b Endpoint,
        protocol: u8,
        port: u16,
    ) -> Explanation<'a> {
        let paths = self.paths(from, to, protocol, port);
        let dropped = paths.iter().position(|path| !path.verdict.passes);
        let audited = || paths.iter().position(|path| path.verdict.word == Word::Audited);
        let shown = dropped.or_else(audited).unwrap_or(0);
        let mut candidates = Vec::new();
        let mut nearest_miss = None;
        if let Some(path) = paths.get(shown) {
            let all: Vec<Candidate<'a>> =
                self.order.iter().map(|rule| self.held(rule, path, protocol, port)).collect();
            if !path.verdict.passes {
                nearest_miss = self.nearest(&all, path, protocol, port);
            }
            let both = [Clause::From, Clause::To];
            candidates = all;
            candidates.retain(|candidate| !both.iter().all(|clause| candidate.failing.contains(clause)));
            candidates.sort_by_key(|candidate| !candidate.matches());
        }
        Explanation { protocol, port, paths, shown, candidates, nearest_miss }
    }

    /// A rule held against a flow.
    fn held(&self, rule: &RuleRef<'a>, path: &Path<'_>, protocol: u8, port: u16) -> Candidate<'a> {
        let entry = rule.entry();
        let clauses = [
            (Clause::From, selects(&entry.from, &path.from)),
            (Clause::To, selects(&entry.to, &path.to)),
            (Clause::Ports, names_port(entry, protocol, port)),
            (Clause::Expires, !self.expired(rule)),
            (Clause::Mode, rule.policy.mode == PolicyMode::Enforce),
        ];
        let failing = clauses.into_iter().filter(|(_, holds)| !holds).map(|(clause, _)| clause).collect();
        Candidate { rule: *rule, failing }
    }

    /// The allow rule that fails the fewest clauses; of several, one that means these ends and this port rather than one that
    /// means these ends, rather than another.
    fn nearest(&self, all: &[Candidate<'a>], path: &Path<'a>, protocol: u8, port: u16) -> Option<Miss<'a>> {
        let distance = |candidate: &&Candidate<'_>| {
            let fails = |clauses: &[Clause]| {
                clauses.iter().filter(|clause| candidate.failing.contains(clause)).count()
            };
            (candidate.failing.len(), fails(&[Clause::From, Clause::To]), fails(&[Clause::Ports]))
        };
        let allows = all.iter().filter(|candidate| candidate.rule.entry().action == Action::Allow);
        let nearest = allows.min_by_key(distance)?;
        let entry = nearest.rule.entry();
        let mut mends: Vec<(Clause, String)> = nearest
            .failing
            .iter()
            .map(|clause| {
                let text = match clause {
                    Clause::From => mend_side("from", &entry.from, &path.from),
                    Clause::To => mend_side("to", &entry.to, &path.to),
                    Clause::Ports => mend_ports(entry, protocol, port),
                    Clause::Expires => match nearest.rule.policy.expires {
                        Some(expires) => {
                            format!("its policy expired at {expires}: give it a later `expires`")
                        }
                        None => String::new(),
                    },
                    Clause::Mode => "its policy is in `mode: audit`: make it `enforce`".to_owned(),
                    Clause::Outranked => String::new(),
                };
                (*clause, text)
            })
            .collect();
        if let Cause::Rule(decides) = path.verdict.cause
            && decides.entry().action == Action::Deny
        {
            mends.push((
                Clause::Outranked,
                format!("`{decides}` denies the flow and is asked first: narrow it"),
            ));
        }
        Some(Miss { rule: nearest.rule, mends })
    }
}
