//! Verdicts on flows that nobody sent: `explain`, FlowTests, and what a new set changes. All of them are the policy
//! crate's answers, put into the documents that go out.

mod changes;
mod explain;
mod held;
mod lints;
mod question;
mod tests;

pub(crate) use changes::{changes, tell};
pub(crate) use explain::explain;
pub(crate) use held::held;
pub(crate) use lints::lints;
pub(crate) use question::Question;
pub(crate) use tests::run_tests;

use crate::daemon::clock::Instants;
use crate::pipeline::Surroundings;
use crate::protocol::CauseRecord;
use enforcer_policy::compile::{Clock, Inputs};
use enforcer_policy::explain::{Cause, RuleRef, Verdict};
use enforcer_policy::model::PolicySet;

/// What a set is judged with.
pub(crate) fn inputs<'a>(set: &'a PolicySet, around: &'a Surroundings, now: Instants) -> Inputs<'a> {
    let clock = Clock { now: now.wall, boot_ns: now.boot };
    Inputs { set, host: &around.host, default_mode: around.default_mode, clock }
}

fn cause(verdict: &Verdict<'_>) -> CauseRecord {
    match verdict.cause {
        Cause::Rule(rule) => cited(&rule),
        Cause::Reason(reason) => CauseRecord::from(reason),
    }
}

/// A rule with where it is written and what it says it is for.
fn cited(rule: &RuleRef<'_>) -> CauseRecord {
    let entry = rule.entry();
    CauseRecord {
        rule: Some(rule.to_string()),
        file: Some(entry.origin.file.to_string()),
        line: Some(entry.origin.line),
        why: entry.why.clone(),
        ..CauseRecord::default()
    }
}
