//! `apply` and `rollback`: another applied set, after the whole live set with it has been checked and tested.

use super::cgroups::Cgroups;
use super::load::{broke, parse};
use super::{ApplyLine, Engine, lockout};
use crate::daemon::clock::Instants;
use crate::daemon::session::Session;
use crate::daemon::state::Applied;
use crate::pipeline::{Ready, Surroundings, prepare};
use crate::protocol::{ApplyReply, ApplyRequest, Finding, Outcome, Plan, RollbackRequest, TestReport};
use crate::verdicts;
use enforcer_policy::compile::{Compiled, Numbers};
use enforcer_policy::document::ParsedFile;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

/// Seconds that a trial may take.
const MIN_TRIAL: u64 = 1;
const MAX_TRIAL: u64 = 3_600;

/// How a set is put in force.
#[derive(Debug, Default, Clone, Copy)]
struct How {
    dry_run: bool,
    /// For so many seconds, unless it is confirmed.
    confirm: Option<u64>,
    force: bool,
}

/// Where a remembered set came from, if it was one.
type Remembered<'a> = Option<&'a Path>;

/// Why an applied set isn't in force.
struct Not {
    outcome: Outcome,
    findings: Vec<Finding>,
    tests: Option<TestReport>,
}

impl Not {
    fn new(outcome: Outcome, findings: Vec<Finding>) -> Self {
        Self { outcome, findings, tests: None }
    }

    fn failed(error: &anyhow::Error) -> Self {
        Self::new(Outcome::Failed, vec![Finding::placeless("error", format!("{error:#}"))])
    }
}

impl Engine {
    /// Makes the request's files the applied set.
    pub(super) fn apply(
        &mut self,
        request: ApplyRequest,
        sessions: Vec<Session>,
        replies: &UnboundedSender<ApplyLine>,
    ) {
        self.operator = sessions;
        let how = How { dry_run: request.dry_run, confirm: request.confirm, force: request.force };
        let result = self.may_apply(how);
        let result = result.and_then(|()| self.replace(Applied::new(request.files), how, None, replies));
        self.answer(result, how.dry_run, replies);
    }

    /// Whether an applied set may come now.
    fn may_apply(&self, how: How) -> Result<(), Not> {
        let refused = |message: &str, help: &str| {
            let finding = Finding::placeless("error", message.to_owned()).help(help);
            Err(Not::new(Outcome::Failed, vec![finding]))
        };
        match how.confirm {
            Some(seconds) if !(MIN_TRIAL..=MAX_TRIAL).contains(&seconds) => {
                refused("a trial takes from 1 second to 1 hour", "for example `--confirm 60s`")
            }
            Some(_) if self.live.is_none() => {
                refused("there is nothing in force to go back to", "apply without `--confirm`")
            }
            _ if self.trial.is_some() && !how.dry_run => refused(
                "the set that was applied last waits for its confirmation",
                "`enforcer confirm` or `enforcer rollback` first",
            ),
            _ => Ok(()),
        }
    }

    /// Goes back to the applied set before the last one.
    pub(super) fn rollback(
        &mut self,
        request: RollbackRequest,
        sessions: Vec<Session>,
        replies: &UnboundedSender<ApplyLine>,
    ) {
        self.operator = sessions;
        if self.trial.is_some() {
            self.fall_back("that was asked for");
            return self.answer(Ok(()), false, replies);
        }
        let how = How { force: request.force, ..How::default() };
        let result = match self.state.newest() {
            Ok(Some((applied, place))) => self.replace(applied, how, Some(&place), replies),
            Ok(None) => Err(Not::failed(&anyhow::anyhow!("there is no earlier applied set to go back to"))),
            Err(error) => Err(Not::failed(&error)),
        };
        self.answer(result, false, replies);
    }

    fn answer(&self, result: Result<(), Not>, dry_run: bool, replies: &UnboundedSender<ApplyLine>) {
        let mut reply = ApplyReply {
            schema: "enforcer.apply/v1".to_owned(),
            outcome: if dry_run { Outcome::DryRun } else { Outcome::Applied },
            epoch: self.datapath.current().unwrap_or(0),
            diagnostics: Vec::new(),
            tests: None,
            until: None,
        };
        reply.until = self.trial.as_ref().filter(|_| !dry_run).map(|trial| trial.until().wall.to_string());
        if let Err(not) = result {
            info!(outcome = ?not.outcome, "an applied set was not put in force");
            reply.outcome = not.outcome;
            reply.diagnostics = not.findings;
            reply.tests = not.tests;
        }
        // Whoever asked may have gone; what was done stays done.
        let _ = replies.send(ApplyLine::Reply(Box::new(reply)));
    }

