//! `enforcer confirm`.

use super::{Failure, SocketArgs, daemon};
use crate::client::call;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::protocol::ConfirmReply;
use enforcer_policy::diagnostic::{counted, shown};
use hyper::Method;
use std::path::Path;

/// Keep the set that `enforcer apply --confirm` put in force
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enforcer apply -f policies/ --confirm 60s && enforcer confirm")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    confirm(&args.socket.path(), args.output.format)
}

fn confirm(socket: &Path, format: Format) -> Result<Exit, Failure> {
    let reply: ConfirmReply = daemon::converse(call(socket, Method::POST, "/v1/confirm", None::<&()>))?;
    let mut out = Printer::new(format);
    match format {
        Format::Human => out.line(format_args!(
            "confirmed: what was applied at {} ({}) is the applied set, epoch {}",
            shown(&reply.since),
            counted(reply.files as u64, "file"),
            reply.epoch
        ))?,
        Format::Json | Format::Jsonl => out.document(&reply)?,
    }
    out.flush()?;
    Ok(Exit::Yes)
}
