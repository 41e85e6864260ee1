//! `enforcer release`.

use super::{Failure, SocketArgs, daemon, quarantine};
use crate::client::call;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::protocol::ReleaseRequest;
use hyper::Method;

/// Let a workload back that is quarantined
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enforcer release ledger")]
pub(super) struct Args {
    /// Name of the workload
    workload: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let request = ReleaseRequest { workload: args.workload };
    let socket = args.socket.path();
    let reply = daemon::converse(call(&socket, Method::POST, "/v1/release", Some(&request)))?;
    quarantine::show(&reply, args.output.format)
}
