//! Everything that is in place before the first packet.

use super::documents::{groups, mode, policies, segments, workloads};
use super::pools::addresses;
use crate::model::{PolicySet, SegmentMode};
use crate::reference::{Tracker, World};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::net::IpAddr;

/// A policy set on a host.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The documents; they are free of errors.
    pub set: PolicySet,
    /// The host's addresses; a workload may claim them.
    pub hosts: Vec<IpAddr>,
    /// Mode of workloads that no Segment selects.
    pub default_mode: SegmentMode,
}

/// Any scene: up to four workloads, four groups, six policies, three segments.
pub fn scene() -> impl Strategy<Value = Scene> {
    let documents = (workloads(), groups(), policies(), segments());
    (documents, subsequence(addresses(), 0..=2), mode()).prop_map(
        |((workloads, groups, policies, segments), hosts, default_mode)| Scene {
            set: PolicySet { workloads, groups, policies, segments, ..PolicySet::default() },
            hosts,
            default_mode,
        },
    )
}

impl Scene {
    /// What the reference judges by at `now`.
    pub fn world(&self, now: Timestamp) -> World<'_> {
        World { set: &self.set, hosts: &self.hosts, default_mode: self.default_mode, now }
    }

    /// The reference's flow tracking for this scene, before the first packet.
    pub fn tracker(&self) -> Tracker {
        Tracker::new(self.set.clone(), self.hosts.clone(), self.default_mode)
    }
}
