//! A packet path without packets: it keeps what it is told, and tells it again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use enforcer_common::maps::{Cgroup, EventCounter, Failsafe, ReasonCounter, RuleCounter, Subject, Tally};
use enforcer_policy::compile::{Delta, Image};
use ipnet::IpNet;

use super::{
    Attachment, Datapath, DatapathError, Epoch, Hook, Inspection, OpenConnection, Sink, Sweep, Usage,
};

/// The double. Fields are public so that a test can look, and play the kernel's part.
#[derive(Debug)]
pub struct Memory {
    /// The epoch in force.
    pub epoch: Option<Epoch>,
    /// The image that was installed last.
    pub image: Image,
    /// The deltas applied since.
    pub deltas: Vec<Delta>,
    /// Whose device is whose.
    pub subjects: BTreeMap<u32, Subject>,
    /// Whose cgroups are.
    pub cgroups: BTreeMap<u64, Cgroup>,
    /// The cgroup whose sockets are hooked.
    pub sockets: Option<PathBuf>,
    /// During a trial: until when, and what comes in force again.
    pub trial: Option<(u64, Image, BTreeMap<u32, Subject>)>,
    /// Connections that were taken up.
    pub taken_up: Vec<OpenConnection>,
    /// Paths of the machine itself that stay open.
    pub failsafe: Vec<(IpNet, Failsafe)>,
    /// Hooked devices.
    pub attached: BTreeSet<u32>,
    /// What [`Datapath::rule_counters`] answers.
    pub rules: Vec<RuleCounter>,
    /// What [`Datapath::verdict_counters`] answers.
    pub verdicts: Vec<ReasonCounter>,
    /// What [`Datapath::event_counters`] answers.
    pub counted: EventCounter,
    /// What the next [`Datapath::inspect`] answers.
    pub inspection: Inspection,
    /// Makes the next change fail.
    pub fail_next: Option<DatapathError>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            epoch: None,
            image: Image::default(),
            deltas: Vec::new(),
            subjects: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            sockets: None,
            trial: None,
            taken_up: Vec::new(),
            failsafe: Vec::new(),
            attached: BTreeSet::new(),
            rules: Vec::new(),
            verdicts: vec![ReasonCounter::default(); Tally::COUNT as usize],
            counted: EventCounter::default(),
            inspection: Inspection::default(),
            fail_next: None,
        }
    }
}

impl Memory {
    fn fail(&mut self) -> Result<(), DatapathError> {
        self.fail_next.take().map_or(Ok(()), Err)
    }

    fn next_epoch(&mut self) -> Epoch {
        *self.epoch.insert(self.epoch.unwrap_or(0) + 1)
    }
}

fn write(subjects: &mut BTreeMap<u32, Subject>, changes: &[(u32, Option<Subject>)]) {
    for &(ifindex, subject) in changes {
        match subject {
            Some(subject) => subjects.insert(ifindex, subject),
            None => subjects.remove(&ifindex),
        };
    }
}

impl Datapath for Memory {
    fn current(&self) -> Option<Epoch> {
        self.epoch
    }

    fn try_out(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
        until: u64,
    ) -> Result<Epoch, DatapathError> {
        let before = (until, self.image.clone(), self.subjects.clone());
        let epoch = self.install_whole(image, subjects, cgroups)?;
        self.trial = Some(before);
        Ok(epoch)
    }

    fn end_trial(&mut self, confirmed: bool) -> Result<Epoch, DatapathError> {
        self.fail()?;
        let (_, image, subjects) =
            self.trial.take().ok_or_else(|| DatapathError::new("no generation is on trial"))?;
        if !confirmed {
            (self.image, self.subjects) = (image, subjects);
        }
        Ok(self.next_epoch())
    }

    fn take_up(&mut self, connections: &[OpenConnection]) -> Result<usize, DatapathError> {
        self.taken_up.extend(connections);
        Ok(connections.len())
    }

    fn set_failsafe(&mut self, blocks: &[(IpNet, Failsafe)]) -> Result<(), DatapathError> {
        self.failsafe = blocks.to_vec();
        Ok(())
    }

    fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    fn apply_behind(
        &mut self,
        _delta: &Delta,
        changes: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.fail()?;
        let (_, _, subjects) =
            self.trial.as_mut().ok_or_else(|| DatapathError::new("no generation is on trial"))?;
        write(subjects, changes);
        Ok(self.next_epoch())
    }

