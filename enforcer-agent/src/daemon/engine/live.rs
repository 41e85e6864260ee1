//! The live set that is in force.

use crate::pipeline::Ready;
use crate::protocol::Finding;
use enforcer_policy::compile::Compiled;
use enforcer_policy::document::ParsedFile;
use enforcer_policy::model::{PolicySet, Workload};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// The live set that is in force.
#[derive(Debug)]
pub(super) struct Live {
    /// The files it was read from, watched and applied, in reading order.
    pub(super) files: Vec<Arc<ParsedFile>>,
    pub(super) set: PolicySet,
    pub(super) compiled: Arc<Compiled>,
    /// When it was put in force.
    pub(super) since: Timestamp,
    pub(super) warnings: Vec<Finding>,
    pub(super) not_yet_enforced: Vec<Finding>,
    /// When the next of its policies ends.
    pub(super) next_expiry: Option<Timestamp>,
    /// Where each workload stands in the set.
    places: HashMap<String, usize>,
}

impl Live {
    pub(super) fn new(files: Vec<Arc<ParsedFile>>, ready: Ready, now: Timestamp) -> Self {
        let Ready { set, compiled, warnings, not_yet_enforced, .. } = ready;
        let next_expiry = next_expiry(&set, now);
        let named = set.workloads.iter().enumerate();
        let places = named.map(|(place, workload)| (workload.name.clone(), place)).collect();
        let compiled = Arc::new(compiled);
        Self { files, set, compiled, since: now, warnings, not_yet_enforced, next_expiry, places }
    }

    /// Whether these files are the ones in force.
    pub(super) fn is_of(&self, files: &[Arc<ParsedFile>]) -> bool {
        self.files.len() == files.len()
            && self
                .files
                .iter()
                .zip(files)
                .all(|(ours, theirs)| Arc::ptr_eq(ours, theirs) || ours.source() == theirs.source())
    }

    /// How many documents there are of each kind.
    pub(super) fn documents(&self) -> [(&'static str, usize); 5] {
        let set = &self.set;
        [
            ("Workload", set.workloads.len()),
            ("AddressGroup", set.groups.len()),
            ("FlowPolicy", set.policies.len()),
            ("Segment", set.segments.len()),
            ("FlowTest", set.tests.len()),
        ]
    }

    /// The workload of this name.
    pub(super) fn workload(&self, name: &str) -> Option<&Workload> {
        self.set.workloads.get(*self.places.get(name)?)
    }

    /// Adds a workload, or takes it for the one of its name, which is given back.
    pub(super) fn put(&mut self, workload: &Workload) -> Option<Workload> {
        match self.places.get(&workload.name).and_then(|place| self.set.workloads.get_mut(*place)) {
            Some(known) => Some(std::mem::replace(known, workload.clone())),
            None => {
                self.places.insert(workload.name.clone(), self.set.workloads.len());
                self.set.workloads.push(workload.clone());
                None
            }
        }
    }

    /// Takes a workload out of the set.
    pub(super) fn take(&mut self, name: &str) -> Option<Workload> {
        let place = self.places.remove(name)?;
        let taken = self.set.workloads.swap_remove(place);
        if let Some(moved) = self.set.workloads.get(place) {
            self.places.insert(moved.name.clone(), place);
        }
        Some(taken)
    }
}

pub(super) fn next_expiry(set: &PolicySet, now: Timestamp) -> Option<Timestamp> {
    set.policies.iter().filter_map(|policy| policy.expires).filter(|expires| *expires > now).min()
}
