//! `enforcer observe`.

use super::{Failure, SocketArgs, daemon};
use crate::action_line::action_line;
use crate::client::Lines;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::flow_line::flow_line;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::{ActionRecord, FlowRecord, Missed, ObserveLine, TamperRecord};
use crate::tamper_line::tamper_line;
use anyhow::Context;
use hyper::Method;
use serde::Serialize;

/// Show flows as they are judged
///
/// Every packet that opens a flow, every change of an open flow's verdict, and denied packets up to a rate; and between
/// them, what others did to what is enforced. What was left out is counted and said at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer observe\n  enforcer observe -f --verdict denied\n  \
                        enforcer observe -f -o jsonl --workload ledger\n  \
                        enforcer observe -f --not --verdict allowed --not --port udp/53 --identity env=prod")]
pub(super) struct Args {
    /// Go on with verdicts to come, until interrupted
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    flows: Vec<FlowRecord>,
    tampering: Vec<TamperRecord>,
    actions: Vec<ActionRecord>,
    missed: Missed,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let path = args.filter.filter()?.request(args.follow);
    let socket = args.socket.path();
    let mut out = Printer::new(args.output.format);
    let mut report = Report {
        schema: "enforcer.observe/v1",
        flows: Vec::new(),
        tampering: Vec::new(),
        actions: Vec::new(),
        missed: Missed::default(),
    };
    let mut nothing = true;
    let ended = daemon::converse(async {
        let mut lines = Lines::open(&socket, Method::GET, &path, None::<&()>).await?;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                pressed = &mut interrupted => {
                    pressed.context("could not wait for an interrupt")?;
                    None
                }
            };
            match line {
                None => return Ok(()),
                Some(ObserveLine::Action(record)) => match args.output.format {
                    Format::Human => out.line(action_line(&record))?,
                    Format::Jsonl => out.document(&record)?,
                    Format::Json => report.actions.push(*record),
                },
                Some(line @ ObserveLine::Missed { missed, .. }) => {
                    report.missed.add(missed);
                    // Who reads along can tell what there was in all.
                    if args.follow && args.output.format == Format::Jsonl {
                        out.document(&line)?;
                    }
                }
                Some(ObserveLine::Tamper(record)) => match args.output.format {
                    Format::Human => out.line(tamper_line(&record))?,
                    Format::Jsonl => out.document(&record)?,
                    Format::Json => report.tampering.push(*record),
                },
                Some(ObserveLine::Flow(record)) => {
                    nothing = false;
                    match args.output.format {
                        Format::Human => out.line(flow_line(&record, out.colour))?,
                        Format::Jsonl => out.document(&record)?,
                        Format::Json => report.flows.push(*record),
                    }
                }
            }
            if args.follow {
                out.flush()?;
            }
        }
    });
    if ended.is_ok() && args.output.format == Format::Json {
        out.document(&report)?;
    }
    out.flush()?;
    ended?;
    let Missed { lost, suppressed } = report.missed;
    if lost + suppressed > 0 {
        note(format_args!(
            "{lost} events were lost, {suppressed} denied packets were counted without an event"
        ));
    }
    if !args.follow && nothing {
        note("no such flow among those judged lately; `observe -f` waits for the next");
    }
    Ok(Exit::Yes)
}
