//! Containers on their way into force: who is known ([`Roster`]), who each is ([`join()`]), and the devices that wait until that is known.
//!
//! A container that comes, changes or goes is a change in place, like a document of one workload. Where that can't be, or where many change
//! at once, the whole set is compiled with them.

use super::Engine;
use super::interfaces::Interface;
use crate::cgroups::Place;
use crate::daemon::config::Settings;
use crate::daemon::state::StateDir;
use crate::pipeline::Ready;
use crate::sources::{
    Container, Documents, Generation, Joined, Key, Kind, Refusal, Report, Roster, Surroundings, Windows,
    goes_on, join,
};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::Workload;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// A device that appears is denied for so long, unless it is known whose it is. What engines make is known in less.
const HELD: Duration = Duration::from_secs(5);
/// More changes than these at once are compiled as a whole.
const IN_PLACE: usize = 32;
/// So many refusals are remembered, to be told once.
const TOLD: usize = 1024;
/// So many places of cgroups.
const PLACES: usize = 64;
/// Changes of containers are kept together.
const KEPT_WITHIN: Duration = Duration::from_secs(1);

/// The containers of this host.
#[derive(Debug, Default)]
pub(super) struct Containers {
    pub(super) around: Surroundings,
    /// Who they are in the set that is in force.
    pub(super) joined: Joined,
    /// What of the documents in force concerns them.
    pub(super) documents: Documents,
    /// Refusals that were told.
    told: HashSet<Refusal>,
    /// Since when a run's rules are in force, by the wall clock in nanoseconds.
    known: HashMap<Key, (Generation, i64)>,
    pub(super) windows: HashMap<Kind, Windows>,
    /// When they are to be kept, if they aren't.
    unkept: Option<Instant>,
    /// Where engines were seen to put cgroups.
    seen: BTreeSet<Place>,
}

/// What a set that didn't come into force would have replaced.
pub(super) struct Before(Joined, Documents);

impl Containers {
    /// Those that were known before and still run.
    pub(super) fn new(settings: &Settings, state: &StateDir) -> Self {
        let mut containers = Self::default();
        containers.around.identity_labels.clone_from(&settings.identity_labels);
        containers.around.sources = settings.sources.clone();
        let known = state.containers().unwrap_or_else(|error| {
            warn!(error = format!("{error:#}"), "could not read which containers ran");
            Vec::new()
        });
        let followed = |one: &Container| match one.key.kind {
            Kind::Docker => settings.sources.docker.is_some(),
            Kind::Containerd => settings.sources.containerd.is_some(),
        };
        let known = known.into_iter().filter(|one| followed(one) && goes_on(one)).collect();
        containers.around.roster = Roster::of(known);
        containers
    }

    /// Whether a device that no workload has is denied all the same: it stays so where it is a container's that is refused, and for
    /// a while where nobody knows whose it is.
    pub(super) fn holds(&self, interface: &Interface) -> bool {
        if self.around.sources.is_empty() || !interface.link.abroad {
            return false;
        }
        let name = &interface.link.name;
        if self.joined.denied.contains(name) {
            return true;
        }
        if self.joined.free.contains(name) || !(interface.new || interface.hook.is_some()) {
            return false;
        }
        let roster = &self.around.roster;
        interface.since.elapsed() < HELD
            || roster.is_any_starting()
            || (self.documents.mind_silence() && roster.is_any_silent())
    }

    /// Where engines put containers' cgroups: Docker's own place, and where some were seen.
    pub(super) fn places(&mut self) -> Vec<Place> {
        let is_hash = |kind| kind == Kind::Docker;
        for container in self.around.roster.containers() {
            let id = container.key.id.rsplit('/').next().unwrap_or_default();
            let split = container.cgroup.as_deref().and_then(|path| path.rsplit_once(id));
            if let Some((before, after)) = split.filter(|(before, _)| before.len() > 1)
                && self.seen.len() < PLACES
            {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.seen.insert(Place { before, after, is_hash: is_hash(container.key.kind) });
            }
        }
        let own = Place { before: "/docker/".to_owned(), after: String::new(), is_hash: true };
        let own = self.around.sources.docker.is_some().then_some(own);
        self.seen.iter().cloned().chain(own).collect()
    }

    /// Takes over who the containers are in a set that is about to be put in force.
    pub(super) fn take_joined(&mut self, ready: &mut Ready) -> Before {
        let joined = std::mem::replace(&mut self.joined, std::mem::take(&mut ready.joined));
        Before(joined, std::mem::replace(&mut self.documents, std::mem::take(&mut ready.documents)))
    }

    /// It didn't come into force.
    pub(super) fn restore(&mut self, before: Before) {
        Before(self.joined, self.documents) = before;
    }

