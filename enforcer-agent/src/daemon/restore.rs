//! `enforcer restore`: what was last in force, without the daemon.
//!
//! After a reboot nothing is pinned and the network comes up. This puts the last good set in force from the state directory
//! before it does, hooks the devices that are there, leaves everything pinned and ends; the daemon adopts it later.

use super::config::Settings;
use super::devices::Devices;
use super::engine::Engine;
use super::events::Feed;
use super::failsafe;
use super::lock::Lock;
use super::names::Names;
use super::state::StateDir;
use crate::datapath::{Datapath, Epoch};
use crate::kernel::{Kernel, KernelConfig};
use crate::protocol::Finding;
use anyhow::{Context, Result};

/// What came of it.
#[derive(Debug)]
pub enum Restored {
    /// No set was ever in force here.
    Nothing,
    /// A generation is in force already; it is left alone.
    Already(Epoch),
    /// The last good set is in force.
    InForce {
        /// Since when it was good, RFC 3339.
        since: String,
        /// Devices that are hooked.
        hooked: usize,
    },
    /// It can't be put in force any more: why.
    Refused(Vec<Finding>),
}

/// Puts the last good set in force, where none is.
pub fn run(settings: Settings) -> Result<Restored> {
    let state = StateDir::open(&settings.state)?;
    let _lock = Lock::take(&settings.state)?;
    let Some(good) = state.last_good()? else { return Ok(Restored::Nothing) };
    let kernel = KernelConfig { bpffs: settings.bpffs.clone(), ..KernelConfig::default() };
    let mut datapath = Kernel::open(&kernel)?;
    if let Some(epoch) = datapath.current() {
        return Ok(Restored::Already(epoch));
    }
    datapath.set_failsafe(&failsafe::rows(&settings.failsafe)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("could not start a runtime")?;
    let (devices, found) = runtime.block_on(Devices::open())?;
    let hierarchy = super::cgroups(&settings.cgroup_root)?;
    let names = Names::default();
    let feed = Feed::new(names.clone());
    let mut engine = Engine::new(settings, Box::new(datapath), state, names, feed);
    if let Some((root, hierarchy)) = &hierarchy {
        engine.know_cgroups(root.clone(), hierarchy.all());
    }
    Ok(match engine.restore(&good, found, devices.host()) {
        Ok(hooked) => Restored::InForce { since: good.since, hooked },
        Err(findings) => Restored::Refused(findings),
    })
}
