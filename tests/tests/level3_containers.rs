//! Containers of real engines as workloads. Without `dockerd`, `containerd` and a static busybox these count as skipped, and say so.

mod containers;

use std::process::ExitCode;

use enforcer_tests::engines;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let missing = engines::missing();
    if let Some(missing) = &missing {
        println!("SKIPPED: containers of real engines: {missing}");
    }
    let tests: Vec<Trial> = containers::TESTS
        .iter()
        .map(|(name, test)| {
            let run = || {
                test();
                Ok(())
            };
            Trial::test(*name, run).with_ignored_flag(missing.is_some())
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
