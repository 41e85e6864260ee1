//! What rules that meet on one pair of classes answer, port range by port range and expiry by expiry.

use super::error::{CompileError, fits};
use super::ports::Range;
use enforcer_common::answer::{Answer, Decision, Interval, PortSet};
use enforcer_common::maps::limits;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// A rule as far as deciding goes.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) answer: Answer,
    /// Whether its policy is in force.
    pub(super) enforced: bool,
    /// Boot-time clock; `u64::MAX` for never.
    pub(super) deadline: u64,
    /// As [`super::ports::ranges`] makes them.
    pub(super) ranges: Vec<Range>,
}

/// The rules in the order in which they decide, and everything made of them so far, each thing once.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    rules: Vec<Rule>,
    pub(super) intervals: Vec<Interval>,
    pub(super) decisions: Vec<Decision>,
    known_decisions: FxHashMap<Decision, u32>,
    known_sets: FxHashMap<Box<[Interval]>, PortSet>,
}

/// Tells a rule by its number, as `policy#index`.
pub(super) type Name<'a> = &'a dyn Fn(u32) -> String;

/// Rules by index into [`Answers::rules`]: those of every mode, and those in force.
#[derive(Default)]
struct Active {
    full: BTreeSet<u32>,
    enforced: BTreeSet<u32>,
}

impl Answers {
    /// `rules` must be sorted by answer.
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        debug_assert!(rules.is_sorted_by_key(|rule| rule.answer));
        Self {
            rules,
            intervals: Vec::new(),
            decisions: vec![Decision::NONE],
            known_decisions: FxHashMap::from_iter([(Decision::NONE, 0)]),
            known_sets: FxHashMap::default(),
        }
    }

    /// The rule at this place in deciding order.
    pub(super) fn rule(&self, index: u32) -> &Rule {
        &self.rules[index as usize]
    }

    /// The port set of these rules; `name` tells a rule by its number, for the message where that doesn't fit.
    pub(super) fn port_set(&mut self, rules: &[u32], name: Name<'_>) -> Result<PortSet, CompileError> {
        let mut edges: Vec<(u32, bool, u32)> = Vec::new();
        for index in rules {
            for (first, last) in &self.rules[*index as usize].ranges {
                edges.push((*first, true, *index));
                edges.push((last + 1, false, *index));
            }
        }
        edges.sort_unstable();
        let mut active = Active::default();
        // A break point at 0 stands first in every set, so that looking for the last one below a port always finds one.
        let mut points = vec![Interval { start: 0, decision: 0 }];
        let mut rest = edges.as_slice();
        while let Some((start, _, _)) = rest.first() {
            let same = rest.iter().take_while(|(at, _, _)| at == start).count();
            for (_, begins, index) in &rest[..same] {
                active.set(*index, *begins, self.rules[*index as usize].enforced);
            }
            let decision = self.decision(&active, name)?;
            match points.last_mut() {
                Some(last) if last.start == *start => last.decision = decision,
                Some(last) if last.decision == decision => {}
                _ => points.push(Interval { start: *start, decision }),
            }
            rest = &rest[same..];
        }
        if let Some(set) = self.known_sets.get(points.as_slice()) {
            return Ok(*set);
        }
        if points.len() > PortSet::LONGEST as usize {
            return Err(CompileError::PortSet {
                figure: points.len() as u64,
                limit: u64::from(PortSet::LONGEST),
                rule: name(self.rules[rules[0] as usize].answer.rule()),
            });
        }
        let set = PortSet { first: self.intervals.len() as u32, len: points.len() as u32 };
        self.intervals.extend_from_slice(&points);
        self.known_sets.insert(points.into(), set);
        Ok(set)
    }

    /// The number of what the active rules decide now and, as they expire, later.
    fn decision(&mut self, active: &Active, name: Name<'_>) -> Result<u32, CompileError> {
        let mut chain: Vec<Decision> = Vec::new();
        // The last deadline that has passed; 0 for now.
        let mut passed = 0;
        loop {
            let first = |set: &BTreeSet<u32>| {
                let alive =
                    set.iter().map(|index| &self.rules[*index as usize]).find(|rule| rule.deadline > passed);
                alive.map_or((Answer::NONE, u64::MAX), |rule| (rule.answer, rule.deadline))
            };
            let (enforced, until_enforced) = first(&active.enforced);
            let (full, until_full) = first(&active.full);
            let deadline = until_enforced.min(until_full);
            chain.push(Decision { deadline, enforced, full, next: 0, reserved: 0 });
            if deadline == u64::MAX {
                break;
            }
            passed = deadline;
        }
        if chain.len() as u64 - 1 > u64::from(Decision::CHAIN) {
            return Err(CompileError::Expiries {
                figure: chain.len() as u64 - 1,
                limit: u64::from(Decision::CHAIN),
                rule: name(chain[0].full.rule()),
            });
        }
        let mut next = 0;
        for decision in chain.into_iter().rev() {
            next = self.intern(Decision { next, ..decision });
        }
        Ok(next)
    }

    fn intern(&mut self, decision: Decision) -> u32 {
        *self.known_decisions.entry(decision).or_insert_with(|| {
            self.decisions.push(decision);
            self.decisions.len() as u32 - 1
        })
    }

    /// Refuses more than the kernel's tables take.
    pub(super) fn fits(&self) -> Result<(), CompileError> {
        fits("port intervals", self.intervals.len(), limits::INTERVALS)?;
        fits("decisions", self.decisions.len(), limits::DECISIONS)
    }
}

