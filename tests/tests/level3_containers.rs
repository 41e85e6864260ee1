//! Containers of real engines as workloads. Without `dockerd`, `containerd` and a static busybox these count as skipped, and say so.

mod containers;

use std::process::ExitCode;

use enforcer_tests::engines;
use libtest_mimic::{Arguments, Trial};

/// The arguments, and the names of tests where several are asked for, of which the library takes one.
fn arguments() -> (Arguments, Vec<String>) {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag == "--exact") {
        return (Arguments::from_iter(std::iter::once(String::new()).chain(flags)), names);
    }
    (Arguments::from_args(), Vec::new())
}

fn main() -> ExitCode {
    let (arguments, names) = arguments();
    let missing = engines::missing();
    if let Some(missing) = &missing {
        println!("SKIPPED: containers of real engines: {missing}");
    }
    let tests: Vec<Trial> = containers::TESTS
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
        .map(|(name, test)| {
            let run = || {
                test();
                Ok(())
            };
            Trial::test(*name, run).with_ignored_flag(missing.is_some())
        })
        .collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}