    fn install_whole(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
    ) -> Result<Epoch, DatapathError> {
        self.fail()?;
        self.trial = None;
        self.cgroups = cgroups.iter().copied().collect();
        self.image = image.clone();
        self.deltas.clear();
        self.subjects = subjects.iter().copied().collect();
        Ok(self.next_epoch())
    }

    fn apply_delta(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.fail()?;
        if self.epoch.is_none() {
            return Err(DatapathError::new("nothing is installed that could be changed"));
        }
        if *delta != Delta::default() {
            self.deltas.push(delta.clone());
        }
        write(&mut self.subjects, subjects);
        Ok(self.next_epoch())
    }

    fn set_cgroups(&mut self, cgroups: &[(u64, Option<Cgroup>)]) -> Result<(), DatapathError> {
        self.fail()?;
        for &(id, whose) in cgroups {
            match whose {
                Some(whose) => self.cgroups.insert(id, whose),
                None => self.cgroups.remove(&id),
            };
        }
        Ok(())
    }

    fn judges_sockets(&self) -> bool {
        true
    }

    fn attach_cgroup(&mut self, root: &Path) -> Result<(), DatapathError> {
        self.fail()?;
        self.sockets = Some(root.to_owned());
        Ok(())
    }

    fn detach_cgroup(&mut self) -> Result<bool, DatapathError> {
        self.fail()?;
        Ok(self.sockets.take().is_some())
    }

    fn attach(&mut self, ifindex: u32, _name: &str) -> Result<Attachment, DatapathError> {
        self.fail()?;
        self.attached.insert(ifindex);
        Ok(Attachment { ifindex, hook: Hook::Tcx })
    }

    fn detach(&mut self, ifindex: u32) -> Result<bool, DatapathError> {
        self.fail()?;
        Ok(self.attached.remove(&ifindex))
    }

    fn attached(&mut self) -> Result<Vec<Attachment>, DatapathError> {
        Ok(self.attached.iter().map(|&ifindex| Attachment { ifindex, hook: Hook::Tcx }).collect())
    }

    fn rule_counters(&self, rules: u32) -> Result<Vec<RuleCounter>, DatapathError> {
        let mut counters = self.rules.clone();
        counters.resize(rules as usize, RuleCounter::default());
        Ok(counters)
    }

    fn verdict_counters(&self) -> Result<Vec<ReasonCounter>, DatapathError> {
        Ok(self.verdicts.clone())
    }

    fn event_counters(&self) -> Result<EventCounter, DatapathError> {
        Ok(self.counted)
    }

    fn events(&mut self, _sink: Sink) -> Result<(), DatapathError> {
        Ok(())
    }

    fn sweep_flows(&mut self) -> Result<Sweep, DatapathError> {
        Ok(Sweep::default())
    }

    fn inspect(&mut self) -> Inspection {
        std::mem::take(&mut self.inspection)
    }

    fn reset_rule_counters(&mut self, rules: &[u32]) -> Result<(), DatapathError> {
        for rule in rules {
            if let Some(counter) = self.rules.get_mut(*rule as usize) {
                *counter = RuleCounter::default();
            }
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<Usage>, DatapathError> {
        Ok(Vec::new())
    }

    fn remove_all(&mut self) -> Result<(), Vec<DatapathError>> {
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_raises_the_epoch_and_a_failed_one_changes_nothing() {
        let mut path = Memory::default();
        assert!(path.set_subject(7, None).is_err(), "nothing is installed yet");
        let whose = Subject { identity: 3, ..Subject::default() };
        assert_eq!(path.install(&Image::default(), &[(7, whose)]).unwrap(), 1);
        assert_eq!(path.set_subject(8, Some(whose)).unwrap(), 2);
        path.fail_next = Some(DatapathError::new("no room"));
        assert_eq!(path.install(&Image::default(), &[]).unwrap_err().to_string(), "no room");
        assert_eq!(path.current(), Some(2));
        assert_eq!(path.subjects.keys().copied().collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn removing_everything_leaves_nothing() {
        let mut path = Memory::default();
        let _ = path.install(&Image::default(), &[]).unwrap();
        let hooked = path.attach(4, "veth4").unwrap();
        assert_eq!(path.attached().unwrap(), [hooked]);
        path.remove_all().unwrap();
        assert_eq!((path.current(), path.attached().unwrap()), (None, vec![]));
    }
}
