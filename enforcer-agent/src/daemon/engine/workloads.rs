//! Changes that don't need the whole set compiled again: one workload that comes, changes or goes, and the
//! machine's own addresses.

use super::Engine;
use crate::pipeline::Sound;
use enforcer_policy::compile::{Delta, IdentityKind};
use enforcer_policy::document::ParsedFile;
use enforcer_policy::model::{PolicySet, Workload};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tracing::{debug, info};

/// The one difference between two sets.
enum Difference<'a> {
    /// There is none.
    None,
    /// One workload is new, or says something else.
    Upsert(&'a Workload),
    /// One workload is gone.
    Remove(&'a str),
}

/// `None` where there are several differences, or others than of a workload.
fn difference<'a>(old: &'a PolicySet, new: &'a PolicySet) -> Option<Difference<'a>> {
    let counts = (old.workloads.len(), new.workloads.len());
    if counts.0.abs_diff(counts.1) > 1
        || old.groups != new.groups
        || old.policies != new.policies
        || old.segments != new.segments
    {
        return None;
    }
    let known: HashMap<&str, &Workload> =
        old.workloads.iter().map(|workload| (workload.name.as_str(), workload)).collect();
    let mut changed =
        new.workloads.iter().filter(|workload| known.get(workload.name.as_str()) != Some(workload));
    let first = changed.next();
    if changed.next().is_some() {
        return None;
    }
    match (counts.0.cmp(&counts.1), first) {
        (std::cmp::Ordering::Equal, None) => Some(Difference::None),
        (std::cmp::Ordering::Equal, Some(workload)) if known.contains_key(workload.name.as_str()) => {
            Some(Difference::Upsert(workload))
        }
        (std::cmp::Ordering::Less, Some(workload)) => Some(Difference::Upsert(workload)),
        (std::cmp::Ordering::Greater, None) => {
            let mut left: std::collections::HashSet<&str> = known.into_keys().collect();
            for workload in &new.workloads {
                left.remove(workload.name.as_str());
            }
            left.into_iter().next().map(Difference::Remove)
        }
        _ => None,
    }
}

impl Engine {
    /// Makes the change in place where that can be done; gives the set back where it can't.
    pub(super) fn change_in_place(&mut self, files: &[Arc<ParsedFile>], sound: Sound) -> Option<Sound> {
        let began = Instant::now();
        let Some(live) = &mut self.live else { return Some(sound) };
        let Some(found) = difference(&live.set, &sound.set) else { return Some(sound) };
        let before = |name: &str| live.set.workloads.iter().find(|workload| workload.name == name);
        let (name, before, after) = match found {
            Difference::None => {
                self.adopt(files, sound);
                return None;
            }
            Difference::Upsert(workload) => (&*workload.name, before(&workload.name), Some(workload)),
            Difference::Remove(name) => (name, before(name), None),
        };
        let delta = match after {
            Some(workload) => live.compiled.upsert_workload(workload, &mut self.numbers),
            None => live.compiled.remove_workload(name, &mut self.numbers),
        };
        // What can't be done in place may still be possible as a whole: that will tell.
        let Ok(Some(delta)) = delta else { return Some(sound) };
        let identity = live.compiled.identities.values().find(|identity| {
            identity.kind == IdentityKind::Workload && identity.name == name && after.is_some()
        });
        self.names.learn(identity, []);
        let addresses =
            |workload: Option<&Workload>| workload.map_or(Vec::new(), |found| found.addresses.clone());
        let number = identity.map(|identity| identity.number);
        self.names.relocate(&addresses(before), &addresses(after), number);
        if !self.write(&delta) {
            return Some(sound);
        }
        self.adopt(files, sound);
        if let Some(live) = &mut self.live {
            live.since = Timestamp::now();
        }
        self.generation += 1;
        self.settle();
        info!(took = ?began.elapsed(), "one workload changed");
        None
    }

    /// The tables say what this set says; from now on it is the one in force.
    fn adopt(&mut self, files: &[Arc<ParsedFile>], sound: Sound) {
        let Some(live) = &mut self.live else { return };
        live.files = files.to_vec();
        live.set = sound.set;
        live.warnings = sound.warnings;
        live.not_yet_enforced = sound.not_yet_enforced;
        self.unkept = true;
    }

    /// Tells the set in force the machine's new addresses; whether that was possible in place.
    pub(super) fn host_in_place(&mut self) -> bool {
        let Some(live) = &mut self.live else { return true };
        match live.compiled.set_host_addresses(&self.host) {
            Ok(Some(delta)) => {
                self.names.locate(&live.set, &self.host, &live.compiled.identities);
                self.write(&delta)
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Writes a change over the tables, with the subjects of the devices it concerns.
    fn write(&mut self, delta: &Delta) -> bool {
        let Some(live) = &self.live else { return false };
        let wanted = self.subjects(&live.compiled.subjects);
        let changed = self.interfaces.changed(&wanted);
        match self.datapath.apply_delta(delta, &changed) {
            Ok(epoch) => {
                self.interfaces.written(&wanted);
                debug!(epoch, "changed in place");
                true
            }
            Err(error) => {
                debug!(%error, "could not change in place");
                false
            }
        }
    }
}
