//! Posture: labels that somebody attests of a workload, for a time.
//!
//! They are written over the tables in place, with the instant at which they end; past it the kernel judges without them by itself, and the
//! daemon then only forgets. That instant is one of the boot-time clock: setting the wall clock makes no posture longer.
//!
//! What was attested is kept before it is in force, so that no daemon that comes after this one believes what has been taken back.

use super::{Engine, Refused};
use crate::daemon::clock::Instants;
use crate::daemon::state::{KeptPosture, boot};
use crate::protocol::{ActionRecord, PostureReply, PostureRequest, PostureStatus};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::document::check_posture;
use enforcer_policy::model::{Labels, Lease};
use jiff::{SignedDuration, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{debug, error, info, warn};

/// Workloads that anything may be attested of at once.
const MOST: usize = 4_096;
/// Labels of one workload.
const LABELS: usize = 32;
/// The bounds of a time to live, seconds.
const TTL: std::ops::RangeInclusive<u64> = 1..=24 * 3600;

/// What is attested of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posture {
    pub(crate) labels: Labels,
    /// Until when, boot-time clock, nanoseconds.
    pub(crate) until: u64,
}

impl Posture {
    /// As the compiler takes it, where `now` is the instant that it compiles for.
    pub(crate) fn lease(&self, now: Instants) -> Lease {
        Lease { labels: self.labels.clone(), until: now.wall_of(self.until) }
    }
}

/// What is attested, by workload.
#[derive(Debug, Default)]
pub(super) struct Postures {
    pub(super) all: BTreeMap<String, Posture>,
    /// What is kept of it can't be read.
    damage: Option<String>,
}

impl Postures {
    pub(super) fn new(kept: anyhow::Result<Vec<KeptPosture>>) -> Self {
        match kept {
            Ok(kept) => {
                let (now, boot) = (Instants::now(), boot());
                let all = kept.into_iter().filter_map(|one| {
                    let until = if one.boot == boot { one.until_boot } else { now.boot_of(one.until) };
                    // A clock that was set back, or isn't set yet, would make it last longer than anything may.
                    let left = until.saturating_sub(now.boot);
                    let lasts = left > 0 && left <= *TTL.end() * 1_000_000_000;
                    lasts.then_some((one.workload, Posture { labels: one.labels, until }))
                });
                Self { all: all.collect(), damage: None }
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "cannot tell what was attested");
                Self { all: BTreeMap::new(), damage: Some(format!("{error:#}")) }
            }
        }
    }

    /// Why nobody knows what was attested.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// What is attested of this workload.
    pub(super) fn lease(&self, workload: &str, now: Instants) -> Option<Lease> {
        self.all.get(workload).map(|posture| posture.lease(now))
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<jiff::Timestamp> {
        let next = self.all.values().map(|posture| posture.until).min()?;
        Some(Instants::now().wall_of(next))
    }

    pub(super) fn status(&self) -> Vec<PostureStatus> {
        let now = Instants::now();
        self.all.iter().map(|(workload, posture)| status(workload, Some(posture), now)).collect()
    }

    fn kept(&self) -> Vec<KeptPosture> {
        let (now, boot) = (Instants::now(), boot());
        let one = |(workload, posture): (&String, &Posture)| KeptPosture {
            workload: workload.clone(),
            labels: posture.labels.clone(),
            until: now.wall_of(posture.until),
            boot: boot.clone(),
            until_boot: posture.until,
        };
        self.all.iter().map(one).collect()
    }
}

/// An instant as it is shown. The two clocks are never read at once, so what is finer would change from one time to the next.
fn shown_until(posture: &Posture, now: Instants) -> String {
    let until = now.wall_of(posture.until);
    until.round(Unit::Millisecond).unwrap_or(until).to_string()
}

fn status(workload: &str, posture: Option<&Posture>, now: Instants) -> PostureStatus {
    PostureStatus {
        workload: workload.to_owned(),
        labels: posture.map(|posture| (*posture.labels).clone()).unwrap_or_default(),
        until: posture.map(|posture| shown_until(posture, now)),
    }
}

