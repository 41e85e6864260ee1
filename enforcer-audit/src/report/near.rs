//! The rule that comes nearest to allowing what is denied.

use super::{CauseLine, Mend, Near};
use crate::ends::End;
use crate::ground::{Ground, NOBODY};
use enforcer_policy::compile::Inputs;
use enforcer_policy::explain::{Explainer, RuleRef};
use enforcer_policy::model::Endpoint;

/// A denied flow: its ends, protocol and port.
pub(super) type Question = (Endpoint, Endpoint, u8, u16);

/// Asks the policy crate's explanations.
pub(super) fn misses(ground: &Ground, questions: &[Question]) -> Vec<Option<Near>> {
    let Ground { set, host, default_mode, clock, compiled, .. } = ground;
    let inputs = Inputs { set, host, default_mode: *default_mode, clock: *clock };
    let mut explainer = Explainer::new(inputs, compiled);
    let mut misses = Vec::with_capacity(questions.len());
    for (from, to, protocol, port) in questions {
        let miss = explainer.explain(from, to, *protocol, *port).nearest_miss;
        misses.push(miss.map(|miss| {
            let mends = miss.mends.into_iter().map(|(clause, text)| Mend { clause: clause.word(), text });
            Near { rule: cited(&miss.rule), mends: mends.collect() }
        }));
    }
    misses
}

/// An address while it is its end's; else the end's labels alone.
pub(super) fn endpoint(end: End, ground: &Ground) -> Endpoint {
    if end.workload == NOBODY || !end.changes || ground.holds(end.address, end.workload) {
        return Endpoint::Address(end.address);
    }
    Endpoint::Labels(ground.set.workloads[end.workload as usize].labels.clone())
}

/// A rule with where it is written and what it says it is for.
fn cited(rule: &RuleRef<'_>) -> CauseLine {
    let entry = rule.entry();
    CauseLine {
        rule: Some(rule.to_string()),
        file: Some(entry.origin.file.to_string()),
        line: Some(entry.origin.line),
        why: entry.why.clone(),
        ..CauseLine::default()
    }
}
