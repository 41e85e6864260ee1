//! `enforcer man`.

use super::{Cli, Failure};
use crate::exit::Exit;
use crate::output::{Format, Printer};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Print the manual page, of all of it or of one command
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer man > enforcer.8\n  enforcer man apply | man -l -\n  enforcer man --all /usr/local/share/man/man8"
)]
pub(super) struct Args {
    /// Which command; all of it where none is given
    #[arg(conflicts_with = "all")]
    command: Option<String>,
    /// Write every page into a directory
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let mut all = Cli::definition();
    all.build();
    if let Some(dir) = args.all {
        let names: Vec<String> = all.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names {
            let page = rendered(of_command(&all, &name)?)?;
            write(&dir, &format!("enforcer-{name}.8"), &page)?;
        }
        write(&dir, "enforcer.8", &rendered(all)?)?;
        return Ok(Exit::Yes);
    }
    let page = match args.command {
        None => all,
        Some(name) => of_command(&all, &name)?,
    };
    let mut out = Printer::new(Format::Human);
    out.line(String::from_utf8_lossy(&rendered(page)?).trim_end())?;
    out.flush()?;
    Ok(Exit::Yes)
}

fn of_command(all: &clap::Command, name: &str) -> anyhow::Result<clap::Command> {
    let found = all.find_subcommand(name).cloned();
    let found = found.with_context(|| format!("there is no command `{}`", name.escape_debug()))?;
    Ok(found.display_name(format!("enforcer-{name}")))
}

fn rendered(page: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(page).section("8").render(&mut text).context("could not make the manual page")?;
    Ok(text)
}

fn write(dir: &Path, name: &str, page: &[u8]) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, page).with_context(|| format!("could not write `{}`", path.display()))
}
