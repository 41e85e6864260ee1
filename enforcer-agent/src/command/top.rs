//! `enforcer top`.

use super::{Failure, SocketArgs, daemon};
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::output::{Format, OutputArgs, Printer, wants_colour};
use crate::top;
use std::io::{self, IsTerminal};

/// Show flows, rules by hits and denies as they happen
///
/// On a terminal: 1, 2 and 3 or tab choose the view, s what it is sorted by, r turns that around, arrows and pages move, / filters as the flags
/// do (`verdict=denied not port=udp/53`), p pauses, c begins anew, q quits. Flows are what records tell; rules and reasons are counted exactly.
/// With -o json, one look at what happened lately.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer top\n  enforcer top --workload ledger --not --verdict allowed\n  \
                        enforcer top -o json\n\n\
                        Exit codes: 0 seen; 2 could not answer, or there is no terminal."
)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let (socket, filter) = (args.socket.path(), args.filter.filter()?);
    if args.output.format != Format::Human {
        let snapshot = daemon::converse(top::snapshot(&socket, filter))?;
        let mut out = Printer::new(args.output.format);
        out.document(&snapshot)?;
        out.flush()?;
        return Ok(Exit::Yes);
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure {
            help: Some(
                "`enforcer top -o json` prints one look at it, `enforcer observe -f` goes on".to_owned(),
            ),
            ..Failure::from(anyhow::anyhow!("there is no terminal to show it on"))
        });
    }
    daemon::converse(top::run(&socket, filter, wants_colour(&io::stdout())))?;
    Ok(Exit::Yes)
}
