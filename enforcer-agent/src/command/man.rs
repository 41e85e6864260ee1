//! `enforcer man`.

use super::{Cli, Failure};
use crate::exit::Exit;
use crate::output::{Format, Printer};
use anyhow::Context;

/// Print the manual page, of all of it or of one command
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer man > enforcer.8\n  enforcer man apply | man -l -")]
pub(super) struct Args {
    /// Which command; all of it where none is given
    command: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let mut all = Cli::definition();
    all.build();
    let page = match args.command {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(&name).cloned();
            let found = found.with_context(|| format!("there is no command `{}`", name.escape_debug()))?;
            found.display_name(format!("enforcer-{name}"))
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).section("8").render(&mut text).context("could not make the manual page")?;
    let mut out = Printer::new(Format::Human);
    out.line(String::from_utf8_lossy(&text).trim_end())?;
    out.flush()?;
    Ok(Exit::Yes)
}
