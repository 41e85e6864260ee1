//! `enforcer quarantine`.

use super::{Failure, SocketArgs, daemon, duration};
use crate::client::call;
use crate::daemon::engine::Refused;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::{QuarantineReply, QuarantineRequest};
use enforcer_policy::diagnostic::shown;
use hyper::Method;

/// Cut a workload off at once: every packet from it and to it, of open flows too
///
/// It holds above every policy and in every mode, across restarts, until it is released or its time is over. The one path that may be
/// left is for flows that SEL opens to the workload, at PORT.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer quarantine ledger --why \"ticket 4711\"\n  \
                        enforcer quarantine ledger --for 1h --except workload/forensics:tcp/22 --why \"ticket 4711\"\n\n\
                        Exit codes: 0 it is cut off; 2 daemon unreachable, or no such workload.")]
pub(super) struct Args {
    /// Name of the workload
    workload: String,
    /// For how long; until `enforcer release` where this is left out
    #[arg(long = "for", value_name = "TIME", value_parser = duration::seconds)]
    term: Option<u64>,
    /// The one path that is left: who may reach the workload, and at which port
    #[arg(long, value_name = "SEL:PORT")]
    except: Option<String>,
    /// What for; shown wherever the quarantine is
    #[arg(long)]
    why: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let Args { workload, term: seconds, except, why, output, socket } = args;
    let request = QuarantineRequest { workload, seconds, except, why };
    request.check().map_err(|Refused { message, help }| Failure {
        help,
        ..Failure::from(anyhow::Error::msg(message))
    })?;
    let reply = daemon::converse(call(&socket.path(), Method::POST, "/v1/quarantine", Some(&request)))?;
    show(&reply, output.format)
}

/// What came of `quarantine` or `release`.
pub(super) fn show(reply: &QuarantineReply, format: Format) -> Result<Exit, Failure> {
    for warning in &reply.warnings {
        note(format_args!("warning: {}", warning.escape_debug()));
    }
    let mut out = Printer::new(format);
    match format {
        Format::Human => {
            let name = shown(&reply.quarantine.workload);
            let told = match (reply.quarantined, &reply.quarantine.until) {
                (true, Some(until)) => format!("`{name}` is quarantined until {}", shown(until)),
                (true, None) => format!("`{name}` is quarantined until it is released"),
                (false, _) => format!("`{name}` is released"),
            };
            out.line(format_args!("{told}, epoch {}", reply.epoch))?;
        }
        Format::Json | Format::Jsonl => out.document(reply)?,
    }
    out.flush()?;
    Ok(Exit::Yes)
}
