//! A fixed number of mutations of the inputs that are kept, with a fixed seed. `ENFORCER_FUZZ_RUNS` sets another number,
//! `ENFORCER_SEED` another seed.

use enforcer_fuzz::kept::kept;
use enforcer_fuzz::mutate::{Random, mutate};
use enforcer_fuzz::target;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn brief(name: &str) {
    let target = target(name).unwrap();
    let inputs = kept("corpus", name);
    let mut random = Random::new(number("ENFORCER_SEED", 1));
    for run in 0..number("ENFORCER_FUZZ_RUNS", target.brief) {
        let mut bytes = inputs[random.below(inputs.len())].bytes.clone();
        let other = &inputs[random.below(inputs.len())].bytes;
        mutate(&mut bytes, other, target.longest, &mut random);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))) {
            let path = std::env::temp_dir().join(format!("enforcer-fuzz-{name}-{run}"));
            std::fs::write(&path, &bytes).unwrap();
            println!("run {run}: its input is `{}`; keep it in fuzz/regressions/{name}", path.display());
            resume_unwind(panic);
        }
    }
}

#[test]
fn verdict() {
    brief("verdict");
}

#[test]
fn headers() {
    brief("headers");
}

#[test]
fn documents() {
    brief("documents");
}

#[test]
fn records() {
    brief("records");
}

#[test]
fn flows() {
    brief("flows");
}

#[test]
fn import() {
    brief("import");
}

#[test]
fn control() {
    brief("control");
}
