//! The attack table's packets against the verdict function and tables in memory.

use std::process::ExitCode;

use enforcer_tests::evasion::{Level, run};

fn main() -> ExitCode {
    run(Level::Memory)
}
