//! `enforcer posture`.

use super::{Failure, SocketArgs, daemon};
use crate::client::call;
use crate::daemon::engine::Refused;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer, note};
use crate::protocol::{PostureReply, PostureRequest};
use crate::selection;
use enforcer_policy::diagnostic::shown;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;

/// Say what is attested of a workload, for a time: labels below `posture.`
///
/// Policies select by them like by any other label. They are all that is attested: what was said before and isn't said again is gone. When the
/// time is over they are gone in the kernel, whether the daemon runs or not, and open flows are judged without them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer posture ledger --set posture.disk=encrypted --set posture.os=patched --for 10m\n  \
                        enforcer posture ledger --clear\n\n\
                        Exit codes: 0 it is so; 2 daemon unreachable, or no such workload."
)]
pub(super) struct Args {
    /// Name of the workload
    workload: String,
    /// A label that holds; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = label, requires = "ttl", required_unless_present = "clear")]
    labels: Vec<(String, String)>,
    /// For how long, at most 24h
    #[arg(long = "for", value_name = "TIME")]
    ttl: Option<String>,
    /// Nothing is attested any more
    #[arg(long, conflicts_with_all = ["labels", "ttl"])]
    clear: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "a label is `KEY=VALUE`, for example `posture.disk=encrypted`".to_owned())
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let Args { workload, labels, ttl, output, socket, .. } = args;
    let request = PostureRequest { labels: labels.into_iter().collect::<BTreeMap<_, _>>(), ttl };
    request.check().map_err(|Refused { message, help }| Failure {
        help,
        ..Failure::from(anyhow::Error::msg(message))
    })?;
    let path = format!("/v1/posture/{}", utf8_percent_encode(&workload, NON_ALPHANUMERIC));
    let reply: PostureReply = daemon::converse(call(&socket.path(), Method::PUT, &path, Some(&request)))?;
    for warning in &reply.warnings {
        note(format_args!("warning: {}", warning.escape_debug()));
    }
    let mut out = Printer::new(output.format);
    match output.format {
        Format::Human => {
            let name = shown(&reply.posture.workload);
            let told = match &reply.posture.until {
                Some(until) => {
                    format!(
                        "`{name}` has {} until {}",
                        selection::labels(&reply.posture.labels),
                        shown(until)
                    )
                }
                None => format!("nothing is attested of `{name}`"),
            };
            out.line(format_args!("{told}, epoch {}", reply.epoch))?;
        }
        Format::Json | Format::Jsonl => out.document(&reply)?,
    }
    out.flush()?;
    Ok(Exit::Yes)
}
