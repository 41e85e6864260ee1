//! Metrics for Prometheus, at the address that the settings name.

mod family;
mod page;
mod server;
mod snapshot;
mod verdicts;

pub use server::{Bounds, serve};
pub use snapshot::{HookState, HookedAt, Snapshot};
pub(in crate::daemon) use verdicts::{causes, mode_word};
