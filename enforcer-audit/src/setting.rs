//! What recorded traffic is judged by.

use enforcer_flows::Time;
use enforcer_policy::model::{Labels, PolicySet, SegmentMode};
use jiff::Timestamp;
use std::net::IpAddr;

/// Everything that the verdicts depend on, beside the traffic.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The documents, free of errors.
    pub set: PolicySet,
    /// Addresses of the machines themselves, where no Workload claims them.
    pub host: Vec<IpAddr>,
    /// Mode of workloads that no Segment selects.
    pub default_mode: SegmentMode,
    /// Who else is known, from an inventory. Documents win where both name an address or a name.
    pub known: Vec<Known>,
    /// Which workloads have hooks.
    pub managed: Managed,
    /// When policies are held against their expiry.
    pub at: At,
    /// Takes VLAN tags off before packets are judged, for captures from a trunk or a mirror port: the workloads' own devices carry none.
    pub untag: bool,
    /// The recording holds the first packet of every flow. What is opened before it isn't guessed at; it is `state`.
    pub from_start: bool,
    /// Counts and judges a packet that was captured twice both times.
    pub keep_repeats: bool,
}

impl Setting {
    /// Judges by these documents alone, as of `now`.
    #[must_use]
    pub fn new(set: PolicySet, now: Timestamp) -> Self {
        Self {
            set,
            host: Vec::new(),
            default_mode: SegmentMode::Enforce,
            known: Vec::new(),
            managed: Managed::default(),
            at: At::Instant(now),
            untag: false,
            from_start: false,
            keep_repeats: false,
        }
    }
}

/// A workload that an inventory knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name. Attacker-controlled text.
    pub name: String,
    /// Its identity labels. Attacker-controlled text.
    pub labels: Labels,
    /// Whether an enforcer would run on its host.
    pub managed: bool,
    /// Its addresses.
    pub addresses: Vec<Tenure>,
}

/// An address, and when it was somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The address.
    pub address: IpAddr,
    /// Since when; always, where it isn't known.
    pub from: Option<Time>,
    /// Until when, that instant not included; to this day, where it isn't known.
    pub until: Option<Time>,
}

/// Which workloads have hooks on their devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Managed {
    /// Those with a match that this build finds (an interface), those that the inventory says are managed, and those that the recording
    /// itself names. Where no document has a match and no inventory manages any, all that documents name: else nothing would be judged.
    #[default]
    AsDeployed,
    /// Every workload, as if the enforcer ran on all of their hosts.
    All,
}

/// When policies are held against their expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// All traffic, as if it came at this instant.
    Instant(Timestamp),
    /// Each packet and record at its own time.
    Own,
}
