//! The attack table's packets against the kernel programs, through `BPF_PROG_TEST_RUN`.

use std::process::ExitCode;

use enforcer_tests::evasion::{Level, run};

fn main() -> ExitCode {
    run(Level::Programs)
}
