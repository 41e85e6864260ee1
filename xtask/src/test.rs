//! `cargo xtask test`: every level, each with its counts.

use std::process::ExitCode;

use anyhow::Result;

use crate::evasion::Collected;
use crate::levels::Level;
use crate::room::{self, Build};
use crate::runner::{self, Executable};
use crate::setup::{self, Scope};
use crate::shell::cargo;
use crate::tally::{Report, Tally};
use crate::{needs, shell};

/// Sets up, builds, runs every level, and prints the sum.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    room::check(Build::Tests)?;
    let obstacles = needs::obstacles(setup::run(Scope::Run).err());
    let mut report = Report::default();
    levels(&mut report, filter, &obstacles, None)?;
    report.print();
    Ok(report.total().exit_code())
}

/// Runs every level into a report, and what came of the attack table's tests into `table`. `obstacles` keep the
/// privileged ones from running.
pub(crate) fn levels(
    report: &mut Report,
    filter: Option<&str>,
    obstacles: &[String],
    table: Option<&Collected>,
) -> Result<()> {
    let executables = runner::build()?;
    for remark in needs::remarks() {
        println!("note: {remark}");
    }
    for level in Level::ALL {
        let members: Vec<_> = executables.iter().filter(|executable| executable.level == level).collect();
        let tally = if level.is_privileged() && !obstacles.is_empty() {
            skip(level, &members, filter, obstacles, table)?
        } else {
            run_level(level, &members, filter, table)?
        };
        report.add(level.to_string(), tally);
    }
    if filter.is_none() {
        report.add("examples in the documentation", doc_tests());
    }
    Ok(())
}

fn run_level(
    level: Level,
    members: &[&Executable],
    filter: Option<&str>,
    table: Option<&Collected>,
) -> Result<Tally> {
    println!("\n=== {level}");
    let mut sum = Tally::default();
    for executable in members {
        let (tally, told) = executable.run(filter, table.map(Collected::path))?;
        sum += tally;
        if let Some(table) = table {
            table.add(executable, &told)?;
        }
    }
    println!("=== {level}: {sum}");
    Ok(sum)
}

fn skip(
    level: Level,
    members: &[&Executable],
    filter: Option<&str>,
    obstacles: &[String],
    table: Option<&Collected>,
) -> Result<Tally> {
    println!("\n=== {level}: SKIPPED, this machine lacks:");
    for obstacle in obstacles {
        println!("  - {obstacle}");
    }
    let mut count = 0;
    for executable in members {
        count += executable.count(filter)?;
        if let Some(table) = table {
            table.add(executable, &[])?;
        }
    }
    Ok(Tally::skipped(count))
}

/// rustdoc builds and runs these itself.
fn doc_tests() -> Tally {
    let mut command = cargo();
    command.args(["test", "--workspace", "--doc", "--quiet"]);
    match shell::output(&mut command) {
        Ok(text) => {
            let mut tally = Tally::default();
            text.lines().filter_map(Tally::parse).for_each(|counts| tally += counts);
            tally
        }
        Err(error) => {
            println!("FAILED: {error:#}");
            Tally::failed(1)
        }
    }
}
