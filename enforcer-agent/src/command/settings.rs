//! Where the commands that work on the packet path itself find everything.

use super::{Failure, SocketArgs, findings};
use crate::daemon::config::{ConfigError, Overrides, Settings};
use crate::output::{note, wants_colour};
use std::io;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The daemon's settings, and what beats them.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
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

impl SettingsArgs {
    /// The settings, or what is wrong with them.
    pub(super) fn read(self) -> Result<Settings, ConfigError> {
        let Self { config, policies, state, bpffs, socket } = self;
        let overrides = Overrides { policies, socket: socket.socket, bpffs, state };
        Settings::load(config.as_deref(), overrides)
    }

    /// The settings; where they are invalid, what is wrong has been said.
    pub(super) fn load(self) -> Result<Option<Settings>, Failure> {
        match self.read() {
            Ok(settings) => Ok(Some(settings)),
            Err(ConfigError::Invalid(found)) => {
                findings::show(&found);
                note("error: the settings are invalid");
                Ok(None)
            }
            Err(error @ ConfigError::Unreadable(_)) => Err(anyhow::Error::from(error).into()),
        }
    }
}

/// Logs to stderr, as much as `ENFORCER_LOG` asks for.
pub(super) fn log() {
    let filter = EnvFilter::try_from_env("ENFORCER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(wants_colour(&io::stderr()))
        .init();
}
