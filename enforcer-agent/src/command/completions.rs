//! `enforcer completions`.

use super::{Cli, Failure};
use crate::exit::Exit;
use crate::output::{Format, Printer};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  enforcer completions bash > /usr/share/bash-completion/completions/enforcer"
)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::definition(), "enforcer", &mut script);
    let mut out = Printer::new(Format::Human);
    out.line(String::from_utf8_lossy(&script).trim_end())?;
    out.flush()?;
    Ok(Exit::Yes)
}
