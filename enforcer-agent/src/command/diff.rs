//! `enforcer diff`.

use super::sets::Named;
use super::{Failure, SocketArgs};
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::{Change, Connectivity};
use crate::verdicts;
use serde::Serialize;

/// Show what connectivity appears and disappears from one policy set to another
///
/// OLD and NEW are each a file, a directory, `git:REV:PATH`, or `live`: what the running daemon has in force. Every pair of
/// identities and every port is compared through the compiled tables, so what isn't listed doesn't change.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer diff live policies/\n  enforcer diff git:HEAD:policies policies/\n  \
                        enforcer diff -o jsonl git:v1.2:policies git:main:policies\n\n\
                        Exit codes: 0 nothing changes; 1 something does; 2 could not answer; 3 policy invalid."
)]
pub(super) struct Args {
    /// The set as it was
    #[arg(value_name = "OLD")]
    old: Named,
    /// The set as it is to be
    #[arg(value_name = "NEW")]
    new: Named,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    old: String,
    new: String,
    #[serde(flatten)]
    connectivity: &'a Connectivity,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    #[serde(flatten)]
    change: &'a Change,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let socket = args.socket.path();
    let (old, new) = (args.old.load(&socket)?, args.new.load(&socket)?);
    // A daemon's host is the one that both sets are meant for.
    let around = old.around.clone().or_else(|| new.around.clone()).unwrap_or_default();
    let now = Instants::now();
    // Both are read, so that what is wrong with either is told at once.
    let (old, new) = match (old.prepare(&around, now), new.prepare(&around, now)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let mut connectivity = verdicts::changes(Some(&old.compiled), &new.compiled, now);
    let changes = !connectivity.changes.is_empty();
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => show(&connectivity, &mut out)?,
        Format::Json | Format::Jsonl => {
            if args.output.format == Format::Jsonl {
                for change in std::mem::take(&mut connectivity.changes) {
                    out.document(&Line { schema: "enforcer.change/v1", change: &change })?;
                }
            }
            let (old, new) = (args.old.to_string(), args.new.to_string());
            out.document(&Report { schema: "enforcer.diff/v1", old, new, connectivity: &connectivity })?;
        }
    }
    out.flush()?;
    Ok(if changes { Exit::No } else { Exit::Yes })
}

/// What changes, for people; shared with the plan of `apply`.
pub(super) fn show(connectivity: &Connectivity, out: &mut Printer) -> anyhow::Result<()> {
    for change in &connectivity.changes {
        let code = if change.opens { "32" } else { "31" };
        let text = &change.text;
        if out.colour { out.line(format_args!("\u{1b}[{code}m{text}\u{1b}[0m"))? } else { out.line(text)? }
    }
    match (connectivity.changes.len(), connectivity.more) {
        (0, 0) => out.line("no connectivity changes")?,
        (_, 0) => {}
        (_, more) => out.line(format_args!("… and {more} more changes"))?,
    }
    if !connectivity.complete {
        note("the sets have too many distinct endpoints to compare all of them: other changes are possible");
    }
    Ok(())
}
