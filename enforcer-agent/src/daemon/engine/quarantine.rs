//! Quarantine: who is cut off, by an operator's word or a Segment's.
//!
//! It is written over the tables in place and needs no compile, so it is done while one runs. What is compiled next is marked before it is put
//! in force. Past its end the kernel lets go by itself; the daemon then only forgets.

use super::{Engine, Refused};
use crate::daemon::clock::Instants;
use crate::protocol::{ActionRecord, QuarantineReply, QuarantineRequest, QuarantineStatus, ReleaseRequest};
use crate::selection;
use enforcer_policy::compile::{Compiled, Except, ExceptError, Quarantine};
use enforcer_policy::diagnostic::{listed, nearest, shown};
use enforcer_policy::model::PortSpec;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// Workloads that may be cut off at once; the kernel's table has room for more.
const MOST: usize = 1_024;
/// Longest `why`.
const LONGEST: usize = 1_024;
/// No quarantine lasts longer by its own word: beyond, it is one without an end.
const LONGEST_TERM: u64 = 10 * 366 * 24 * 3600;

/// Who is cut off.
#[derive(Debug, Default)]
pub(super) struct Quarantines {
    all: Vec<QuarantineStatus>,
    /// What is kept of them can't be read.
    damage: Option<String>,
}

impl Quarantines {
    pub(super) fn new(kept: anyhow::Result<Vec<QuarantineStatus>>) -> Self {
        match kept {
            Ok(mut all) => {
                // Whoever was to be let go while no daemon ran has been.
                let now = Timestamp::now();
                all.retain(|one| end(one).is_none_or(|until| until > now));
                Self { all, damage: None }
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "cannot tell who is quarantined");
                Self { all: Vec::new(), damage: Some(format!("{error:#}")) }
            }
        }
    }

    pub(super) fn all(&self) -> &[QuarantineStatus] {
        &self.all
    }

    /// Why nobody knows who is cut off.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Whether this workload is.
    pub(super) fn holds(&self, workload: &str) -> bool {
        self.all.iter().any(|one| one.workload == workload)
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.all.iter().filter_map(end).min()
    }

    /// As the compiler takes them.
    pub(super) fn plans(&self, now: Instants) -> Vec<Quarantine> {
        let plan = |one: &QuarantineStatus| Quarantine {
            workload: one.workload.clone(),
            deadline: end(one).map_or(u64::MAX, |until| now.boot_of(until)),
            except: one.except.as_deref().and_then(|text| except(text).ok()),
        };
        self.all.iter().map(plan).collect()
    }
}

fn end(quarantine: &QuarantineStatus) -> Option<Timestamp> {
    quarantine.until.as_deref()?.parse().ok()
}

/// Reads `SEL:PORT`.
fn except(text: &str) -> Result<Except, Refused> {
    let help = "for example `workload/forensics:tcp/22` or `10.0.0.7:tcp/22`";
    let refused = |message: String| Refused { message, help: Some(help.to_owned()) };
    let Some((selected, port)) = text.rsplit_once(':') else {
        return Err(refused(format!("`{}` names no port", shown(text))));
    };
    let from = selection::parse(selected).map_err(|error| refused(error.to_string()))?;
    let port = port.parse::<PortSpec>().map_err(|error| refused(error.message))?;
    Ok(Except { from, port })
}

impl QuarantineRequest {
    /// What is wrong with it, whatever is enforced.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let refused =
            |message: &str, help: &str| Refused { message: message.to_owned(), help: Some(help.to_owned()) };
        if self.why.trim().is_empty() {
            return Err(refused(
                "a quarantine has to say what it is for",
                "for example `--why \"ticket 4711\"`",
            ));
        }
        if self.why.len() > LONGEST {
            return Err(refused("`why` is too long", "1,024 bytes are the most"));
        }
        if self.seconds == Some(0) {
            return Err(refused("a quarantine of no time is none", "for example `--for 1h`"));
        }
        self.except.as_deref().map_or(Ok(()), |text| except(text).map(drop))
    }
}

impl Engine {
    /// Cuts a workload off.
    pub(super) fn quarantine(&mut self, request: &QuarantineRequest) -> Result<QuarantineReply, Refused> {
        request.check()?;
        self.hold(request, None)
    }

