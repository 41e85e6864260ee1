//! `enforcer status`.

use super::{Failure, SocketArgs, daemon, findings};
use crate::client::call;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::protocol::{InterfaceStatus, State, Status, UnreachableStatus, WorkloadStatus};
use crate::selection;
use crate::tamper_line::{behind, tamper_line};
use comfy_table::{ContentArrangement, Table, presets};
use enforcer_policy::diagnostic::shown;
use hyper::Method;

/// Show what is enforced, since when, and what has been counted
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer status\n  enforcer status -o json\n\n\
                        Exit codes: 0 enforcing; 1 degraded; 2 daemon unreachable.")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let socket = args.socket.path();
    let status: Status = daemon::converse(call(&socket, Method::GET, "/v1/status", None::<&()>))?;
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => {
            if let Some(degraded) = &status.degraded {
                findings::show(&degraded.diagnostics);
            }
            findings::show(status.warnings.iter().chain(&status.not_yet_enforced));
            show(&status, &mut out)?;
        }
        Format::Json | Format::Jsonl => out.document(&status)?,
    }
    out.flush()?;
    Ok(if status.state == State::Enforcing { Exit::Yes } else { Exit::No })
}

fn show(status: &Status, out: &mut Printer) -> anyhow::Result<()> {
    let state = match (status.state, &status.degraded) {
        (State::Enforcing, _) => "enforcing".to_owned(),
        (State::Degraded, Some(degraded)) => format!("degraded since {}: {}", degraded.since, degraded.why),
        (State::Degraded, None) => "degraded: nothing is in force".to_owned(),
    };
    out.line(state)?;
    let since = status.since.as_deref().map_or_else(|| "-".to_owned(), seconds);
    out.line(format_args!(
        "epoch {}, generation {}, in force since {since}; policies: {}, applied files: {}",
        status.epoch, status.generation, status.policies, status.applied_files
    ))?;
    let events = &status.events;
    out.line(format_args!(
        "events: {} sent, {} lost, {} suppressed",
        events.sent, events.lost, events.suppressed
    ))?;
    let tamper = &status.tamper;
    if tamper.count > 0 {
        out.line(format_args!("tampered with: {} times, {} not repaired", tamper.count, tamper.unrepaired))?;
    }
    for record in &tamper.recent {
        out.line(format_args!("  {}", tamper_line(record)))?;
    }
    if let Some(trial) = &status.trial {
        let left = trial.left_ms.div_ceil(1_000);
        out.line(format_args!(
            "on trial: applied at {}, rolled back in {left} s unless `enforcer confirm` comes",
            seconds(&trial.since)
        ))?;
    }
    for path in &status.failsafe {
        out.line(format_args!("failsafe at the host: {}", shown(path)))?;
    }
    let mut cut_off = table(&["QUARANTINED", "SINCE", "UNTIL", "EXCEPT", "BY", "WHY"]);
    for one in &status.quarantines {
        cut_off.add_row([
            shown(&one.workload),
            seconds(&one.since),
            one.until.as_deref().map_or_else(|| "released".to_owned(), seconds),
            one.except.as_deref().map_or_else(|| "-".to_owned(), shown),
            one.segment.as_deref().map_or_else(|| "-".to_owned(), |name| format!("segment {}", shown(name))),
            shown(&one.why),
        ]);
    }
    section(&cut_off, out)?;
    let mut attested = table(&["ATTESTED", "LABELS", "UNTIL"]);
    for one in &status.postures {
        let until = one.until.as_deref().map_or_else(|| "-".to_owned(), seconds);
        attested.add_row([shown(&one.workload), selection::labels(&one.labels), until]);
    }
    section(&attested, out)?;
    sources(status, out)?;
    workloads(status, out)?;
    let mut rules = table(&["RULE", "PACKETS", "BYTES", "FLOWS", "AUDITED", "WRITTEN AT"]);
    for rule in &status.rules {
        let place = format!("{}:{}", rule.file.escape_debug(), rule.line);
        let counts = &rule.counts;
        let cells =
            [counts.packets, counts.bytes, counts.flows, counts.audited].map(|count| count.to_string());
        rules.add_row([vec![shown(&rule.rule)], cells.to_vec(), vec![place]].concat());
    }
    section(&rules, out)?;
    let mut reasons = table(&["REASON", "DETAIL", "PACKETS", "BYTES", "AUDITED"]);
    for reason in &status.reasons {
        let counts = [reason.counts.packets, reason.counts.bytes, reason.counts.audited]
            .map(|count| count.to_string());
        let detail = if reason.detail == reason.reason { "-".to_owned() } else { shown(&reason.detail) };
        reasons.add_row([vec![shown(&reason.reason), detail], counts.to_vec()].concat());
    }
    section(&reasons, out)?;
    let mut tables = table(&["TABLE", "USED", "LIMIT"]);
    for usage in &status.tables {
        tables.add_row([shown(&usage.table), usage.used.to_string(), usage.limit.to_string()]);
    }
    section(&tables, out)
}

