//! Lints, with the policies that FlowTests speak of.

use crate::daemon::clock::Instants;
use crate::pipeline::Ready;
use crate::protocol::{Finding, TestReport};
use enforcer_policy::compile::Clock;
use enforcer_policy::lint::lint;
use enforcer_policy::source::Source;
use std::collections::{HashMap, HashSet};

/// What is probably not meant. `tests` are all of the set's cases, those that passed too.
pub(crate) fn lints<'a>(
    ready: &Ready,
    tests: &TestReport,
    now: Instants,
    sources: impl IntoIterator<Item = &'a Source>,
) -> Vec<Finding> {
    let rules = tests.cases.iter().filter_map(|case| case.cause.rule.as_deref());
    let tested: HashSet<String> =
        rules.filter_map(|rule| Some(rule.rsplit_once('#')?.0.to_owned())).collect();
    let sources: HashMap<&str, &Source> = sources.into_iter().map(|source| (&*source.name, source)).collect();
    let clock = Clock { now: now.wall, boot_ns: now.boot };
    lint(&ready.set, &ready.compiled, clock, &tested)
        .into_iter()
        .map(|lint| {
            let source = sources.get(&*lint.origin.file).copied();
            Finding::warning_at(&lint.origin, source, lint.message, &lint.help)
        })
        .collect()
}