    /// As asked for by an operator, or by a Segment.
    pub(super) fn hold(
        &mut self,
        request: &QuarantineRequest,
        segment: Option<String>,
    ) -> Result<QuarantineReply, Refused> {
        let Some(live) = &self.live else { return Err(super::explain::nothing()) };
        if live.workload(&request.workload).is_none() {
            return Err(unknown(&request.workload, &live.compiled));
        }
        let others = self.quarantines.all.iter().filter(|one| one.workload != request.workload);
        if others.count() >= MOST {
            return Err(Refused {
                message: format!("{MOST} workloads are quarantined already"),
                help: Some("`enforcer release` lets one back".to_owned()),
            });
        }
        let now = Instants::now();
        if let Some(text) = &request.except {
            live.compiled.except(&except(text)?).map_err(|error| no_path(text, &error))?;
        }
        let until = request.seconds.filter(|seconds| *seconds <= LONGEST_TERM);
        let until = until.and_then(|seconds| now.wall.checked_add(Duration::from_secs(seconds)).ok());
        let quarantine = QuarantineStatus {
            workload: request.workload.clone(),
            since: now.wall.to_string(),
            until: until.map(|until| until.to_string()),
            except: request.except.clone(),
            why: request.why.clone(),
            segment,
        };
        let before = self.quarantines.all.clone();
        self.quarantines.all.retain(|one| one.workload != request.workload);
        self.quarantines.all.push(quarantine.clone());
        let epoch = match self.write_quarantines() {
            Ok(epoch) => epoch,
            Err(refused) => {
                self.quarantines.all = before;
                self.unmark_quarantines();
                return Err(refused);
            }
        };
        warn!(workload = shown(&quarantine.workload), why = shown(&quarantine.why), "quarantined");
        self.tell_quarantine("quarantine", &quarantine, epoch);
        self.keep_quarantines()?;
        let warnings = self.nowhere(&quarantine.workload).into_iter().collect();
        Ok(reply(true, epoch, quarantine, warnings))
    }

    /// Lets a workload back.
    pub(super) fn release(&mut self, request: &ReleaseRequest) -> Result<QuarantineReply, Refused> {
        let Some(at) = self.quarantines.all.iter().position(|one| one.workload == request.workload) else {
            let held: Vec<String> = self.quarantines.all.iter().map(|one| shown(&one.workload)).collect();
            let help = match held.is_empty() {
                true => "no workload is".to_owned(),
                false => format!("quarantined are: {}", listed(&held, 12)),
            };
            let message = format!("the workload `{}` isn't quarantined", shown(&request.workload));
            return Err(Refused { message, help: Some(help) });
        };
        let released = self.quarantines.all.remove(at);
        let epoch = match self.write_quarantines() {
            Ok(epoch) => epoch,
            Err(refused) => {
                self.quarantines.all.insert(at, released);
                self.unmark_quarantines();
                return Err(refused);
            }
        };
        info!(workload = shown(&released.workload), "released from quarantine");
        self.tell_quarantine("release", &released, epoch);
        self.keep_quarantines()?;
        Ok(reply(false, epoch, released, Vec::new()))
    }

    /// Forgets quarantines whose time is over: the kernel has let go already.
    pub(super) fn end_quarantines(&mut self, now: Instants) {
        let over = |one: &QuarantineStatus| end(one).is_some_and(|until| until <= now.wall);
        let ended: Vec<QuarantineStatus> =
            self.quarantines.all.iter().filter(|one| over(one)).cloned().collect();
        if ended.is_empty() {
            return;
        }
        self.quarantines.all.retain(|one| !over(one));
        let epoch = self.write_quarantines().unwrap_or_else(|refused| {
            warn!(error = refused.message, "could not forget a quarantine that is over");
            self.datapath.current().unwrap_or(0)
        });
        for quarantine in ended {
            info!(workload = shown(&quarantine.workload), "a quarantine is over");
            self.tell_quarantine("release", &quarantine, epoch);
        }
        // Said already where it failed; what is over stays over.
        let _ = self.keep_quarantines();
    }

