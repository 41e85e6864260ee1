//! An applied set on trial: in force until a deadline that the kernel keeps, and then the generation before it is again, unless it was
//! confirmed.
//!
//! Both generations stand in the kernel for that long, and neither may be written over. So what changes meanwhile either goes into both in place (devices,
//! one workload, the machine's addresses, quarantines), or waits until the trial has ended. What counts on disk is the set before: a
//! daemon that dies takes the trial with it.

use super::live::{self, Live};
use super::{Engine, Refused};
use crate::daemon::clock::Instants;
use crate::daemon::state::{Applied, OnTrial};
use crate::datapath::Epoch;
use crate::protocol::{ActionRecord, ConfirmReply, TrialStatus};
use enforcer_common::maps::Subject;
use enforcer_policy::compile::{Delta, Numbers};
use enforcer_policy::document::ParsedFile;
use jiff::Timestamp;
use std::sync::Arc;
use tracing::{error, info, warn};

/// The trial that is under way.
#[derive(Debug)]
pub(super) struct Trial {
    /// What is in force again if nobody confirms.
    pub(super) before: Live,
    applied: Applied,
    applied_files: Vec<Arc<ParsedFile>>,
    /// As they were before; none once something has changed in place.
    pub(super) numbers: Option<Numbers>,
    since: Timestamp,
    until: Instants,
    /// Something waits for its end.
    waiting: bool,
}

impl Trial {
    /// How long it goes on, nanoseconds.
    fn left(&self) -> u64 {
        self.until.boot.saturating_sub(Instants::now().boot)
    }

    pub(super) fn until(&self) -> Instants {
        self.until
    }

    pub(super) fn status(&self) -> TrialStatus {
        TrialStatus {
            since: self.since.to_string(),
            until: self.until.wall.to_string(),
            left_ms: self.left() / 1_000_000,
        }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting
    }
}

impl Engine {
    /// The set that was put in force just now is on trial.
    pub(super) fn begin_trial(&mut self, until: Instants, before: Live, numbers: Numbers) {
        self.rolled_back = None;
        self.trial = Some(Trial {
            before,
            applied: self.applied.clone(),
            applied_files: self.applied_files.clone(),
            numbers: Some(numbers),
            since: Timestamp::now(),
            until,
            waiting: false,
        });
        // Devices that only the new set claims are hooked from now on: to the old one they are let go.
        let wanted: Vec<(u32, Option<Subject>)> =
            self.behind_subjects().into_iter().map(|(ifindex, subject)| (ifindex, Some(subject))).collect();
        if let Err(error) = self.datapath.apply_behind(&Delta::default(), &wanted) {
            error!(%error, "could not prepare the set before for its return");
        }
        self.note_fallback(self.datapath.current().unwrap_or(0));
        self.tell_trial("trial", Some(until.wall), None);
    }

    /// What comes by itself after `epoch`, once the time of a trial has passed.
    pub(super) fn note_fallback(&self, epoch: Epoch) {
        if let Some(trial) = &self.trial {
            self.note(epoch.saturating_add(1), trial.until.boot, None);
        }
    }

    /// Keeps a trial from being forgotten by a daemon that comes after this one.
    pub(super) fn keep_trial(&self, applied: &Applied, until: Timestamp) -> anyhow::Result<()> {
        let schema = "enforcer.trial/v1".to_owned();
        self.state.keep_trial(Some(&OnTrial { schema, since: applied.at.clone(), until: until.to_string() }))
    }

