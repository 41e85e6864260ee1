//! `enforcer run`.

use super::settings::{self, SettingsArgs};
use super::{Failure, failure};
use crate::daemon;
use crate::exit::Exit;

/// Run the daemon, in the foreground
///
/// Settings come from --config, else from /etc/enforcer/enforcer.yaml and /etc/enforcer/enforcer.d/*.yaml. Flags beat
/// environment, environment beats files. SIGHUP reloads; SIGTERM ends the daemon and leaves everything enforced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enforcer run\n  enforcer run --config ./enforcer.yaml\n  \
                        ENFORCER_LOG=debug enforcer run --state /tmp/state --socket /tmp/enforcer.sock")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    settings::log();
    let Some(settings) = args.settings.load()? else { return Ok(Exit::Invalid) };
    daemon::run(settings).map_err(failure::of_kernel)?;
    Ok(Exit::Yes)
}
