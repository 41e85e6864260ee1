//! `enforcer run`.

use super::{Failure, SocketArgs, findings};
use crate::daemon;
use crate::daemon::config::{ConfigError, Overrides, Settings};
use crate::datapath::DatapathError;
use crate::exit::Exit;
use crate::output::{note, wants_colour};
use std::io;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Run the daemon, in the foreground
///
/// Settings come from --config, else from /etc/enforcer/enforcer.yaml and /etc/enforcer/enforcer.d/*.yaml. Flags beat
/// environment, environment beats files. SIGHUP reloads; SIGTERM ends the daemon and leaves everything enforced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer run\n  enforcer run --config ./enforcer.yaml\n  \
                        ENFORCER_LOG=debug enforcer run --state /tmp/state --socket /tmp/enforcer.sock")]
pub(super) struct Args {
    /// AgentConfig document
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Files or directories of policy documents; may be given several times
    #[arg(long, value_name = "PATH", env = "ENFORCER_POLICIES", value_delimiter = ':')]
    policies: Vec<PathBuf>,
    /// Directory for what outlives the daemon
    #[arg(long, value_name = "DIR", env = "ENFORCER_STATE")]
    state: Option<PathBuf>,
    /// Directory for pins, on a bpf file system
    #[arg(long, value_name = "DIR", env = "ENFORCER_BPFFS")]
    bpffs: Option<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_from_env("ENFORCER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(wants_colour(&io::stderr()))
        .init();
    let Args { config, policies, state, bpffs, socket } = args;
    let overrides = Overrides { policies, socket: socket.socket, bpffs, state };
    let settings = match Settings::load(config.as_deref(), overrides) {
        Ok(settings) => settings,
        Err(ConfigError::Invalid(found)) => {
            findings::show(&found);
            note("error: the settings are invalid");
            return Ok(Exit::Invalid);
        }
        Err(error @ ConfigError::Unreadable(_)) => return Err(anyhow::Error::from(error).into()),
    };
    match daemon::run(settings) {
        Ok(()) => Ok(Exit::Yes),
        Err(error) => {
            let help =
                error.downcast_ref::<DatapathError>().and_then(|error| error.help().map(str::to_owned));
            Err(Failure { help, ..Failure::from(error) })
        }
    }
}
