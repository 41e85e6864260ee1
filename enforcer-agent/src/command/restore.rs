//! `enforcer restore`.

use super::settings::{self, SettingsArgs};
use super::{Failure, failure, findings};
use crate::daemon::restore::{self, Restored};
use crate::exit::Exit;
use crate::output::{Format, Printer, note};

/// Put the last good set in force from disk, without the daemon
///
/// For the start of a machine: nothing is pinned then, and the network isn't up yet. Policy files are not read, and nothing is waited for.
/// Devices that are there are hooked; everything is left pinned, and the daemon adopts it. Where a set is in force, or none ever
/// was, nothing is done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enforcer restore      (enforcer-early.service does it)\n\n\
                        Exit codes: 0 in force, or there is nothing to restore; 1 the set can't be put in force; 2 could not try.")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    settings::log();
    let Some(settings) = args.settings.load()? else { return Ok(Exit::Invalid) };
    let state = settings.state.clone();
    let mut out = Printer::new(Format::Human);
    match restore::run(settings).map_err(failure::of_kernel)? {
        Restored::Nothing => {
            out.line(format_args!("`{}` holds no last good set: nothing to restore", state.display()))?;
        }
        Restored::Already(epoch) => {
            out.line(format_args!("a set is in force already (epoch {epoch}): left alone"))?;
        }
        Restored::InForce { since, hooked } => {
            let devices = if hooked == 1 { "1 device" } else { &*format!("{hooked} devices") };
            out.line(format_args!("the last good set, of {since}, is in force again: {devices} hooked"))?;
        }
        Restored::Refused(found) => {
            findings::show(&found);
            note("error: the last good set can't be put in force any more");
            return Ok(Exit::No);
        }
    }
    out.flush()?;
    Ok(Exit::Yes)
}