    /// Tells of what containers don't get, once.
    fn tell_refusals(&mut self) {
        if self.told.len() > TOLD {
            self.told.clear();
        }
        for refusal in &self.joined.refusals {
            if self.told.insert(refusal.clone()) {
                warn!(container = shown(&refusal.container.to_string()), "{}", refusal.why);
            }
        }
    }

    /// Since when the rules of this run are in force.
    fn note_known(&mut self) {
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let (joined, roster) = (&self.joined, &self.around.roster);
        self.known.retain(|key, (generation, _)| {
            joined.names.contains_key(key) && roster.get(key).is_some_and(|one| one.generation == *generation)
        });
        for key in joined.names.keys() {
            let Some(container) = roster.get(key) else { continue };
            self.known.entry(key.clone()).or_insert((container.generation, now));
        }
    }
}

impl Engine {
    /// Containers that are known.
    pub(in crate::daemon) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.around.roster.containers()
    }

    /// A container engine was heard, or isn't any more.
    pub(super) fn discovered(&mut self, report: Report) {
        debug!(%report, "heard of a container");
        let began = match &report {
            Report::Runs(container) => container.began.map(|began| (container.key.clone(), began)),
            _ => None,
        };
        if self.containers.around.roster.take(report) {
            self.containers.unkept.get_or_insert_with(|| Instant::now() + KEPT_WITHIN);
            self.rejoin();
        }
        if let Some((key, began)) = began
            && let Some((_, known)) = self.containers.known.get(&key)
        {
            self.containers.windows.entry(key.kind).or_default().note(began, *known);
        }
    }

    /// Documents in force changed in place.
    pub(super) fn documents_changed(&mut self) {
        let Some(live) = &self.live else { return };
        let joined = &self.containers.joined.workloads;
        if joined.is_empty() && self.containers.around.sources.is_empty() {
            return;
        }
        let written = live.set.workloads.iter().filter(|workload| !joined.contains_key(&workload.name));
        self.containers.documents = Documents::of(written, &live.set.segments);
        self.rejoin();
    }

    /// Brings the set in force in line with the containers that run.
    fn rejoin(&mut self) {
        let began = Instant::now();
        if self.live.is_none() {
            return;
        }
        let joined = join(&self.containers.documents, &self.containers.around);
        let before = std::mem::replace(&mut self.containers.joined, joined);
        self.know_containers();
        let changes = changes(&before, &self.containers.joined);
        let count = changes.len();
        if count > 0 {
            if count > IN_PLACE || !changes.into_iter().all(|change| self.make(change)) {
                // What is in force is still what was joined before.
                self.containers.joined = before;
                self.refresh("containers changed");
            }
            info!(changes = count, took = ?began.elapsed(), "containers changed");
            self.unkept.get_or_insert_with(|| Instant::now() + super::KEPT_WITHIN);
        }
        self.reclaim_cgroups();
        self.containers.tell_refusals();
        self.containers.note_known();
        self.settle_unclaimed();
    }

    fn make(&mut self, change: Change) -> bool {
        match change {
            Change::Remove(name) => self.remove(&name),
            Change::Upsert(workload) => self.upsert(&workload),
        }
    }

    /// Hooks devices that may be a container's, and lets go of those that are nobody's after all.
    pub(super) fn settle_unclaimed(&mut self) {
        if self.live.is_none() {
            return;
        }
        for (ifindex, hook) in self.interfaces.misheld(|interface| self.containers.holds(interface)) {
            self.settle_one(ifindex, hook);
        }
    }

    /// Keeps the containers that are known, if that is still to be done.
    pub(super) fn keep_containers(&mut self) {
        if self.containers.unkept.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.containers.unkept = None;
        let all: Vec<Container> = self.containers().cloned().collect();
        let state = self.state.clone();
        match self.aside(move || state.keep_containers(all)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = format!("{error:#}"), "could not keep which containers run"),
            Err(broke) => warn!(%broke, "could not keep which containers run"),
        }
    }
}

/// A step from one set of containers to the next.
enum Change {
    Remove(String),
    Upsert(Workload),
}

/// The steps, in an order in which no address is anybody's twice: who goes, who gives one up, then the rest.
fn changes(before: &Joined, after: &Joined) -> Vec<Change> {
    let gone = before.workloads.keys().filter(|name| !after.workloads.contains_key(*name));
    let mut changes: Vec<Change> = gone.cloned().map(Change::Remove).collect();
    let changed = |(name, workload): &(&String, &Workload)| before.workloads.get(*name) != Some(workload);
    let (giving, taking): (Vec<_>, Vec<_>) =
        after.workloads.iter().filter(changed).partition(|(name, workload)| {
            let had = before.workloads.get(*name).map_or(&[][..], |before| &before.addresses);
            workload.addresses.iter().all(|address| had.contains(address))
        });
    changes.extend(giving.into_iter().chain(taking).map(|(_, workload)| Change::Upsert(workload.clone())));
    changes
}
