//! Speaking to the daemon from a command.

use super::{Failure, SocketArgs};
use crate::client::{Refused, Unreachable};
use crate::daemon::config::{Overrides, SOCKET, Settings};
use anyhow::Context;
use std::future::Future;
use std::path::PathBuf;
use tokio::runtime::Runtime;

impl SocketArgs {
    /// Flag or environment, else what the daemon's own settings say.
    pub(super) fn path(&self) -> PathBuf {
        // Settings in error are the daemon's matter; a client then tries the usual place.
        let configured = || Settings::load(None, Overrides::default()).map(|settings| settings.socket);
        self.socket.clone().unwrap_or_else(|| configured().unwrap_or_else(|_| SOCKET.into()))
    }
}

/// Runs a conversation with the daemon to its end.
pub(super) fn converse<T>(conversation: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    runtime()?.block_on(conversation).map_err(failure)
}

/// What conversations run on.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("could not start the client's runtime")
}

/// A conversation that failed, with the way out.
pub(super) fn failure(error: anyhow::Error) -> Failure {
    let help = if let Some(refused) = error.downcast_ref::<Refused>() {
        refused.0.help.clone()
    } else {
        error.downcast_ref::<Unreachable>().map(|unreachable| unreachable.help().to_owned())
    };
    Failure { help, ..Failure::from(error) }
}