    /// During a trial, notes that there is something to be done after it.
    pub(super) fn waits_for_trial(&mut self, what: &str) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        if !trial.waiting {
            info!(what, "waits until the applied set is confirmed or rolled back");
        }
        trial.waiting = true;
        let now = Timestamp::now();
        for live in self.live.iter_mut().chain([&mut trial.before]) {
            // The kernel keeps expiries by itself; what is past needs no word of ours now.
            live.next_expiry = live::next_expiry(&live.set, now);
        }
        true
    }

    /// Makes the set on trial the applied set.
    pub(super) fn confirm(&mut self) -> Result<ConfirmReply, Refused> {
        let refused = |message: String| Refused { message, help: None };
        let Some(trial) = &self.trial else {
            let help = "`enforcer apply --confirm 60s` puts a set in force that does".to_owned();
            return Err(Refused {
                message: "no applied set waits for a confirmation".to_owned(),
                help: Some(help),
            });
        };
        if trial.left() == 0 {
            self.fall_back("it was not confirmed in time");
            return Err(refused("the time is over: the applied set was rolled back".to_owned()));
        }
        let failed =
            |error: anyhow::Error| refused(format!("it could not be kept, and is still on trial: {error:#}"));
        let staged = self.state.stage(&self.applied).map_err(failed)?;
        self.state.remember(&trial.applied).map_err(failed)?;
        staged.commit().map_err(failed)?;
        self.announce(self.next_end());
        let epoch = self.datapath.end_trial(true).map_err(|error| refused(error.to_string()))?;
        if let Err(error) = self.state.keep_trial(None) {
            warn!(error = format!("{error:#}"), "could not forget a trial that was confirmed");
        }
        let waiting = self.trial.take().is_some_and(|trial| trial.waiting);
        info!(epoch, "the applied set is confirmed");
        self.tell_trial("confirm", None, None);
        self.unkept = Some(std::time::Instant::now() + super::KEPT_AFTER);
        // What only the set before claims is let go now.
        self.settle();
        let reply = ConfirmReply {
            schema: "enforcer.confirm/v1".to_owned(),
            since: self.applied.at.clone(),
            files: self.applied.files.len(),
            epoch,
        };
        self.look(waiting);
        Ok(reply)
    }

    /// Ends a trial whose time has passed.
    pub(super) fn end_trial_in_time(&mut self) {
        if self.trial.as_ref().is_some_and(|trial| trial.left() == 0) {
            self.fall_back("it was not confirmed in time");
        }
    }

    /// Puts the set before the trial in force again.
    pub(super) fn fall_back(&mut self, why: &str) {
        let Some(trial) = self.trial.take() else { return };
        // Flows that the kernel judged anew at the deadline are told from then.
        let now = self.noticed;
        self.noticed = now.min(trial.until.boot);
        self.announce(self.next_end());
        self.noticed = now;
        if let Err(error) = self.datapath.end_trial(false) {
            error!(%error, "could not put the set before the trial in force");
        }
        let wanted = {
            let live = self.live.as_ref();
            self.interfaces.behind(&trial.before.compiled.subjects, live.map(|live| &*live.compiled.subjects))
        };
        self.interfaces.written(&wanted);
        let Trial { before, applied, applied_files, numbers, waiting, .. } = trial;
        self.names.learn(before.compiled.identities.values(), &before.compiled.rules);
        self.names.locate(&before.set, &self.host, &before.compiled.identities);
        self.live = Some(before);
        (self.applied, self.applied_files) = (applied, applied_files);
        if let Some(numbers) = numbers {
            self.numbers = numbers;
        }
        self.generation += 1;
        if let Err(error) = self.state.keep_trial(None) {
            warn!(error = format!("{error:#}"), "could not forget a trial that is over");
        }
        self.tell_rollback(why);
        // As a whole, so that nothing is left of what only the other set claimed.
        self.refresh("the applied set was rolled back");
        self.look(waiting);
    }

    /// Looks what became of a trial that the last daemon began.
    pub(super) fn adopt_trial(&mut self) {
        let on_trial = self.datapath.is_on_trial();
        let known = self.state.trial().unwrap_or_else(|error| {
            warn!(error = format!("{error:#}"), "cannot tell whether an applied set was on trial");
            None
        });
        if !on_trial && known.is_none() {
            return;
        }
        // Committed to disk, and the daemon ended before it could say so to the kernel.
        let confirmed = known.as_ref().is_some_and(|trial| trial.since == self.applied.at);
        if on_trial && let Err(error) = self.datapath.end_trial(confirmed) {
            error!(%error, "could not end the trial of an applied set");
        }
        if let Err(error) = self.state.keep_trial(None) {
            warn!(error = format!("{error:#}"), "could not forget a trial that is over");
        }
        if !confirmed {
            self.tell_rollback("the daemon ended before it was confirmed");
        }
    }

    fn tell_rollback(&mut self, why: &str) {
        warn!(why, "the applied set was rolled back");
        let now = Timestamp::now();
        self.rolled_back = Some(format!("an applied set was rolled back at {now}: {why}"));
        self.tell_trial("rollback", None, Some(why));
    }

    fn tell_trial(&self, action: &str, until: Option<Timestamp>, why: Option<&str>) {
        self.feed.acted(ActionRecord {
            action: action.to_owned(),
            until: until.map(|until| until.to_string()),
            why: why.map(str::to_owned),
            epoch: self.datapath.current().unwrap_or(0),
            ..ActionRecord::now()
        });
    }

    /// Whose every device is to the set before the trial.
    fn behind_subjects(&self) -> Vec<(u32, Subject)> {
        let Some(trial) = &self.trial else { return Vec::new() };
        let live = self.live.as_ref().map(|live| &*live.compiled.subjects);
        self.interfaces.behind(&trial.before.compiled.subjects, live)
    }

    /// Says of one device whose it is to the set before the trial.
    pub(super) fn write_behind_device(&mut self, ifindex: u32) {
        if self.trial.is_none() {
            return;
        }
        let wanted = self.behind_subjects().into_iter().find(|(index, _)| *index == ifindex);
        let change = [(ifindex, wanted.map(|(_, subject)| subject))];
        if let Err(error) = self.datapath.apply_behind(&Delta::default(), &change) {
            warn!(ifindex, %error, "could not tell the set before the trial whose an interface is");
        }
    }

    /// Writes a change over the tables of the set before the trial.
    pub(super) fn write_behind(&mut self, delta: &Delta) -> bool {
        let devices = !delta.subjects.is_empty() || !delta.removed_subjects.is_empty();
        let residents = delta.subjects.iter().flat_map(|plan| &plan.hosted).map(|(n, one)| (*n, Some(*one)));
        let mut wanted: Vec<(u32, Option<Subject>)> = match devices {
            true => {
                self.behind_subjects().into_iter().map(|(index, subject)| (index, Some(subject))).collect()
            }
            false => Vec::new(),
        };
        wanted.extend(residents);
        if delta.is_empty() {
            return true;
        }
        match self.datapath.apply_behind(delta, &wanted) {
            Ok(_) => true,
            Err(error) => {
                warn!(%error, "could not change the set before the trial in place");
                false
            }
        }
    }
}
