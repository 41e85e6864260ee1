//! `apply` and `rollback`: another applied set, after the whole live set with it has been checked and tested.

use super::load::{broke, parse};
use super::{ApplyLine, Engine};
use crate::daemon::clock::Instants;
use crate::daemon::state::Applied;
use crate::pipeline::{Ready, Surroundings, prepare};
use crate::protocol::{ApplyReply, ApplyRequest, Finding, Outcome, Plan, TestReport};
use crate::verdicts;
use enforcer_policy::compile::{Compiled, Numbers};
use enforcer_policy::document::ParsedFile;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

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
    pub(super) fn apply(&mut self, request: ApplyRequest, replies: &UnboundedSender<ApplyLine>) {
        let dry_run = request.dry_run;
        let result = self.replace(Applied::new(request.files), dry_run, None, replies);
        self.answer(result, dry_run, replies);
    }

    /// Goes back to the applied set before the last one.
    pub(super) fn rollback(&mut self, replies: &UnboundedSender<ApplyLine>) {
        let result = match self.state.newest() {
            Ok(Some((applied, place))) => self.replace(applied, false, Some(&place), replies),
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
        };
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
        dry_run: bool,
        from: Remembered<'_>,
        replies: &UnboundedSender<ApplyLine>,
    ) -> Result<(), Not> {
        let invalid = |findings| Not::new(Outcome::Invalid, findings);
        let applied = parse(&next.files);
        let files = self.gather(&applied).map_err(invalid)?;
        let work = {
            let (files, around, numbers) = (files.clone(), self.surroundings(), self.numbers.clone());
            let old = self.live.as_ref().map(|live| Arc::clone(&live.compiled));
            move || Ok(plan(&files, &around, numbers, old.as_deref()))
        };
        let (ready, plan) = self.aside(work).unwrap_or_else(broke).map_err(invalid)??;
        // As above: a client that has gone is no reason to stop half-way.
        let _ = replies.send(ApplyLine::Plan(Box::new(plan)));
        if dry_run {
            return Ok(());
        }
        self.switch(next, applied, files, ready, from)
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
        if let Err(findings) = self.put_in_force(files, ready) {
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
    let prepared = prepare(files.iter().map(Arc::as_ref), around, now, numbers);
    let ready = prepared.map_err(|findings| Not::new(Outcome::Invalid, findings))?;
    let mut tests = verdicts::run_tests(&ready, around, now);
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