impl PostureRequest {
    /// What is wrong with it, whatever is enforced; else for how many nanoseconds it holds, where it says any label.
    pub(crate) fn check(&self) -> Result<Option<u64>, Refused> {
        let refused = |message: String, help: &str| Refused { message, help: Some(help.to_owned()) };
        if self.labels.len() > LABELS {
            let message = format!("`{}` labels are too many", self.labels.len());
            return Err(refused(message, &format!("{LABELS} are the most")));
        }
        for (key, value) in &self.labels {
            let help = "for example `posture.disk: encrypted`";
            check_posture(key, value).map_err(|message| refused(message, help))?;
        }
        let help = "a time is a number with a unit, from `1s` to `24h`, for example `10m`";
        match &self.ttl {
            None if self.labels.is_empty() => Ok(None),
            None => Err(refused("labels without a `ttl` would hold for good".to_owned(), help)),
            Some(text) => {
                let seconds = text.parse::<SignedDuration>().ok().filter(|ttl| ttl.subsec_nanos() == 0);
                let seconds = seconds.and_then(|ttl| u64::try_from(ttl.as_secs()).ok());
                match seconds.filter(|seconds| TTL.contains(seconds)) {
                    Some(seconds) => Ok((!self.labels.is_empty()).then_some(seconds * 1_000_000_000)),
                    None => Err(refused(format!("`{}` is no time to live", shown(text)), help)),
                }
            }
        }
    }
}

impl Engine {
    /// Takes what is attested of a workload for what was before.
    pub(super) fn attest(
        &mut self,
        workload: &str,
        request: &PostureRequest,
    ) -> Result<PostureReply, Refused> {
        let ttl = request.check()?;
        let Some(live) = &self.live else { return Err(super::explain::nothing()) };
        if live.workload(workload).is_none() {
            return Err(super::quarantine::unknown(workload, &live.compiled));
        }
        let now = Instants::now();
        let posture = ttl.map(|ttl| Posture {
            labels: request.labels.clone().into_iter().collect(),
            until: now.boot.saturating_add(ttl),
        });
        if posture.is_some() && !self.postures.all.contains_key(workload) && self.postures.all.len() >= MOST {
            return Err(Refused {
                message: format!("something is attested of {MOST} workloads already"),
                help: Some(
                    "take away what is needed no longer: `enforcer posture WORKLOAD --clear`".to_owned(),
                ),
            });
        }
        let before = self.replace_posture(workload, posture.clone());
        let changed = before.as_ref().map(|one| &one.labels) != posture.as_ref().map(|one| &one.labels);
        let written = self.keep_postures().and_then(|()| self.write_posture(workload));
        let epoch = match written {
            Ok(epoch) => epoch,
            Err(refused) => {
                self.replace_posture(workload, before);
                // Whatever of it could be written: as it was before.
                let undone = self.keep_postures().and_then(|()| self.write_posture(workload));
                if let Err(refused) = undone {
                    error!(error = refused.message, "could not take back what was attested");
                }
                return Err(refused);
            }
        };
        let status = status(workload, posture.as_ref(), now);
        if changed {
            info!(workload = shown(workload), until = status.until, "attested");
            self.tell_posture(&status, epoch);
        } else {
            debug!(workload = shown(workload), until = status.until, "attested again");
        }
        Ok(PostureReply {
            schema: "enforcer.posture/v1".to_owned(),
            epoch,
            posture: status,
            warnings: self.nowhere(workload).into_iter().collect(),
        })
    }

    fn replace_posture(&mut self, workload: &str, posture: Option<Posture>) -> Option<Posture> {
        match posture {
            Some(posture) => self.postures.all.insert(workload.to_owned(), posture),
            None => self.postures.all.remove(workload),
        }
    }

    /// Forgets what was attested of a workload that has gone: who comes back under its name may be another.
    pub(super) fn forget_posture(&mut self, workload: &str) {
        if self.replace_posture(workload, None).is_some() {
            info!(workload = shown(workload), "attested no longer: it has gone");
            // Said where it failed. It isn't in force in any case.
            let _ = self.keep_postures();
        }
    }

