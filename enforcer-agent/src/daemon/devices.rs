//! Devices and addresses of the host on their way to the engine.

use super::engine::{Handle, Link, Message};
use crate::links::{self, Change, Watch};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// The first answer takes milliseconds; a kernel that doesn't give one at all is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses that change together are told together: they cost more than a device does.
const TOGETHER: Duration = Duration::from_millis(20);

/// What was there at first, and the rest of the reports.
pub(super) struct Devices {
    watch: Watch,
    addresses: BTreeSet<IpAddr>,
}

impl Devices {
    /// Waits until everything that is there has been reported.
    pub(super) async fn open() -> Result<(Self, Vec<Link>)> {
        let watch = Watch::start().context("could not watch the network devices")?;
        let mut devices = Self { watch, addresses: BTreeSet::new() };
        let mut found = Vec::new();
        loop {
            let change = timeout(PATIENCE, devices.watch.next()).await;
            let change = change.context("the kernel didn't report its network devices")?;
            match change.context("the reports of network devices ended")? {
                Change::Complete => return Ok((devices, found)),
                Change::AddressAppeared(address) => drop(devices.addresses.insert(address)),
                Change::AddressGone(address) => drop(devices.addresses.remove(&address)),
                change => match message(change) {
                    Some(Message::LinkUp(link)) => found.push(link),
                    Some(Message::LinkGone(index)) => found.retain(|link: &Link| link.ifindex != index),
                    Some(_) | None => {}
                },
            }
        }
    }

    /// The machine's own addresses.
    pub(super) fn host(&self) -> Vec<IpAddr> {
        self.addresses.iter().copied().collect()
    }

    /// Tells the engine of every change.
    pub(super) async fn run(mut self, handle: Handle) -> Result<()> {
        let mut untold: Option<Instant> = None;
        loop {
            let due = untold.unwrap_or_else(|| Instant::now() + PATIENCE);
            let change = tokio::select! {
                biased;
                change = self.watch.next() => change,
                () = sleep_until(due), if untold.is_some() => {
                    untold = None;
                    handle.send(Message::Host(self.host()))?;
                    continue;
                }
            };
            let Some(change) = change else { bail!("the reports of network devices ended") };
            let changed = match &change {
                Change::AddressAppeared(address) => self.addresses.insert(*address),
                Change::AddressGone(address) => self.addresses.remove(address),
                _ => false,
            };
            if changed {
                untold.get_or_insert_with(|| Instant::now() + TOGETHER);
            }
            if let Some(message) = message(change) {
                handle.send(message)?;
            }
        }
    }
}

/// What the engine needs to know of a change of devices. The loopback device belongs to no workload, whatever a glob says.
fn message(change: Change) -> Option<Message> {
    match change {
        Change::Appeared(link) | Change::Changed(link) | Change::Renamed { link, .. } if !link.loopback => {
            let abroad = link.leads_abroad();
            let links::Link { index, name, ethernet, .. } = link;
            Some(Message::LinkUp(Link { ifindex: index, name, ethernet, abroad }))
        }
        Change::Gone(link) => Some(Message::LinkGone(link.index)),
        Change::Appeared(_)
        | Change::Changed(_)
        | Change::Renamed { .. }
        | Change::AddressAppeared(_)
        | Change::AddressGone(_)
        | Change::Complete => None,
    }
}