    /// What the tables have to say of those who are cut off, after the set has changed in place.
    pub(super) fn mark_quarantines(&mut self) {
        if self.quarantines.all.is_empty() {
            return;
        }
        if let Err(refused) = self.write_quarantines() {
            error!(error = refused.message, "could not bring quarantines up to date");
        }
    }

    /// Writes who is cut off over the tables in force, and those that may come in force again.
    fn write_quarantines(&mut self) -> Result<u32, Refused> {
        let plans = self.quarantines.plans(Instants::now());
        let Some(live) = &mut self.live else { return Err(super::explain::nothing()) };
        let delta = Arc::make_mut(&mut live.compiled).set_quarantines(&plans);
        let behind = self
            .trial
            .as_mut()
            .map(|trial| Arc::make_mut(&mut trial.before.compiled).set_quarantines(&plans));
        let failed = |engine: &Self| {
            error!("could not write quarantines over the tables");
            let message = "the packet path could not take it".to_owned();
            let help = format!("epoch {} is in force", engine.datapath.current().unwrap_or(0));
            Refused { message, help: Some(help) }
        };
        if let Some(behind) = behind
            && !self.write_behind(&behind)
        {
            return Err(failed(self));
        }
        if !delta.is_empty() && !self.write(&delta, &[]) {
            return Err(failed(self));
        }
        Ok(self.datapath.current().unwrap_or(0))
    }

    /// After a change that couldn't be written: what is compiled says what the tables do, so that it can be tried again.
    fn unmark_quarantines(&mut self) {
        let plans = self.quarantines.plans(Instants::now());
        let trial = self.trial.as_mut().map(|trial| &mut trial.before);
        for live in self.live.iter_mut().chain(trial) {
            let _ = Arc::make_mut(&mut live.compiled).set_quarantines(&plans);
        }
    }

    fn keep_quarantines(&mut self) -> Result<(), Refused> {
        match self.state.keep_quarantines(&self.quarantines.all) {
            Ok(()) => {
                self.quarantines.damage = None;
                Ok(())
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "could not keep who is quarantined");
                let message = format!("it is in force until the daemon restarts: {error:#}");
                Err(Refused { message, help: None })
            }
        }
    }

    fn tell_quarantine(&self, action: &str, quarantine: &QuarantineStatus, epoch: u32) {
        let QuarantineStatus { workload, until, except, why, segment, .. } = quarantine.clone();
        self.feed.acted(ActionRecord {
            action: action.to_owned(),
            workload: Some(workload),
            segment,
            until,
            except,
            why: Some(why),
            epoch,
            ..ActionRecord::now()
        });
    }

    /// Where a workload has neither a hook here nor an address, nothing of it is known that could be cut.
    pub(super) fn nowhere(&self, workload: &str) -> Option<String> {
        let known = self.live.as_ref()?.workload(workload)?;
        let nowhere = known.addresses.is_empty() && known.matches.is_empty();
        nowhere.then(|| {
            format!("`{}` has neither an address nor a match: there is nothing to cut yet", shown(workload))
        })
    }
}

fn reply(
    quarantined: bool,
    epoch: u32,
    quarantine: QuarantineStatus,
    warnings: Vec<String>,
) -> QuarantineReply {
    QuarantineReply { schema: "enforcer.quarantine/v1".to_owned(), quarantined, epoch, quarantine, warnings }
}

fn no_path(text: &str, error: &ExceptError) -> Refused {
    let message = format!("no path can be left for `{}`: {error}", shown(text));
    Refused { message, help: Some("name one workload or address, and one port".to_owned()) }
}

pub(super) fn unknown(name: &str, compiled: &Compiled) -> Refused {
    let message = format!("there is no workload `{}`", shown(name));
    let known: Vec<&str> = compiled.workloads().collect();
    let near: Vec<String> =
        nearest(name, known.iter().copied(), 3).iter().map(|near| format!("`{}`", shown(near))).collect();
    let help = match near.is_empty() {
        false => format!("did you mean {}?", near.join(" or ")),
        true => "`enforcer status` lists those with a hook here".to_owned(),
    };
    Refused { message, help: Some(help) }
}
