//! `enforcer doctor`: whether this machine is fit for the enforcer, what on it goes around the enforcer, and how each is mended.
//!
//! It looks and changes nothing. What only root may see is `unknown` to others.

mod around;
mod daemon;
mod files;
mod kernel;
mod machine;
mod mounts;
mod network;
mod packets;
mod programs;
mod sockets;

use crate::daemon::config::Settings;
use crate::protocol::{DoctorCheck, DoctorReport};
use machine::Machine;

/// Looks at everything. `settings` are those the daemon would run with, or what is wrong with them.
#[must_use]
pub(crate) fn examine(settings: Result<Settings, String>) -> DoctorReport {
    let machine = Machine::here();
    let mut checks = Vec::new();
    let (settings, wrong) = match settings {
        Ok(settings) => (settings, None),
        Err(wrong) => (Settings::default(), Some(wrong)),
    };
    checks.extend(kernel::checks(&machine));
    checks.extend(mounts::checks(&machine, &settings.bpffs));
    checks.push(files::settings(wrong));
    checks.extend(files::directories(&settings));
    checks.push(files::clock(&settings.state));
    let asked = daemon::ask(&settings.socket);
    checks.push(daemon::check(&asked, &settings.bpffs));
    let devices = crate::links::devices();
    checks.extend(programs::checks(&machine, &settings.bpffs, &devices));
    checks.push(network::nat(&machine));
    checks.push(network::advertisements(&machine, &daemon::claimed(&asked)));
    checks.extend(around::checks(&machine, &devices));
    checks.push(sockets::check(&machine, &settings.bpffs, &daemon::addresses(&asked)));
    checks.push(packets::check(&machine, daemon::services(&asked).as_ref()));
    DoctorReport::of(checks)
}

/// What couldn't be looked at, and why.
fn unseen(check: &str, what: &str, error: &std::io::Error) -> DoctorCheck {
    let unseen = DoctorCheck::unknown(check, format!("cannot look at {what}: {error}"));
    if error.kind() == std::io::ErrorKind::PermissionDenied { unseen.mend("run it as root") } else { unseen }
}
