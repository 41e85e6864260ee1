//! Level 1 of the ladder: the compiler's tables under the shared verdict function, held against the reference evaluator.
//!
//! Random policy sets, each asked by single probes and by sequences of packets. `ENFORCER_SEED` repeats a run, `ENFORCER_CASES`
//! sets its length. A failing case is shrunk and written to `tests/cases/`, where every later run replays it.

mod level1;

use enforcer_policy::testing::{hold, scene_and_probes, scene_and_steps};
use level1::case::{Case, cases, keep, seed};
use level1::world::Variant;
use proptest::prelude::*;

/// Probes of one set.
const PROBES: usize = 16;
/// Steps of one sequence.
const STEPS: usize = 20;

fn variant() -> impl Strategy<Value = Variant> {
    (prop::sample::select(vec![0_u32, 1, 2, 16]), any::<bool>(), 0..3_usize)
        .prop_map(|(narrow, late, churn)| Variant { narrow, late, churn })
}

#[test]
fn random_probes_are_answered_as_by_the_reference() {
    let seed = seed();
    let sets = cases() / PROBES as u32;
    println!("seed {seed}: {sets} sets of {PROBES} probes");
    hold(seed, sets, &(scene_and_probes(PROBES), variant()), |((scene, probes), variant)| {
        level1::probes(&scene, &probes, variant).map_err(|difference| {
            keep(seed, "probes", &Case::of_probes(&scene, &probes, variant, &difference));
            TestCaseError::fail(difference)
        })
    });
}

#[test]
fn e110_random_packets_are_judged_as_by_the_reference() {
    let seed = seed();
    let sets = cases() / STEPS as u32;
    println!("seed {seed}: {sets} sets of {STEPS} steps");
    hold(seed, sets, &(scene_and_steps(STEPS), variant()), |((scene, steps), variant)| {
        level1::steps(&scene, &steps, variant).map_err(|difference| {
            keep(seed, "steps", &Case::of_steps(&scene, &steps, variant, &difference));
            TestCaseError::fail(difference)
        })
    });
}

#[test]
fn kept_cases_are_answered_as_by_the_reference() {
    let mut failed = Vec::new();
    for (file, case) in Case::all() {
        if let Err(difference) = case.run() {
            failed.push(format!("{file}: {difference}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
