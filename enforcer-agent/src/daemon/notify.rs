//! What the service manager is told. Without one, nothing; and a service manager that doesn't listen is no reason to stop.

use sd_notify::NotifyState;
use std::time::Duration;
use tracing::debug;

/// Everything is loaded, attached and answering.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "could not read the monotonic clock"),
    }
}

/// The daemon is about to end.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line on how things stand.
pub(super) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The engine has just done its round.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`alive`] must be called, where the service manager watches.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "could not notify the service manager");
    }
}
