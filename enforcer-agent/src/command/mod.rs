//! The command line: what may be typed, and which file does it. One file per subcommand.

mod apply;
mod audit;
mod check;
mod completions;
mod confirm;
mod daemon;
mod diff;
mod doctor;
mod duration;
mod explain;
mod failure;
mod findings;
mod host;
mod import;
mod input;
mod man;
mod observe;
mod quarantine;
mod release;
mod restore;
mod rollback;
mod run;
mod sets;
mod settings;
mod status;
mod stop;
mod suggest;
mod test;
mod top;

use crate::exit::Exit;
use crate::output::{Closed, note};
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

pub use failure::Failure;

/// Network microsegmentation: drops packets between workloads that no policy allows.
#[derive(Debug, Parser)]
#[command(name = "enforcer", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "From what works today to policies that hold it (docs/WALKTHROUGH.md goes through it):\n  \
                  tcpdump -i any -w today.pcap                  record\n  \
                  enforcer import host > workloads.yaml         who runs here\n  \
                  enforcer suggest -f workloads.yaml --flows today.pcap > suggested.yaml\n  \
                  enforcer check .                              is it sound? what is left to do?\n  \
                  enforcer audit -f . --flows today.pcap        what would break?\n  \
                  enforcer apply -f . --dry-run                 what would change? then without --dry-run\n  \
                  enforcer rollback                             back again\n\n\
                  Exit codes: 0 yes or clean; 1 the answer is no; 2 could not answer; 3 policy invalid; 4 it would lock the operator out."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Restore(restore::Args),
    Stop(stop::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Check(check::Args),
    Test(test::Args),
    Apply(apply::Args),
    Confirm(confirm::Args),
    Rollback(rollback::Args),
    Quarantine(quarantine::Args),
    Release(release::Args),
    Explain(explain::Args),
    Audit(audit::Args),
    Diff(diff::Args),
    Import(import::Args),
    Suggest(suggest::Args),
    Observe(observe::Args),
    Top(top::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a client finds the daemon.
#[derive(Debug, clap::Args)]
pub struct SocketArgs {
    /// Control socket of the daemon
    #[arg(long, env = "ENFORCER_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl Cli {
    /// The definition that help, completions and manual pages are made from.
    pub fn definition() -> clap::Command {
        Self::command()
    }

    fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Restore(args) => restore::run(args),
            Command::Stop(args) => stop::run(args),
            Command::Status(args) => status::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Check(args) => check::run(args),
            Command::Test(args) => test::run(args),
            Command::Apply(args) => apply::run(args),
            Command::Confirm(args) => confirm::run(args),
            Command::Rollback(args) => rollback::run(args),
            Command::Quarantine(args) => quarantine::run(args),
            Command::Release(args) => release::run(args),
            Command::Explain(args) => explain::run(args),
            Command::Audit(args) => audit::run(args),
            Command::Diff(args) => diff::run(args),
            Command::Import(args) => import::run(args),
            Command::Suggest(args) => suggest::run(args),
            Command::Observe(args) => observe::run(args),
            Command::Top(args) => top::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// Reads the arguments, does what they say, and tells stderr what went wrong.
#[must_use]
pub fn main() -> Exit {
    match Cli::parse().run() {
        Ok(exit) => exit,
        Err(failure) if failure.error.is::<Closed>() => Exit::Yes,
        Err(failure) => {
            note(&failure);
            failure.exit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::definition().debug_assert();
    }
}
