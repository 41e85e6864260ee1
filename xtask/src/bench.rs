//! `cargo xtask bench`: criterion's benches in memory.

use anyhow::Result;

use crate::setup::{self, Scope};
use crate::shell::{cargo, run as run_command};

/// Runs every bench, with whatever else was given.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    setup::run(Scope::Run)?;
    run_command(cargo().args(["bench", "--workspace", "--benches", "--"]).args(rest))
}
