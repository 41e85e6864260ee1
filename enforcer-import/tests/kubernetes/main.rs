//! Verdicts after the import of Kubernetes' policies, held against an evaluator that knows only what the Kubernetes API says.

mod cluster;
mod compare;
mod evaluate;
mod generate;
#[path = "../judged/mod.rs"]
mod judged;
mod scale;
mod text;

use compare::{compare, keep};
use enforcer_policy::testing::hold;
use proptest::test_runner::TestCaseError;
use std::cell::Cell;

/// What a cluster counts for among the cases of a run.
const QUESTIONS: u64 = 200;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs random clusters; the smallest failing one is kept as a file.
fn run(what: &str, cases: u64, administrators: bool) {
    let seed = number("ENFORCER_SEED", 7);
    // A cluster asks about each pair of its pods and each port: some hundred questions.
    let cases = (number("ENFORCER_CASES", cases * QUESTIONS) / QUESTIONS).max(1) as u32;
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    hold(seed, cases, &generate::clusters(administrators), |cluster| match compare(&cluster) {
        Ok((yes, no)) => {
            allowed.set(allowed.get() + yes);
            denied.set(denied.get() + no);
            Ok(())
        }
        Err(difference) => {
            let file = keep(what, &cluster);
            Err(TestCaseError::fail(format!("{difference}\nkept in {file}")))
        }
    });
    let (allowed, denied) = (allowed.get(), denied.get());
    assert!(
        allowed > denied / 50 && denied > allowed / 50,
        "{allowed} allowed, {denied} denied: of both, some"
    );
}

#[test]
fn network_policies_mean_the_same_after_import() {
    run("networkpolicy", 300, false);
}

#[test]
fn administrators_policies_mean_the_same_after_import() {
    run("clusternetworkpolicy", 300, true);
}

#[test]
fn kept_cases_hold() {
    for (file, cluster) in compare::kept() {
        compare(&cluster).unwrap_or_else(|difference| panic!("{file}: {difference}"));
    }
}