    fn replace(
        &mut self,
        next: Applied,
        how: How,
        from: Remembered<'_>,
        replies: &UnboundedSender<ApplyLine>,
    ) -> Result<(), Not> {
        let invalid = |findings| Not::new(Outcome::Invalid, findings);
        let applied = parse(&next.files);
        let files = self.gather(&applied).map_err(invalid)?;
        let work = {
            let (files, around, numbers) = (files.clone(), self.surroundings(), self.numbers.clone());
            let old = self.live.as_ref().map(|live| Arc::clone(&live.compiled));
            let (sessions, failsafe) = (self.operator.clone(), self.settings.failsafe.clone());
            let cgroups = if sessions.is_empty() { Cgroups::default() } else { self.cgroups.clone() };
            move || {
                let old = old.as_deref();
                Ok(plan(&files, &around, numbers, old).map(|(ready, plan)| {
                    let cut = lockout::cut(
                        &sessions,
                        (&ready.set, &ready.compiled),
                        &around,
                        old,
                        &failsafe,
                        &cgroups,
                    );
                    (ready, plan, cut)
                }))
            }
        };
        let (ready, mut plan, cut) = self.aside(work).unwrap_or_else(broke).map_err(invalid)??;
        let refused = !cut.is_empty() && !how.force && !how.dry_run;
        if !refused {
            plan.warnings.extend(cut.iter().map(|cut| Finding::placeless("warning", cut.message.clone())));
        }
        // As above: a client that has gone is no reason to stop half-way.
        let _ = replies.send(ApplyLine::Plan(Box::new(plan)));
        if refused {
            return Err(Not::new(Outcome::LocksOut, cut));
        }
        if how.dry_run {
            return Ok(());
        }
        match how.confirm {
            Some(seconds) => self.try_out(next, applied, files, ready, Duration::from_secs(seconds)),
            None => self.switch(next, applied, files, ready, from),
        }
    }

    /// The set is in force for a time; on disk is that it is, and the set before.
    fn try_out(
        &mut self,
        next: Applied,
        applied: Vec<Arc<ParsedFile>>,
        files: Vec<Arc<ParsedFile>>,
        ready: Ready,
        term: Duration,
    ) -> Result<(), Not> {
        let now = Instants::now();
        let wall = now.wall.checked_add(term).unwrap_or(now.wall);
        let until = Instants { wall, boot: now.boot + term.as_nanos() as u64 };
        self.keep_trial(&next, until.wall).map_err(|error| Not::failed(&error))?;
        if let Err(findings) = self.put_in_force(files, ready, Some(until)) {
            if let Err(error) = self.state.keep_trial(None) {
                warn!(error = format!("{error:#}"), "could not forget a trial that didn't begin");
            }
            return Err(Not::new(Outcome::Failed, findings));
        }
        self.applied = next;
        self.applied_files = applied;
        self.recover();
        info!(until = %until.wall, "on trial: {}", self.summary());
        Ok(())
    }

    /// The set is on disk before it is in force, and counts on disk only once it is.
    fn switch(
        &mut self,
        next: Applied,
        applied: Vec<Arc<ParsedFile>>,
        files: Vec<Arc<ParsedFile>>,
        ready: Ready,
        from: Remembered<'_>,
    ) -> Result<(), Not> {
        let staged = self.state.stage(&next).map_err(|error| Not::failed(&error))?;
        let remembered = match from {
            None => Some(self.state.remember(&self.applied).map_err(|error| Not::failed(&error))?),
            Some(_) => None,
        };
        if let Err(findings) = self.put_in_force(files, ready, None) {
            if let Some(place) = remembered
                && let Err(error) = self.state.forget(&place)
            {
                warn!(error = format!("{error:#}"), "one set too many is remembered");
            }
            return Err(Not::new(Outcome::Failed, findings));
        }
        self.applied = next;
        self.applied_files = applied;
        self.applied_damage = None;
        self.recover();
        info!("{}", self.summary());
        // In force but not on disk: said loudly, because a restart would undo it.
        staged
            .commit()
            .map_err(|error| Not::failed(&error.context("the set is in force until the daemon restarts")))?;
        if let Some(place) = from
            && let Err(error) = self.state.forget(place)
        {
            warn!(error = format!("{error:#}"), "the set that is in force again is still remembered");
        }
        Ok(())
    }
}

/// Checks, compiles and tests the whole set, and compares it with what is in force.
fn plan(
    files: &[Arc<ParsedFile>],
    around: &Surroundings,
    numbers: Numbers,
    old: Option<&Compiled>,
) -> Result<(Ready, Plan), Not> {
    let now = Instants::now();
    let prepare = |around: &Surroundings, numbers| {
        let prepared = prepare(files.iter().map(Arc::as_ref), around, now, numbers);
        prepared.map_err(|findings| Not::new(Outcome::Invalid, findings))
    };
    let ready = prepare(around, numbers.clone())?;
    let mut tests = match ready.set.workloads.iter().any(|workload| workload.lease.is_some()) {
        false => verdicts::run_tests(&ready, around, now),
        // Whether they hold is no matter of what is attested at the moment.
        true => {
            let bare = Surroundings { postures: BTreeMap::new(), ..around.clone() };
            verdicts::run_tests(&prepare(&bare, numbers)?, &bare, now)
        }
    };
    tests.keep_failed();
    if tests.failed > 0 {
        let tests = Some(tests);
        return Err(Not { outcome: Outcome::TestsFailed, findings: Vec::new(), tests });
    }
    let connectivity = verdicts::changes(old, &ready.compiled, now);
    let mut warnings = ready.warnings.clone();
    warnings.extend(ready.not_yet_enforced.clone());
    Ok((ready, Plan { schema: "enforcer.plan/v1".to_owned(), connectivity, warnings, tests }))
}