fn sources(status: &Status, out: &mut Printer) -> anyhow::Result<()> {
    let mut engines =
        table(&["ENGINE", "SOCKET", "STATE", "CONTAINERS", "MANAGED", "DENIED UNTIL KNOWN (P50, P99, MAX)"]);
    for source in &status.sources {
        let state = match &source.silent_since {
            Some(since) => format!("{} since {}", shown(&source.state), seconds(since)),
            None => shown(&source.state),
        };
        let window = &source.deny_window;
        let windows = [window.p50_us, window.p99_us, window.max_us]
            .map(|micros| format!("{}.{:03}", micros / 1000, micros % 1000));
        let windows = match window.containers {
            0 => "-".to_owned(),
            _ => format!("{} ms", windows.join(" ")),
        };
        let counts = [source.containers, source.managed].map(|count| count.to_string());
        let [containers, managed] = counts;
        let socket = source.socket.escape_debug().to_string();
        engines.add_row([shown(&source.kind), socket, state, containers, managed, windows]);
    }
    section(&engines, out)?;
    for source in &status.sources {
        if let Some(why) = &source.why {
            out.line(format_args!("{}: {}", shown(&source.kind), shown(why)))?;
        }
        for refused in &source.refused {
            out.line(format_args!("  {}", refused.escape_debug()))?;
        }
    }
    Ok(())
}

/// A time without its fraction.
fn seconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>()
        .map_or_else(|_| shown(time), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn workloads(status: &Status, out: &mut Printer) -> anyhow::Result<()> {
    let mut workloads = table(&["WORKLOAD", "LABELS", "MODE", "BY", "INTERFACES", "ADDRESSES"]);
    for workload in &status.workloads {
        workloads.add_row(workload_row(workload));
    }
    section(&workloads, out)?;
    if let Some(sockets) = &status.sockets {
        out.line("")?;
        let host = match &sockets.host_segment {
            Some(segment) => format!("{} (segment {})", shown(&sockets.host), shown(segment)),
            None => format!("{} (no segment holds it)", shown(&sockets.host)),
        };
        match (&sockets.root, &sockets.error) {
            (_, Some(error)) => out.line(format_args!("sockets aren't judged: {}", error.escape_debug()))?,
            (Some(root), None) => {
                out.line(format_args!(
                    "sockets below the cgroup `{}` are judged; the host: {host}",
                    shown(root)
                ))?;
            }
            (None, None) => {}
        }
    }
    let mut unclaimed = table(&["UNCLAIMED INTERFACE (denies everything)"]);
    for interface in &status.unclaimed {
        unclaimed.add_row([interface_cell(interface)]);
    }
    section(&unclaimed, out)
}

fn workload_row(workload: &WorkloadStatus) -> [String; 6] {
    let interfaces = workload.interfaces.iter().map(interface_cell);
    let found: Vec<String> =
        interfaces.chain(workload.cgroups.iter().map(|path| format!("cgroup {}", shown(path)))).collect();
    let addresses: Vec<String> = workload.addresses.iter().map(ToString::to_string).collect();
    [
        shown(&workload.name),
        selection::labels(&workload.labels),
        shown(&workload.mode),
        workload
            .segment
            .as_ref()
            .map_or_else(|| "default".to_owned(), |segment| format!("segment {}", shown(segment))),
        if found.is_empty() { "none here".to_owned() } else { found.join(" ") },
        addresses.join(" "),
    ]
}

fn interface_cell(interface: &InterfaceStatus) -> String {
    let name = shown(&interface.name);
    match (&interface.error, &interface.hook) {
        (Some(error), _) => format!("{name} ({})", error.escape_debug()),
        (None, Some(hook)) if !interface.unreachable.is_empty() => {
            let ahead: Vec<String> = interface.unreachable.iter().map(ahead).collect();
            format!("{name} ({}, unreachable: {})", shown(hook), ahead.join(", "))
        }
        (None, Some(hook)) => format!("{name} ({})", shown(hook)),
        (None, None) => format!("{name} (not attached)"),
    }
}

fn ahead(one: &UnreachableStatus) -> String {
    format!("{} {}", shown(&one.direction), behind(&one.ahead, one.program))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

/// A table that has rows, under an empty line.
fn section(table: &Table, out: &mut Printer) -> anyhow::Result<()> {
    if table.row_count() == 0 {
        return Ok(());
    }
    out.line("")?;
    for line in table.lines() {
        out.line(line.trim())?;
    }
    Ok(())
}
