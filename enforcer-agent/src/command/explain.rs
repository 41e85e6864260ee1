//! `enforcer explain`.

use super::{Failure, SocketArgs, daemon, findings, input};
use crate::client::call;
use crate::daemon::clock::Instants;
use crate::daemon::engine::Refused;
use crate::exit::Exit;
use crate::output::{Format, OutputArgs, Printer};
use crate::pipeline::{Surroundings, prepare};
use crate::protocol::{ExplainReply, ExplainRequest};
use crate::verdicts;
use enforcer_policy::compile::Numbers;
use enforcer_policy::model::Failsafe;
use hyper::Method;
use std::path::PathBuf;

/// Say whether a flow is allowed, which rule decides, and what each other rule lacks
///
/// SEL is one of `app=web,env=prod` (an identity with exactly these labels), an address, `world`, `host`
/// or `workload/NAME`. Without -f, the daemon's live set is asked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer explain --from app=web,env=prod --to workload/ledger --port tcp/5432 -f policies/\n  \
                        enforcer explain --from world --to 10.0.0.7 --port tcp/443\n\n\
                        Exit codes: 0 it passes; 1 it is denied; 2 could not answer; 3 policy invalid."
)]
pub(super) struct Args {
    /// Who opens the flow
    #[arg(long, value_name = "SEL")]
    from: String,
    /// Who is reached
    #[arg(long, value_name = "SEL")]
    to: String,
    /// Protocol and port, such as tcp/5432 or icmp/echo-request
    #[arg(long)]
    port: String,
    /// Files or directories to judge by, in place of the live set; `-` is stdin
    #[arg(short, long = "file", value_name = "PATH", num_args = 1..)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let request = ExplainRequest { from: args.from, to: args.to, port: args.port };
    // What can't be read is said the same way with a daemon and without one.
    let question = verdicts::Question::parse(&request).map_err(|refused| Failure {
        help: refused.help,
        ..Failure::from(anyhow::Error::msg(refused.message))
    })?;
    let reply: ExplainReply = if args.file.is_empty() {
        let socket = args.socket.path();
        daemon::converse(call(&socket, Method::POST, "/v1/explain", Some(&request)))?
    } else {
        let files = input::parsed(&args.file)?;
        let now = Instants::now();
        let around = Surroundings::default();
        match prepare(&files, &around, now, Numbers::default()) {
            Ok(ready) => {
                findings::show(&ready.not_yet_enforced);
                let configs = ready.set.configs.iter();
                let open: Vec<Failsafe> =
                    configs.flat_map(|config| config.failsafe.iter().flatten().cloned()).collect();
                let set = (&ready.set, &ready.compiled);
                verdicts::explain(&question, set, &open, &around, now).map_err(refusal)?
            }
            Err(found) => {
                findings::show(&found);
                return Ok(Exit::Invalid);
            }
        }
    };
    let mut out = Printer::new(args.output.format);
    match args.output.format {
        Format::Human => out.line(reply.text.trim_end())?,
        Format::Json | Format::Jsonl => out.document(&reply.explanation)?,
    }
    out.flush()?;
    Ok(if reply.passes { Exit::Yes } else { Exit::No })
}

fn refusal(refused: Refused) -> Failure {
    Failure { help: refused.help, ..Failure::from(anyhow::Error::msg(refused.message)) }
}
