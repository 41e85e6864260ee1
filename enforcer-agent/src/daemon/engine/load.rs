//! The live set on its way into force: read, prepared, installed; and what happens where it can't be.

use super::aside::Broke;
use super::live::{self, Live};
use super::{Degraded, Engine, Link, lockout};
use crate::daemon::clock::Instants;
use crate::daemon::notify;
use crate::daemon::state::LastGood;
use crate::datapath::DatapathError;
use crate::pipeline::{Ready, Surroundings, check, prepare};
use crate::protocol::{Finding, PolicyFile};
use enforcer_policy::compile::{Compiled, Numbers};
use enforcer_policy::document::{ParsedFile, parse_file};
use enforcer_policy::source::Source;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tracing::{error, info, warn};

impl Engine {
    /// Puts the first set in force: the live set, else the last good one. Where neither can be, what the kernel was
    /// left with goes on.
    pub fn start(&mut self, links: Vec<Link>, host: Vec<IpAddr>) {
        self.adopt_trial();
        for link in links {
            self.link_up(link);
        }
        self.host = host;
        self.tell_missed();
        let last_good = match self.state.last_good::<Numbers>() {
            Ok(last_good) => last_good,
            Err(error) => {
                warn!(error = format!("{error:#}"), "could not read the last good set");
                None
            }
        };
        if let Some(good) = &last_good {
            self.go_on_from(good);
        }
        self.look(true);
        if self.live.is_some() {
            return;
        }
        let Some(good) = last_good else { return };
        match self.put_back(&good) {
            Ok(()) => warn!(since = good.since, "the last good set is in force"),
            Err(findings) => {
                let first = findings.iter().find(|finding| finding.is_error());
                let error = first.map(|finding| &*finding.message);
                error!(error, "the last good set can't be put in force any more");
            }
        }
    }

    /// Numbers go on from those of the last good set.
    pub(super) fn go_on_from(&mut self, good: &LastGood<Numbers>) {
        self.numbers = good.numbers.clone();
        self.generation = good.generation;
        self.kept = good.files.iter().map(|file| file.name.clone()).collect();
    }

