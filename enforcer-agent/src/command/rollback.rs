//! `enforcer rollback`.

use super::{Failure, SocketArgs, apply};
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::protocol::RollbackRequest;

/// Go back to the applied set before the last `apply`
///
/// May be repeated: the daemon remembers the last 16 applied sets. While a set waits for its confirmation, this ends its trial.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enforcer rollback")]
pub(super) struct Args {
    /// Even where it cuts the session that this is typed in
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let request = RollbackRequest { force: args.force };
    apply::submit(args.socket, "/v1/rollback", Some(&request), args.output.format)
}
