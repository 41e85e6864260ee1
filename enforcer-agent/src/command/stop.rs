//! `enforcer stop`.

use super::{Failure, SocketArgs, daemon};
use crate::client::call;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::protocol::{StopReply, StopRequest};
use anyhow::bail;
use hyper::Method;
use std::time::{Duration, Instant};

/// The daemon writes down what is in force before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// End the daemon; what it enforces stays enforced
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer stop\n  enforcer stop --detach")]
pub(super) struct Args {
    /// Take all programs, links and maps away: nothing is enforced afterwards
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let socket = args.socket.path();
    let request = StopRequest { detach: args.detach };
    let reply: StopReply = daemon::converse(async {
        let reply = call(&socket, Method::POST, "/v1/stop", Some(&request)).await?;
        let began = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_ok() {
            if began.elapsed() > PATIENCE {
                bail!("the daemon was told to stop and still answers");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(reply)
    })?;
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human if reply.detached => out.line("stopped: nothing is enforced any more")?,
        Format::Human => out.line("stopped: what was enforced stays enforced")?,
        Format::Json | Format::Jsonl => out.document(&reply)?,
    }
    out.flush()?;
    Ok(Exit::Yes)
}
