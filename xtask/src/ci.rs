//! `cargo xtask ci`: what has to hold before a change is taken. Every step runs, whatever the ones before it found.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::evasion::Collected;
use crate::room::{self, Build};
use crate::setup::{self, Scope};
use crate::shell::{cargo, root, run as run_command};
use crate::tally::{Report, Tally};
use crate::{dist, evasion, examples, kernel_programs, kernels, licences, needs, test, tidy};

/// Runs every step and prints the counts.
pub(crate) fn run() -> Result<ExitCode> {
    room::check(Build::Ci)?;
    let obstacles = needs::obstacles(setup::run(Scope::Run).err());
    let mut report = Report::default();
    // What it takes beyond running tests keeps none of them from running.
    step(&mut report, "set-up", || setup::run(Scope::Ci));
    for (name, check) in CHECKS {
        step(&mut report, name, check);
    }
    report.add("known faults in dependencies", licences::advisories());
    let attacks = Collected::begin()?;
    collect(&mut report, "tests", |report| test::levels(report, None, &obstacles, Some(&attacks)));
    step(&mut report, "the attack table is true and written down", || evasion::check(&attacks));
    collect(&mut report, "the oldest and the newest kernel", kernels::ends);
    // What tests have built: another build, as it is handed out, would take as long as all the rest.
    step(&mut report, "a package installs in a fresh Debian and leaves nothing behind", || {
        dist::run(dist::Profile::Dev, true)
    });
    collect(&mut report, "examples in policies/", |report| {
        report.add("examples in policies/", examples::run()?);
        Ok(())
    });
    report.print();
    Ok(report.total().exit_code())
}

type Check = fn() -> Result<()>;

const CHECKS: [(&str, Check); 7] = [
    ("formatting", formatting),
    ("tidy", tidy_files),
    ("licences", licences::check),
    ("kernel programs build", build_kernel_programs),
    ("kernel programs have no warnings", kernel_programs::clippy),
    ("workspace has no warnings", clippy),
    ("documentation has no warnings", documentation),
];

/// A check counts as one.
fn step(report: &mut Report, name: &str, check: impl FnOnce() -> Result<()>) {
    println!("\n=== {name}");
    let began = Instant::now();
    let checked = check();
    took(name, began);
    let tally = match checked {
        Ok(()) => Tally::passed(1),
        Err(error) => {
            println!("FAILED: {error:#}");
            Tally::failed(1)
        }
    };
    report.add(name, tally);
}

/// Where the time of a run goes.
fn took(name: &str, began: Instant) {
    println!("--- {name}: {:.0} s", began.elapsed().as_secs_f64());
}

/// What counts by itself; that it can't start counts as one failure.
fn collect(report: &mut Report, name: &str, act: impl FnOnce(&mut Report) -> Result<()>) {
    let began = Instant::now();
    let acted = act(report);
    took(name, began);
    if let Err(error) = acted {
        println!("FAILED: {name}: {error:#}");
        report.add(format!("{name} could not run"), Tally::failed(1));
    }
}

fn formatting() -> Result<()> {
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    run_command(cargo().args(["fmt", "--check"]).current_dir(root().join("enforcer-ebpf")))
}

fn tidy_files() -> Result<()> {
    if !tidy::check()? {
        bail!("some files break the rules above");
    }
    Ok(())
}

fn build_kernel_programs() -> Result<()> {
    kernel_programs::build(false)?;
    // The debug lines cost nothing unless asked for, but they have to keep compiling.
    kernel_programs::build(true)
}

fn clippy() -> Result<()> {
    run_command(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-Dwarnings"]))
}

fn documentation() -> Result<()> {
    let mut command = cargo();
    // The readers are those who carry this on: private items are documented for them, and may be linked to.
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    command.env("RUSTDOCFLAGS", "-Dwarnings -Arustdoc::private-intra-doc-links");
    run_command(&mut command)
}