    /// The same, for all that are in no set any more.
    pub(super) fn forget_absent_postures(&mut self) {
        let behind = self.trial.as_ref().map(|trial| &trial.before);
        let is_there = |name: &str| self.live.iter().chain(behind).any(|live| live.workload(name).is_some());
        let absent: Vec<String> = self.postures.all.keys().filter(|name| !is_there(name)).cloned().collect();
        absent.iter().for_each(|name| self.forget_posture(name));
    }

    /// Forgets what was attested and whose time is over: the kernel judges without it already.
    pub(super) fn end_postures(&mut self, now: Instants) {
        let over = self.postures.all.iter().filter(|(_, posture)| posture.until <= now.boot);
        let over: Vec<String> = over.map(|(workload, _)| workload.clone()).collect();
        if over.is_empty() {
            return;
        }
        // Flows that the kernel judged anew at the deadline are told from then.
        let ended = over.iter().filter_map(|workload| self.postures.all.remove(workload));
        let at = ended.map(|posture| posture.until).min().unwrap_or(now.boot);
        let noticed = std::mem::replace(&mut self.noticed, at);
        // Said already where it failed; what is over stays over.
        let _ = self.keep_postures();
        for workload in over {
            let epoch = self.write_posture(&workload).unwrap_or_else(|refused| {
                warn!(error = refused.message, "could not forget what is attested no longer");
                self.datapath.current().unwrap_or(0)
            });
            info!(workload = shown(&workload), "attested no longer: its time is over");
            self.tell_posture(&status(&workload, None, now), epoch);
        }
        self.noticed = noticed;
    }

    /// Writes what is attested of a workload over the tables in force, and those that may come in force again.
    fn write_posture(&mut self, name: &str) -> Result<u32, Refused> {
        let now = Instants::now();
        let lease = self.postures.lease(name, now);
        if !self.write_posture_behind(name, lease.as_ref(), now) {
            return Err(self.not_written());
        }
        let known = self.live.as_ref().and_then(|live| live.workload(name)).cloned();
        let Some(mut workload) = known else { return Ok(self.datapath.current().unwrap_or(0)) };
        workload.set_lease(lease);
        if self.upsert_live(&workload, now) {
            self.watch_thresholds();
            return Ok(self.datapath.current().unwrap_or(0));
        }
        if self.trial.is_some() {
            return Err(self.not_written());
        }
        let generation = self.generation;
        self.refresh("what is attested of a workload changed");
        if self.generation == generation {
            return Err(self.not_written());
        }
        Ok(self.datapath.current().unwrap_or(0))
    }

    /// During a trial, in the set before it, where the workload may be another.
    fn write_posture_behind(&mut self, name: &str, lease: Option<&Lease>, now: Instants) -> bool {
        let Some(trial) = &mut self.trial else { return true };
        let Some(mut workload) = trial.before.workload(name).cloned() else { return true };
        workload.set_lease(lease.cloned());
        trial.numbers = None;
        let compiled = Arc::make_mut(&mut trial.before.compiled);
        let Ok(Some(delta)) = compiled.upsert_workload(&workload, &mut self.numbers, now.clock()) else {
            return false;
        };
        trial.before.put(&workload);
        self.write_behind(&delta)
    }

    fn not_written(&self) -> Refused {
        error!("could not write over the tables what is attested");
        let help = format!("epoch {} is in force", self.datapath.current().unwrap_or(0));
        Refused { message: "the packet path could not take it".to_owned(), help: Some(help) }
    }

    fn keep_postures(&mut self) -> Result<(), Refused> {
        match self.state.keep_postures(self.postures.kept()) {
            Ok(()) => {
                self.postures.damage = None;
                Ok(())
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "could not keep what is attested");
                Err(Refused { message: format!("it could not be kept: {error:#}"), help: None })
            }
        }
    }

    fn tell_posture(&self, status: &PostureStatus, epoch: u32) {
        self.feed.acted(ActionRecord {
            action: "posture".to_owned(),
            workload: Some(status.workload.clone()),
            until: status.until.clone(),
            labels: status.labels.clone(),
            epoch,
            ..ActionRecord::now()
        });
    }
}
