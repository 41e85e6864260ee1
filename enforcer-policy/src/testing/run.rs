//! Running random cases from a seed.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::fmt::Debug;

/// Holds `check` against `cases` values of `strategy`, drawn from `seed`.
///
/// # Panics
///
/// With the seed and the smallest failing value found.
pub fn hold<S>(seed: u64, cases: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy,
    S::Value: Debug,
{
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    match TestRunner::new(config).run(strategy, check) {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("seed {seed}: {reason}\nsmallest case: {value:#?}"),
        Err(TestError::Abort(reason)) => panic!("seed {seed}: no verdict on the cases: {reason}"),
    }
}
