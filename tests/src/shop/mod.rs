//! A small shop that is busy: servers, clients, and a shell on its host, as `cargo xtask demo --open` gives it to a person and the test of
//! docs/WALKTHROUGH.md to itself.
//!
//! Nothing judges its packets until somebody applies policies. Five workloads know each other, the internet sends customers and somebody
//! who looks for open ports, and one job doesn't run by itself: what no recording of a quiet day shows.

mod errand;
mod servers;
mod tools;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use crate::{Daemon, DaemonOptions, Workload, World};
use errand::ERRANDS;

/// Name, device on the host, last number of its addresses.
const WORKLOADS: [(&str, &str, u8); 5] = [
    ("web", "enf-web", 10),
    ("checkout", "enf-checkout", 20),
    ("ledger", "enf-ledger", 30),
    ("batch", "enf-batch", 40),
    ("metrics", "enf-metrics", 50),
];
/// What lies beyond the host, and the device that leads there.
const INTERNET: &str = "internet";
const UPLINK: &str = "uplink";
/// Addresses out there: the blocks that are kept for documentation.
const OUT_THERE: [&str; 2] = ["198.51.100.0/24", "203.0.113.0/24"];

/// The shop, for as long as it isn't dropped.
#[derive(Debug)]
pub struct Shop {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    world: World,
}

impl Shop {
    /// Makes the shop in a world, starts a daemon without policies, and lets the business begin.
    pub fn open(mut world: World, program: Option<PathBuf>) -> Result<Self> {
        for (name, device, number) in WORKLOADS {
            let v6 = format!("fd77::{number}").parse().context("digits make an address")?;
            world.add(name, device, [10, 77, 0, number].into(), v6)?;
        }
        let v6 = "2001:db8:100::1".parse().context("a written address")?;
        let internet = world.add(INTERNET, UPLINK, [198, 51, 100, 1].into(), v6)?;
        let routes = OUT_THERE.map(|block| format!("route add {block} dev {UPLINK}"));
        world.ip(&routes.each_ref().map(String::as_str))?;
        errand::move_in(&internet)?;
        // A setting without effect in this build, of which every `status` would warn.
        let settings = vec![("cgroupRoot".to_owned(), serde_yaml::Value::Null)];
        world.start_daemon(DaemonOptions { program, settings, ..DaemonOptions::default() })?;
        tools::install(&mut world)?;

        let mut shop = Self { stop: Arc::default(), threads: Vec::new(), world };
        for workload in shop.world.workloads() {
            shop.threads.extend(servers::serve(workload, &shop.stop)?);
        }
        for errand in &ERRANDS {
            let (from, to) = (shop.member(errand.from)?.clone(), shop.member(errand.to)?.clone());
            let stop = shop.stop.clone();
            shop.threads.push(thread::spawn(move || errand.run(&from, &to, &stop)));
        }
        Ok(shop)
    }

    /// A shell on the host, in a directory of its own, with what the walkthrough uses on its path.
    pub fn shell(&mut self) -> Command {
        let dir = self.world.dir();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.world.host().command("bash");
        command
            .current_dir(tools::desk(&dir))
            .env("PATH", format!("{}:{path}", tools::bin(&dir).display()))
            .env("ENFORCER_SOCKET", self.world.daemon().socket());
        command
    }

    /// What an interactive [shell](Self::shell) reads first.
    #[must_use]
    pub fn greeting(&self) -> PathBuf {
        tools::greeting(&self.world.dir())
    }

    /// Where the [shell](Self::shell) begins.
    #[must_use]
    pub fn desk(&self) -> PathBuf {
        tools::desk(&self.world.dir())
    }

    /// The daemon.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.world.daemon()
    }

    fn member(&self, name: &str) -> Result<&Workload> {
        let mut members = self.world.workloads().iter();
        members.find(|member| member.name() == name).with_context(|| format!("no `{name}` in the shop"))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _said = thread.join();
        }
    }
}
