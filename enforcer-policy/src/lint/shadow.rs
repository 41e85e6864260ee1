//! Rules that never decide: whatever they match, others decide first.

use super::Lint;
use crate::compile::{Compiled, RuleInfo, Standing};
use crate::diagnostic::{listed, shown};
use crate::diff::{END, Reaches};
use crate::model::PolicySet;
use crate::property::nodes;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Pairs of kinds of ends that are looked at. Beyond, rules whose case isn't clear yet are passed over.
const PAIRS: usize = 500_000;

/// Rules that some end matches on each side, and that decide no flow that a hook judges.
pub(super) fn shadowed(set: &PolicySet, compiled: &Compiled, boot_ns: u64) -> Vec<Lint> {
    let reaches = Reaches::new(compiled, boot_ns);
    let mut members: Vec<BTreeSet<(Standing, u8)>> = vec![BTreeSet::new(); compiled.side_count()];
    for node in nodes(set, compiled) {
        for side in compiled.sides(&node.standing) {
            members[side as usize].insert((node.standing, node.families));
        }
    }
    let mut budget = PAIRS;
    let mut deciding: HashSet<u32> = HashSet::new();
    let mut deciders: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut unclear: HashSet<u32> = HashSet::new();
    for (from, to, rules) in compiled.rules_by_sides() {
        let mut open = rules;
        'pairs: for (a, a_families) in &members[from as usize] {
            for (b, b_families) in &members[to as usize] {
                open.retain(|(number, _)| !deciding.contains(number));
                if open.is_empty() {
                    break 'pairs;
                }
                if a_families & b_families == 0 {
                    continue;
                }
                if budget == 0 {
                    unclear.extend(open.iter().map(|(number, _)| *number));
                    break 'pairs;
                }
                budget -= 1;
                let Some(answers) = reaches.answers(a, b) else { continue };
                for (at, (start, enforced, full)) in answers.iter().enumerate() {
                    let last = answers.get(at + 1).map_or(END, |(next, _, _)| *next) - 1;
                    let winners = [enforced, full].into_iter().filter(|answer| !answer.is_none());
                    let winners: Vec<u32> = winners.map(|answer| answer.rule()).collect();
                    deciding.extend(&winners);
                    for (number, ranges) in &open {
                        if ranges.iter().any(|(first, end)| *first <= last && *end >= *start) {
                            deciders.entry(*number).or_default().extend(&winners);
                        }
                    }
                }
            }
        }
    }
    deciders
        .iter()
        .filter(|(number, _)| !deciding.contains(number) && !unclear.contains(number))
        .filter_map(|(number, by)| Some(lint(compiled.rule(*number)?, by, compiled)))
        .collect()
}

fn lint(rule: &RuleInfo, by: &BTreeSet<u32>, compiled: &Compiled) -> Lint {
    let names: Vec<String> = by
        .iter()
        .filter_map(|number| Some(format!("`{}`", shown(&compiled.rule(*number)?.name()))))
        .collect();
    let by = listed(&names, 3);
    Lint {
        origin: rule.origin.clone(),
        message: format!(
            "`{}` never decides: for everything it matches, {by} comes first",
            shown(&rule.name())
        ),
        help: "take it away, or narrow what comes first (tiers in order, in a tier denies before allows)"
            .to_owned(),
    }
}
