//! The one entry for contributors: set-up, build, test, demo, bench and CI.

mod bench;
mod ci;
mod demo;
mod dist;
mod evasion;
mod examples;
mod fuzz;
mod kernel_programs;
mod kernels;
mod levels;
mod licences;
mod needs;
mod room;
mod runner;
mod setup;
mod shell;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and shows the enforcer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and running the kernel programs takes; does nothing where it is there
    Setup,
    /// Build the kernel programs alone, and say with what
    BuildEbpf {
        /// Compile in the debug lines for the daemon's log
        #[arg(long)]
        log: bool,
    },
    /// Build the agent with its kernel programs
    Build {
        /// With optimisations
        #[arg(long)]
        release: bool,
    },
    /// Set up, build, and run every level of tests that this machine can run
    Test {
        /// Run only tests whose name contains this
        filter: Option<String>,
    },
    /// Set up, build, and show a small shop being enforced
    Demo {
        /// Leave the shop's network namespaces and the daemon up, and say how to enter them
        #[arg(long)]
        keep: bool,
        /// Open a busy shop without any policy, and a shell on its host: docs/WALKTHROUGH.md goes on from there
        #[arg(long, conflicts_with = "keep")]
        open: bool,
    },
    /// Measure: criterion's benches, then the kernel programs beside an empty one
    Bench {
        /// Passed on to the benches
        #[arg(trailing_var_arg = true)]
        rest: Vec<String>,
    },
    /// Boot old and new kernels under emulation and run tests inside
    TestKernels {
        /// Only kernels whose version begins like this; may be given several times
        #[arg(long = "kernel", value_name = "VERSION", num_args = 1..)]
        kernels: Vec<kernels::Line>,
        /// Write the table of kernels into the README
        #[arg(long)]
        write: bool,
    },
    /// Fuzz one target, or each in turn: looks for inputs that break what it promises
    Fuzz {
        /// A directory's name in `fuzz/corpus`
        target: Option<String>,
        /// How long each target is fuzzed
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Make what is handed out, in `target/dist`: a Debian package, and a tarball with a static binary
    Dist {
        /// How it is built; `dev` packs what tests build, without the static binary
        #[arg(long, value_enum, default_value_t = dist::Profile::Release)]
        profile: dist::Profile,
        /// Install, use and remove it in a fresh Debian, which is made from Debian's archive once
        #[arg(long)]
        check: bool,
    },
    /// Everything that has to hold before a change is taken
    Ci,
    /// The attack table: run every test that carries an id, and print what each attack met at each level
    Evasion {
        /// Write `docs/EVASION.md` anew
        #[arg(long)]
        write: bool,
    },
    /// Rules on the files of the repository: sizes, names, no machine's own paths
    Tidy,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match args.command {
        Task::Setup => setup::run(setup::Scope::Run).map(done),
        Task::BuildEbpf { log } => kernel_programs::build(log).map(done),
        Task::Build { release } => {
            setup::run(setup::Scope::Build).and_then(|()| kernel_programs::build_agent(release)).map(done)
        }
        Task::Test { filter } => test::run(filter.as_deref()),
        Task::Demo { keep, open } => demo::run(keep, open),
        Task::Bench { rest } => bench::run(&rest).map(done),
        Task::TestKernels { kernels, write } => kernels::run(&kernels, write),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Dist { profile, check } => dist::run(profile, check).map(done),
        Task::Ci => ci::run(),
        Task::Evasion { write } => evasion::run(write),
        Task::Tidy => tidy::run(),
    }
}