impl Active {
    fn set(&mut self, index: u32, begins: bool, enforced: bool) {
        let change = |set: &mut BTreeSet<u32>| if begins { set.insert(index) } else { set.remove(&index) };
        change(&mut self.full);
        if enforced {
            change(&mut self.enforced);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(number: u32, allow: bool, enforced: bool, deadline: u64, ranges: &[Range]) -> Rule {
        // Numbers are given in deciding order here: the order field ranks alone.
        let answer = Answer::new(1, number as u16, allow, number);
        Rule { answer, enforced, deadline, ranges: ranges.to_vec() }
    }

    fn ask(answers: &Answers, set: PortSet, key: u32, clock: u64) -> (Answer, Answer, u64) {
        let points = &answers.intervals[set.first as usize..(set.first + set.len) as usize];
        let at = points.partition_point(|point| point.start <= key) - 1;
        let mut decision = answers.decisions[points[at].decision as usize];
        while clock >= decision.deadline {
            decision = answers.decisions[decision.next as usize];
        }
        (decision.enforced, decision.full, decision.deadline)
    }

    #[test]
    fn every_port_and_instant_is_answered_as_by_asking_each_rule() {
        const NEVER: u64 = u64::MAX;
        let rules = vec![
            rule(0, false, true, 50, &[(10, 20), (40, 49)]),
            rule(1, false, false, 70, &[(15, 45)]),
            rule(2, true, true, 60, &[(0, 30)]),
            rule(3, true, true, NEVER, &[(12, 12), (25, 60)]),
            rule(4, true, false, 70, &[(0, 100)]),
        ];
        let mut answers = Answers::new(rules.clone());
        let name = |index: u32| index.to_string();
        for chosen in 1..1_u32 << rules.len() {
            let picked: Vec<u32> = (0..rules.len() as u32).filter(|index| chosen >> index & 1 == 1).collect();
            let set = answers.port_set(&picked, &name).unwrap();
            for key in 0..105 {
                for clock in [0, 49, 50, 59, 60, 69, 70, 1_000] {
                    let alive = || {
                        picked.iter().map(|index| &rules[*index as usize]).filter(move |rule| {
                            clock < rule.deadline && rule.ranges.iter().any(|(a, b)| (*a..=*b).contains(&key))
                        })
                    };
                    let first =
                        |rule: Option<&Rule>| rule.map_or((Answer::NONE, NEVER), |r| (r.answer, r.deadline));
                    let (full, full_until) = first(alive().next());
                    let (enforced, enforced_until) = first(alive().find(|rule| rule.enforced));
                    let deadline = full_until.min(enforced_until);
                    assert_eq!(
                        ask(&answers, set, key, clock),
                        (enforced, full, deadline),
                        "{picked:?} {key} {clock}"
                    );
                }
            }
        }
    }

    #[test]
    fn equal_things_are_stored_once() {
        let mut answers = Answers::new(vec![rule(0, true, true, u64::MAX, &[(5, 9)])]);
        let name = |index: u32| index.to_string();
        let first = answers.port_set(&[0], &name).unwrap();
        assert_eq!(answers.port_set(&[0], &name).unwrap(), first);
        assert_eq!((answers.intervals.len(), answers.decisions.len()), (3, 2));
    }

    #[test]
    fn too_long_chains_and_sets_are_refused_with_the_figure() {
        let many = |count: u32, f: &dyn Fn(u32) -> Rule| Answers::new((0..count).map(f).collect());
        let name = |index: u32| format!("p#{index}");
        let all = |count: u32| (0..count).collect::<Vec<_>>();
        let mut fits = many(16, &|n| rule(n, true, true, u64::from(n) + 1, &[(0, 9)]));
        assert!(fits.port_set(&all(16), &name).is_ok());
        let mut chain = many(17, &|n| rule(n, true, true, u64::from(n) + 1, &[(0, 9)]));
        let error = chain.port_set(&all(17), &name).unwrap_err();
        assert_eq!(error, CompileError::Expiries { figure: 17, limit: 16, rule: "p#0".to_owned() });
        let mut set = many(5_000, &|n| rule(n, true, true, u64::MAX, &[(n * 2 + 1, n * 2 + 1)]));
        let error = set.port_set(&all(5_000), &name).unwrap_err();
        assert_eq!(error, CompileError::PortSet { figure: 10_001, limit: 8_191, rule: "p#0".to_owned() });
    }
}
