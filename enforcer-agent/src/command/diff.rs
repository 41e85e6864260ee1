//! `enforcer diff`.

use super::Failure;
use super::audit::judging::Judging;
use super::audit::recordings::{self, Recordings};
use super::audit::uncompiled;
use super::sets::Named;
use crate::daemon::clock::Instants;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::pipeline::{Ready, Surroundings};
use crate::protocol::{Change, Connectivity};
use crate::verdicts;
use enforcer_audit::compare::{FlowChange, FlowChanges};
use enforcer_audit::{Audit, Comparison, Setting, render};
use serde::Serialize;

/// Show what connectivity appears and disappears from one policy set to another, and which recorded flows change verdict
///
/// OLD and NEW are each a file, a directory, `git:REV:PATH`, or `live`: what the running daemon has in force. Every pair of
/// identities and every port is compared through the compiled tables, so what isn't listed doesn't change. With --flows, recorded traffic is judged
/// by both sets as `enforcer audit` does it, and grouped by what becomes of it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer diff live policies/\n  enforcer diff git:HEAD:policies policies/\n  \
                        enforcer diff -o jsonl git:v1.2:policies git:main:policies\n  \
                        enforcer diff live policies/ --flows capture.pcapng\n  \
                        enforcer diff git:HEAD:policies policies/ --flows vpc.log.gz --inventory instances.json\n\n\
                        Exit codes: 0 nothing changes; 1 connectivity or a recorded flow's verdict does; 2 could not answer; 3 policy invalid."
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
    recordings: Recordings,
    #[command(flatten)]
    judging: Judging,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    old: String,
    new: String,
    #[serde(flatten)]
    connectivity: &'a Connectivity,
    #[serde(skip_serializing_if = "Option::is_none")]
    flows: Option<&'a FlowChanges>,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    #[serde(flatten)]
    change: &'a Change,
}

#[derive(Serialize)]
struct FlowLine<'a> {
    schema: &'static str,
    #[serde(flatten)]
    group: &'a FlowChange,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let socket = args.recordings.socket.path();
    let (old, new) = (args.old.load(&socket)?, args.new.load(&socket)?);
    // A daemon's host is the one that both sets are meant for.
    let around = old.around.clone().or_else(|| new.around.clone()).unwrap_or_default();
    let now = Instants::now();
    // Both are read, so that what is wrong with either is told at once.
    let (old, new) = match (old.prepare(&around, now), new.prepare(&around, now)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let (mut connectivity, mut flows) = if args.recordings.are_named() {
        let (connectivity, flows) = recorded(&args, old, new, &around, now)?;
        (connectivity, Some(flows))
    } else {
        (verdicts::changes(Some(&old.compiled), &new.compiled, now), None)
    };
    let changes = !connectivity.changes.is_empty()
        || !connectivity.held.is_empty()
        || flows.as_ref().is_some_and(|flows| !flows.groups.is_empty());
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => {
            show(&connectivity, &mut out)?;
            if let Some(flows) = &flows {
                let untouched = connectivity.changes.iter().filter(|change| change.flows == Some(0));
                let untouched = untouched.filter(|change| is_told(change, &connectivity));
                let untouched: Vec<String> = untouched.map(|change| change.text.clone()).collect();
                out.line(format_args!(
                    "\n{}",
                    render::flow_changes(flows, &untouched, out.colour).trim_end()
                ))?;
            }
        }
        Format::Json | Format::Jsonl => {
            if args.output.format == Format::Jsonl {
                for change in std::mem::take(&mut connectivity.changes) {
                    out.document(&Line { schema: "enforcer.change/v1", change: &change })?;
                }
                for group in flows.iter_mut().flat_map(|flows| std::mem::take(&mut flows.groups)) {
                    out.document(&FlowLine { schema: "enforcer.flow-change/v1", group: &group })?;
                }
            }
            let (old, new) = (args.old.to_string(), args.new.to_string());
            let (connectivity, flows) = (&connectivity, flows.as_ref());
            out.document(&Report { schema: "enforcer.diff/v1", old, new, connectivity, flows })?;
        }
    }
    out.flush()?;
    Ok(if changes { Exit::No } else { Exit::Yes })
}

/// Judges recorded traffic by both sets. Connectivity is then compared between everybody whom inventory and recording name as well.
fn recorded(
    args: &Args,
    old: Ready,
    new: Ready,
    around: &Surroundings,
    now: Instants,
) -> Result<(Connectivity, FlowChanges), Failure> {
    let held = verdicts::held(Some(&old.compiled), &new.compiled);
    let mut setting = Setting::new(old.set, now.wall);
    setting.default_mode = around.default_mode;
    setting.host.clone_from(&around.host);
    args.recordings.put_into(&mut setting)?;
    args.judging.put_into(&mut setting, now.wall);
    let other = Setting { set: new.set, ..setting.clone() };
    let (old, new) = (Audit::new(setting).map_err(uncompiled)?, Audit::new(other).map_err(uncompiled)?);
    let mut comparison = Comparison::new(old, new);
    recordings::take(&args.recordings, &mut comparison)?;
    let connectivity = comparison.connectivity(now.wall).map_err(uncompiled)?;
    let told = verdicts::tell(&connectivity.difference, &connectivity.touched);
    let connectivity = Connectivity { held, ..told };
    Ok((connectivity, comparison.flows().map_err(uncompiled)?))
}

/// Whether people are told a change by itself. What no rule decides, before or after, changes with the modes that are told first, at every
/// port that rules leave.
fn is_told(change: &Change, connectivity: &Connectivity) -> bool {
    connectivity.held.is_empty() || change.rule_before.is_some() || change.rule_after.is_some()
}

/// What changes, for people; shared with the plan of `apply`.
pub(super) fn show(connectivity: &Connectivity, out: &mut Printer) -> anyhow::Result<()> {
    connectivity.held.iter().try_for_each(|held| out.line(&held.text))?;
    for change in connectivity.changes.iter().filter(|change| is_told(change, connectivity)) {
        let code = if change.opens { "32" } else { "31" };
        let text = &change.text;
        if out.colour { out.line(format_args!("\u{1b}[{code}m{text}\u{1b}[0m"))? } else { out.line(text)? }
    }
    match (connectivity.changes.len(), connectivity.more) {
        (0, 0) if connectivity.held.is_empty() => out.line("no connectivity changes")?,
        (0, 0) => out.line("no rule changes")?,
        (_, 0) => {}
        (_, more) => out.line(format_args!("… and {more} more changes"))?,
    }
    if !connectivity.complete {
        note("the sets have too many distinct endpoints to compare all of them: other changes are possible");
    }
    Ok(())
}
