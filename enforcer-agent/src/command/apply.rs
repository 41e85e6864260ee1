//! `enforcer apply`.

use super::{Failure, SocketArgs, daemon, findings, input};
use crate::client::{Lines, call};
use crate::daemon::engine::ApplyLine;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::{ApplyReply, ApplyRequest, Outcome, Plan, PolicyFile, Status};
use anyhow::Context;
use enforcer_policy::document::parse_file;
use hyper::Method;
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Make a policy set the applied set of the running daemon, atomically
///
/// The set takes the place of what was applied before, as a whole. It is checked and tested together with the policy
/// files the daemon watches; what connectivity it changes is printed before anything does. When the command
/// returns, every packet is judged by it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer apply -f policies/\n  enforcer apply -f policies/ --dry-run\n  \
                        render-policies | enforcer apply -f -\n  enforcer apply -f policies/ --confirm 60s\n  enforcer apply --empty\n\n\
                        Exit codes: 0 in force; 1 a FlowTest fails; 2 daemon unreachable or could not; 3 invalid; \
                        4 it would cut your own session."
)]
pub(super) struct Args {
    /// Files or directories; `-` is stdin
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required_unless_present = "empty")]
    file: Vec<PathBuf>,
    /// Apply the empty set: only what the daemon watches is left
    #[arg(long, conflicts_with = "file")]
    empty: bool,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Go back after this time, with or without the daemon, unless `enforcer confirm` comes
    #[arg(long, value_name = "TIME", value_parser = super::duration::seconds, conflicts_with = "dry_run")]
    confirm: Option<u64>,
    /// Even where it cuts the session that this is typed in
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    if !args.empty {
        let sources = input::sources(&args.file)?;
        let says_something = sources
            .iter()
            .map(parse_file)
            .any(|file| file.documents().next().is_some() || !file.diagnostics().is_empty());
        if !says_something {
            let failure = Failure::from(anyhow::anyhow!("there is no document in these files"));
            return Err(
                failure.help("to take back everything that was applied, use `enforcer apply --empty`")
            );
        }
        let file = |name: &str, text: &str| PolicyFile { name: name.to_owned(), text: text.to_owned() };
        files.extend(sources.iter().map(|source| file(&source.name, &source.text)));
    }
    let request = ApplyRequest { files, dry_run: args.dry_run, confirm: args.confirm, force: args.force };
    submit(args.socket, "/v1/apply", Some(&request), args.output.format)
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    reply: &'a ApplyReply,
    plan: Option<&'a Plan>,
}

/// Sends a change, shows the plan as soon as it is there, and then what came of it.
pub(super) fn submit(
    socket: SocketArgs,
    path: &str,
    request: Option<&impl Serialize>,
    format: Format,
) -> Result<Exit, Failure> {
    let socket = socket.path();
    let mut out = Printer::new(format);
    daemon::converse(async {
        let mut lines = Lines::open(&socket, Method::POST, path, request).await?;
        let mut plan = None;
        loop {
            match lines.next().await?.context("the daemon closed the connection before it was done")? {
                ApplyLine::Plan(planned) => {
                    match format {
                        Format::Human => show_plan(&planned, &mut out)?,
                        Format::Jsonl => out.document(&planned)?,
                        Format::Json => {}
                    }
                    // The reader may be gone; the change goes on without it, and so it must be seen now.
                    out.flush()?;
                    plan = Some(planned);
                }
                ApplyLine::Reply(reply) => {
                    match format {
                        Format::Human => show_reply(&reply, &mut out)?,
                        Format::Jsonl => out.document(&reply)?,
                        Format::Json => out.document(&Report { reply: &reply, plan: plan.as_deref() })?,
                    }
                    out.flush()?;
                    if reply.outcome == Outcome::Applied
                        && reply.until.is_some()
                        && std::io::stderr().is_terminal()
                    {
                        watch(&socket).await?;
                    }
                    return Ok(exit(reply.outcome));
                }
            }
        }
    })
}

/// Counts down on the terminal until the trial has ended one way or the other. To interrupt this changes nothing.
async fn watch(socket: &Path) -> anyhow::Result<()> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let left = loop {
        let status: Status = call(socket, Method::GET, "/v1/status", None::<&()>).await?;
        let Some(trial) = status.trial else { break status.warnings };
        eprint!("\r{:>4} s left to confirm ", trial.left_ms.div_ceil(1_000));
        let wait = Duration::from_millis(trial.left_ms.clamp(10, 500));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = &mut interrupted => {
                eprintln!();
                return Ok(());
            }
        }
    };
    eprintln!();
    findings::show(&left);
    Ok(())
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Applied | Outcome::DryRun => Exit::Yes,
        Outcome::TestsFailed => Exit::No,
        Outcome::Failed => Exit::Unanswered,
        Outcome::Invalid => Exit::Invalid,
        Outcome::LocksOut => Exit::LocksOut,
    }
}

fn show_plan(plan: &Plan, out: &mut Printer) -> anyhow::Result<()> {
    findings::show(&plan.warnings);
    super::diff::show(&plan.connectivity, out)?;
    note(super::test::summary(&plan.tests));
    Ok(())
}

fn show_reply(reply: &ApplyReply, out: &mut Printer) -> anyhow::Result<()> {
    findings::show(&reply.diagnostics);
    if let Some(tests) = &reply.tests {
        super::test::show(tests, out)?;
    }
    let epoch = reply.epoch;
    match reply.outcome {
        Outcome::Applied => match &reply.until {
            None => out.line(format_args!("in force as epoch {epoch}")),
            Some(until) => out.line(format_args!(
                "in force as epoch {epoch} until {}, unless `enforcer confirm` comes",
                enforcer_policy::diagnostic::shown(until)
            )),
        },
        Outcome::LocksOut => out.line(format_args!(
            "refused: it would cut the session it was asked for from; epoch {epoch} stays"
        )),
        Outcome::DryRun => out.line(format_args!("dry run: nothing was changed, epoch {epoch} stays")),
        Outcome::Invalid => out.line(format_args!("invalid: nothing was changed, epoch {epoch} stays")),
        Outcome::TestsFailed => {
            out.line(format_args!("tests failed: nothing was changed, epoch {epoch} stays"))
        }
        Outcome::Failed => out.line(format_args!("failed: epoch {epoch} is in force")),
    }
}
