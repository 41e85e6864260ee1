//! FlowTests, and how they came out.

use super::{cause, inputs};
use crate::daemon::clock::Instants;
use crate::pipeline::{Ready, Surroundings};
use crate::protocol::{TestReport, TestResult};
use crate::selection;
use enforcer_policy::flowtests::{TestOutcome, run};
use enforcer_policy::model::Expectation;

/// Runs every FlowTest of a set.
pub(crate) fn run_tests(ready: &Ready, around: &Surroundings, now: Instants) -> TestReport {
    let cases: Vec<TestResult> =
        run(inputs(&ready.set, around, now), &ready.compiled).iter().map(result).collect();
    let passed = cases.iter().filter(|case| case.passed).count();
    TestReport { passed, failed: cases.len() - passed, cases }
}

fn result(outcome: &TestOutcome<'_>) -> TestResult {
    let case = outcome.case;
    let shown = outcome.shown();
    let expected = match case.expect {
        Expectation::Allow => "allow",
        Expectation::Deny => "deny",
        Expectation::Audit => "audit",
    };
    TestResult {
        test: outcome.test.name.clone(),
        case: outcome.index,
        file: case.origin.file.to_string(),
        line: case.origin.line,
        from: selection::text(&case.from),
        to: selection::text(&case.to),
        port: case.port.to_string(),
        expected: expected.to_owned(),
        seen: shown.map_or("nothing", |path| path.verdict.word.word()).to_owned(),
        cause: shown.map(|path| cause(&path.verdict)).unwrap_or_default(),
        passed: outcome.holds(),
    }
}
