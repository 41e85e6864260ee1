//! `enforcer rollback`.

use super::{Failure, SocketArgs, apply};
use crate::exit::Exit;
use crate::output::OutputArgs;

/// Go back to the applied set before the last `apply`
///
/// May be repeated: the daemon remembers the last 16 applied sets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enforcer rollback")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    apply::submit(args.socket, "/v1/rollback", None, args.output.format)
}