    /// Puts the last good set in force.
    pub(super) fn put_back(&mut self, good: &LastGood<Numbers>) -> Result<(), Vec<Finding>> {
        let files = parse(&good.files);
        self.prepare(&files).and_then(|ready| self.put_in_force(files, ready, None))
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            host: self.host.clone(),
            default_mode: self.settings.default_mode,
            containers: self.containers.around.clone(),
            postures: self.postures.all.clone(),
        }
    }

    /// The files of the live set as they are now: watched ones, then the applied set.
    pub(super) fn gather(
        &mut self,
        applied: &[Arc<ParsedFile>],
    ) -> Result<Vec<Arc<ParsedFile>>, Vec<Finding>> {
        self.looked = Instant::now();
        let (mut cache, paths) = (std::mem::take(&mut self.cache), self.settings.policies.clone());
        let work = move || {
            let loaded = cache.load(&paths);
            Ok((cache, loaded))
        };
        let (cache, loaded) = self.aside(work).unwrap_or_else(broke)?;
        self.cache = cache;
        if !loaded.unreadable.is_empty() {
            let told =
                loaded.unreadable.iter().map(|problem| Finding::placeless("error", problem.to_string()));
            return Err(told.collect());
        }
        let gone: Vec<Finding> =
            loaded.missing.iter().filter(|path| self.gave(path)).map(|path| gone(path)).collect();
        if !gone.is_empty() {
            return Err(gone);
        }
        if loaded.missing != self.missing {
            for path in &loaded.missing {
                info!(path = %path.display(), "a policy path isn't there (yet)");
            }
            self.missing = loaded.missing;
        }
        self.feed.tallies().confirmed("documents");
        let mut files = loaded.files;
        files.extend(applied.iter().cloned());
        Ok(files)
    }

    /// Whether something in force (or, before anything is, in the last good set) was read from this path.
    fn gave(&self, path: &Path) -> bool {
        let applied = |name: &str| self.applied_files.iter().any(|file| &*file.source().name == name);
        let gave = |name: &str| Path::new(name).starts_with(path) && !applied(name);
        match &self.live {
            Some(live) => live.files.iter().any(|file| gave(&file.source().name)),
            None => self.kept.iter().any(|name| gave(name)),
        }
    }

    /// Looks at the policy files, and puts what they say in force if that is something new (or `anyway`).
    pub(super) fn look(&mut self, anyway: bool) {
        if let Some(damage) = &self.applied_damage {
            let finding = Finding::placeless("error", format!("the applied set can't be read: {damage}"));
            return self.degrade("the applied set can't be read", vec![finding]);
        }
        let applied = self.applied_files.clone();
        let files = match self.gather(&applied) {
            Ok(files) => files,
            Err(findings) => return self.degrade("policy files can't be read", findings),
        };
        if !anyway && self.live.as_ref().is_some_and(|live| live.is_of(&files)) {
            // What is in force is what is wanted; what was wrong in between is gone.
            self.recover();
            return;
        }
        self.load(files, "the policy files changed");
    }

    /// Puts these files in force, or says why they can't be.
    fn load(&mut self, files: Vec<Arc<ParsedFile>>, why: &str) {
        if self.change_in_place(&files) {
            return self.recover();
        }
        if self.waits_for_trial(why) {
            return;
        }
        let began = Instant::now();
        let now = Instants::now();
        let checked = {
            let files = files.clone();
            self.aside(move || check(files.iter().map(Arc::as_ref), now)).unwrap_or_else(broke)
        };
        let sound = match checked {
            Ok(sound) => sound,
            Err(findings) => return self.degrade("the live set is invalid", findings),
        };
        let (around, numbers) = (self.surroundings(), self.numbers.clone());
        let before = self.live.as_ref().map(|live| Arc::clone(&live.compiled));
        match self.aside(move || sound.compile(&around, now, numbers)).unwrap_or_else(broke) {
            Ok(ready) => match self.put_in_force(files, ready, None) {
                Ok(()) => {
                    self.look_who_is_locked_out(before.as_deref());
                    info!(why, took = ?began.elapsed(), "{}", self.summary());
                    self.recover();
                }
                Err(findings) => self.degrade("the live set can't be put in force", findings),
            },
            Err(findings) => self.degrade("the live set can't be compiled", findings),
        }
    }

    /// What files bring can't be refused: where it cuts the session in which a change was asked for last, that is said.
    fn look_who_is_locked_out(&mut self, before: Option<&Compiled>) {
        let Some(live) = &self.live else { return };
        let around = self.surroundings();
        let cut = lockout::cut(
            &self.operator,
            (&live.set, &live.compiled),
            &around,
            before,
            &self.settings.failsafe,
            &self.cgroups,
        );
        let told = |cut: Finding| {
            let message =
                cut.message.replacen("this would cut your own", "policy files have cut the operator's", 1);
            warn!("{message}");
            Finding::placeless("warning", message)
        };
        self.locked_out = cut.into_iter().map(told).collect();
    }

    /// Compiles what is in force anew, because something around it changed. Whether the live set is degraded has nothing to do with it.
    pub(super) fn refresh(&mut self, why: &str) {
        if self.waits_for_trial(why) {
            return;
        }
        let Some(live) = &self.live else { return };
        let files = live.files.clone();
        match self.prepare(&files).and_then(|ready| self.put_in_force(files, ready, None)) {
            Ok(()) => info!(why, "{}", self.summary()),
            Err(findings) => self.degrade("the set in force can't be brought up to date", findings),
        }
    }

    /// Everything short of putting a set in force.
    fn prepare(&mut self, files: &[Arc<ParsedFile>]) -> Result<Ready, Vec<Finding>> {
        let (files, around, numbers) = (files.to_vec(), self.surroundings(), self.numbers.clone());
        let work = move || prepare(files.iter().map(Arc::as_ref), &around, Instants::now(), numbers);
        self.aside(work).unwrap_or_else(broke)
    }

    /// Switches to a prepared set, for a time where there is an `until`. On an error, what was in force still is.
    pub(super) fn put_in_force(
        &mut self,
        files: Vec<Arc<ParsedFile>>,
        mut ready: Ready,
        until: Option<Instants>,
    ) -> Result<(), Vec<Finding>> {
        let before = self.containers.take_joined(&mut ready);
        self.know_containers();
        self.interfaces.mark_held(|interface| self.containers.holds(interface));
        let _ = ready.compiled.set_quarantines(&self.quarantines.plans(Instants::now()));
        let mut subjects = self.interfaces.subjects(&ready.compiled.subjects);
        let (residents, cgroups) = self.cgroups.of_set(&ready.compiled);
        subjects.extend(residents);
        // No rule in force has these numbers, so nothing counts under them now.
        let reissued = ready.numbers.take_reissued_rules();
        if !reissued.is_empty()
            && let Err(error) = self.datapath.reset_rule_counters(&reissued)
        {
            warn!(%error, rules = reissued.len(), "could not reset the counters of rules with used numbers");
        }
        self.names.learn(ready.compiled.identities.values(), &ready.compiled.rules);
        self.names.locate(&ready.set, &self.host, &ready.compiled.identities);
        let end = live::next_expiry(&ready.set, Instants::now().wall);
        let ends = end.into_iter().chain(self.quarantines.next_end()).chain(self.postures.next_end());
        let ends = ends.chain(until.map(|until| until.wall));
        self.announce(ends.min());
        let image = &ready.compiled.image;
        self.take_up_ahead(&ready.compiled, &cgroups);
        let installed = match until {
            Some(until) => self.datapath.try_out(image, &subjects, &cgroups, until.boot),
            None => self.datapath.install_whole(image, &subjects, &cgroups),
        };
        if let Err(error) = installed {
            self.containers.restore(before);
            self.know_containers();
            return Err(vec![datapath_finding(&error)]);
        }
        let numbers = std::mem::replace(&mut self.numbers, ready.numbers.clone());
        self.interfaces.written(&subjects);
        self.cgroups.written(&ready.compiled, &cgroups);
        let before = self.live.replace(Live::new(files, ready, Instants::now().wall));
        self.generation += 1;
        match (until, before) {
            // Until it is confirmed, the set before is the last good one.
            (Some(until), Some(before)) => self.begin_trial(until, before, numbers),
            _ => self.unkept = Some(Instant::now() + super::KEPT_AFTER),
        }
        self.forget_absent_postures();
        self.settle();
        self.watch_thresholds();
        self.tell_applied();
        Ok(())
    }

    /// The live set is in force.
    pub(super) fn recover(&mut self) {
        if let Some(degraded) = self.degraded.take() {
            info!(was = degraded.why, "no longer degraded");
        }
        notify::status(&self.summary());
    }

    /// The live set isn't in force; the last good one stays.
    pub(super) fn degrade(&mut self, why: &str, findings: Vec<Finding>) {
        for finding in findings.iter().filter(|finding| finding.is_error()).take(20) {
            error!("{}", finding.one_line());
        }
        warn!(
            why,
            "degraded: {}",
            if self.live.is_some() { "the last good set stays in force" } else { "nothing new is in force" }
        );
        self.feed.tallies().apply_failed();
        let since = self.degraded.as_ref().map_or_else(jiff::Timestamp::now, |degraded| degraded.since);
        self.degraded = Some(Degraded { why: why.to_owned(), since, findings });
        notify::status(&self.summary());
    }

    /// The machine's own addresses changed.
    pub(super) fn host_addresses(&mut self, mut addresses: Vec<IpAddr>) {
        addresses.sort_unstable();
        addresses.dedup();
        if addresses == self.host {
            return;
        }
        self.host = addresses;
        if !self.host_in_place() {
            self.refresh("the machine's own addresses changed");
        }
    }

    /// Keeps what is in force as the last good set, if that is still to be done.
    pub(super) fn keep(&mut self) {
        let due = self.unkept.is_some() && self.trial.is_none();
        let Some(live) = self.live.as_ref().filter(|_| due) else { return self.unkept = None };
        let (files, numbers) = (live.files.clone(), self.numbers.clone());
        let (since, generation, state) = (live.since.to_string(), self.generation, self.state.clone());
        // Tried again with the next change; until then an older set is kept, which was good too.
        self.unkept = None;
        let work = move || {
            let schema = "enforcer.last-good/v1".to_owned();
            state.keep(&LastGood { schema, generation, since, files: policy_files(&files), numbers })
        };
        match self.aside(work) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(error = format!("{error:#}"), "could not keep the set in force as the last good one")
            }
            Err(broke) => warn!(%broke, "could not keep the set in force as the last good one"),
        }
    }
}

