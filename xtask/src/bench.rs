//! `cargo xtask bench`: criterion's benches in memory, the kernel programs through `BPF_PROG_TEST_RUN`, connections and services, how soon flows are cut,
//! and what the agent itself takes.

use anyhow::Result;

use crate::kernel_programs::build_agent;
use crate::needs;
use crate::setup::{self, Scope};
use crate::shell::{cargo, run as run_command};

/// Where the kernel part leaves its tables, from the root.
const RESULTS: &str = "target/bench";

/// Runs every bench, with whatever else was given.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    setup::run(Scope::Run)?;
    run_command(cargo().args(["bench", "--workspace", "--benches", "--"]).args(rest))?;
    let obstacles = needs::obstacles(None);
    if !obstacles.is_empty() {
        println!("the kernel programs: SKIPPED, this machine lacks:");
        obstacles.iter().for_each(|obstacle| println!("  - {obstacle}"));
        return Ok(());
    }
    build_agent(true)?;
    // What they start has to be there too.
    run_command(cargo().args(["build", "--release", "--quiet", "--package", "enforcer-tests", "--bins"]))?;
    for bench in ["bench-kernel", "bench-connections", "bench-services", "bench-revocation", "bench-agent"] {
        let program = ["run", "--release", "--quiet", "--package", "enforcer-tests", "--bin", bench];
        run_command(cargo().args(program).args(["--", RESULTS]))?;
    }
    Ok(())
}
