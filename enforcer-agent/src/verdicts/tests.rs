//! FlowTests, cases and properties, and how they came out.

use super::{cause, inputs};
use crate::daemon::clock::Instants;
use crate::pipeline::{Ready, Surroundings};
use crate::protocol::{CauseRecord, PathHop, PropertyResult, TestReport, TestResult};
use crate::selection;
use enforcer_policy::diff::ports_text;
use enforcer_policy::flowtests::{TestOutcome, run};
use enforcer_policy::model::Claim;
use enforcer_policy::model::PortSpec;
use enforcer_policy::property::{self, Failure, Hop, PropertyOutcome};

/// Runs every FlowTest of a set.
pub(crate) fn run_tests(ready: &Ready, around: &Surroundings, now: Instants) -> TestReport {
    let cases: Vec<TestResult> =
        run(inputs(&ready.set, around, now), &ready.compiled).iter().map(result).collect();
    let properties: Vec<PropertyResult> =
        property::run(&ready.set, &ready.compiled, now.boot).iter().map(held).collect();
    let passed = cases.iter().filter(|case| case.passed).count()
        + properties.iter().filter(|property| property.passed).count();
    TestReport { passed, failed: cases.len() + properties.len() - passed, cases, properties }
}

fn held(outcome: &PropertyOutcome<'_>) -> PropertyResult {
    let property = outcome.property;
    let (why, path) = match &outcome.failure {
        None => (None, Vec::new()),
        Some(Failure::Path(hops)) => (None, hops.iter().map(hop).collect()),
        Some(Failure::Nobody(side)) => (Some(format!("`{side}` matches nothing in this set")), Vec::new()),
        Some(Failure::Unjudged) => (Some("no hook judges any of these flows".to_owned()), Vec::new()),
        Some(Failure::TooLarge) => {
            (Some("the set has too many distinct ends to tell".to_owned()), Vec::new())
        }
    };
    PropertyResult {
        test: outcome.test.name.clone(),
        property: outcome.index,
        file: property.origin.file.to_string(),
        line: property.origin.line,
        claim: match property.claim {
            Claim::Only { .. } => "only",
            Claim::Unreachable { .. } => "unreachable",
        }
        .to_owned(),
        passed: outcome.holds(),
        why,
        path,
    }
}

fn hop(hop: &Hop) -> PathHop {
    PathHop {
        from: hop.from.clone(),
        to: hop.to.clone(),
        ports: ports_text(&[hop.ports], usize::MAX),
        verdict: hop.reach.word().to_owned(),
        cause: hop.rule.as_ref().map(CauseRecord::from).unwrap_or_default(),
    }
}

fn result(outcome: &TestOutcome<'_>) -> TestResult {
    let case = outcome.case;
    let shown = outcome.shown();
    TestResult {
        test: outcome.test.name.clone(),
        case: outcome.index,
        file: case.origin.file.to_string(),
        line: case.origin.line,
        from: selection::text(&case.from),
        to: selection::text(&case.to),
        port: port(case.port),
        expected: case.expect.word().to_owned(),
        seen: shown.map_or("nothing", |path| path.verdict.word.word()).to_owned(),
        cause: shown.map(|path| cause(&path.verdict)).unwrap_or_default(),
        passed: outcome.holds(),
    }
}

/// As a person writes it: a ping's code goes without saying.
fn port(port: PortSpec) -> String {
    match port {
        PortSpec::Icmp { protocol, kind: kind @ (8 | 128), code: Some(0) } => {
            PortSpec::Icmp { protocol, kind, code: None }.to_string()
        }
        port => port.to_string(),
    }
}