/// Files as they are kept.
pub(super) fn policy_files(files: &[Arc<ParsedFile>]) -> Vec<PolicyFile> {
    let kept = |file: &Arc<ParsedFile>| PolicyFile {
        name: file.source().name.to_string(),
        text: file.source().text.to_string(),
    };
    files.iter().map(kept).collect()
}

/// Kept or sent files, parsed.
pub(super) fn parse(files: &[PolicyFile]) -> Vec<Arc<ParsedFile>> {
    files.iter().map(|file| Arc::new(parse_file(&Source::new(&*file.name, &*file.text)))).collect()
}

fn datapath_finding(error: &DatapathError) -> Finding {
    let finding = Finding::placeless("error", chain(error));
    match error.help() {
        Some(help) => finding.help(help),
        None => finding,
    }
}

/// Work that broke, as a finding.
pub(super) fn broke<T>(broke: Broke) -> Result<T, Vec<Finding>> {
    let help = "the set in force stays; please report the set that did this";
    Err(vec![Finding::placeless("error", broke.to_string()).help(help)])
}

/// An error with what caused it, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// A vanished path is a mishap, never an order to let go of every workload it named.
fn gone(path: &Path) -> Finding {
    let message = format!("the policy path `{}` has gone", path.display().to_string().escape_debug());
    let help = "bring it back; to take back everything it said, leave it there without files";
    Finding::placeless("error", message).help(help)
}
