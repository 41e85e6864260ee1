//! Which cgroup belongs to which workload, and whether sockets are hooked.
//!
//! They are where a workload is found by a cgroup, or a Segment holds the host itself; nowhere else does anything on a socket's way change.

use super::Engine;
use crate::cgroups::{Change, Claims, ELSEWHERE, Place, Root};
use crate::datapath::DatapathError;
use crate::sources::CgroupOf;
use enforcer_common::maps::{Cgroup, Subject, mode};
use enforcer_policy::compile::{Compiled, Delta, HostPlan, SubjectPlan};
use enforcer_policy::model::SegmentMode;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tracing::{debug, info, warn};

/// A cgroup, and what the tables say of it.
#[derive(Debug, Clone)]
struct Known {
    path: String,
    whose: Option<Cgroup>,
}

/// What sockets' hooks are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Hooked {
    /// Nobody has looked since the start: those of an earlier daemon may be there.
    #[default]
    Unsettled,
    Yes,
    No,
    /// Why they can't be.
    Failed(String),
}

/// Every cgroup of the host.
#[derive(Debug, Clone, Default)]
pub(super) struct Cgroups {
    root: Option<Root>,
    by_id: BTreeMap<u64, Known>,
    claims: Claims,
    hooked: Hooked,
    /// Whether the tables say whose cgroups are, and who those are. Without it, hooks would deny everything.
    told: bool,
    /// Containers' cgroups that no workload claims, and where others will be.
    containers: Vec<(String, CgroupOf)>,
    places: Vec<Place>,
    /// Whose connections were taken up.
    pub(super) judged: BTreeSet<u32>,
}

/// Subjects by number, and whose each cgroup is.
pub(super) type Residents = (Vec<(u32, Subject)>, Vec<(u64, Cgroup)>);

/// Whether anybody is known by a cgroup.
fn is_needed(plans: &[SubjectPlan], host: &HostPlan) -> bool {
    host.mode != SegmentMode::Off || plans.iter().any(|plan| !plan.hosted.is_empty())
}

impl Cgroups {
    /// The cgroups that there are below `root`.
    pub(super) fn new(root: Option<Root>, found: Vec<(u64, String)>) -> Self {
        let by_id = found.into_iter().map(|(id, path)| (id, Known { path, whose: None })).collect();
        Self { root, by_id, ..Self::default() }
    }

    /// Why nobody can be known by a cgroup, if that is so.
    pub(super) fn error(&self) -> Option<&str> {
        match &self.hooked {
            Hooked::Failed(why) => Some(why),
            _ => None,
        }
    }

    /// The hierarchy, if one was found.
    pub(super) fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// Whether sockets are hooked, and below which directory.
    pub(super) fn hooked(&self) -> Option<&Root> {
        self.root.as_ref().filter(|_| self.hooked == Hooked::Yes)
    }

    /// Whose a cgroup is by these claims, by number; `None` for one that isn't known.
    pub(super) fn owner(&self, claims: &Claims, id: u64) -> Option<u32> {
        Some(claims.classify(&self.by_id.get(&id)?.path).number)
    }

    /// Whose every cgroup is, as the tables were told.
    pub(super) fn told(&self) -> HashMap<u64, u32> {
        self.by_id.iter().filter_map(|(id, known)| Some((*id, known.whose?.number))).collect()
    }

    /// The cgroups that each number has been told to have, the outermost of them.
    pub(super) fn by_owner(&self) -> HashMap<u32, Vec<&str>> {
        let told = self.by_id.values().filter_map(|known| Some((&*known.path, known.whose?.number)));
        let owners: HashMap<&str, u32> = told.collect();
        let mut outermost: HashMap<u32, Vec<&str>> = HashMap::new();
        for known in self.by_id.values() {
            let Some(whose) = known.whose else { continue };
            let parent = known.path.rsplit_once('/').and_then(|(parent, _)| owners.get(parent));
            if parent != Some(&whose.number) {
                outermost.entry(whose.number).or_default().push(&known.path);
            }
        }
        outermost
    }

    /// Whose cgroups are under a set.
    pub(super) fn claims(&self, compiled: &Compiled) -> Claims {
        let root = self.root.as_ref().map_or("/", |root| &root.path);
        let mut claims = Claims::new(root, Subject::hosted(compiled.host.identity));
        for plan in &compiled.subjects {
            let number = Subject::hosted(plan.identity);
            plan.matches.iter().for_each(|matched| claims.add(number, matched));
        }
        for (path, of) in &self.containers {
            let number = match of {
                CgroupOf::Elsewhere => ELSEWHERE,
                CgroupOf::Unknown => Subject::UNKNOWN,
                CgroupOf::Host => claims.host(),
            };
            claims.assign(path, number);
        }
        claims.watch(&self.places);
        claims
    }

    /// Subjects and cgroups of a set, for as long as sockets are hooked or about to be.
    pub(super) fn of_set(&self, compiled: &Compiled) -> Residents {
        let needed = is_needed(&compiled.subjects, &compiled.host);
        if self.root.is_none() || !needed && self.hooked == Hooked::No {
            return (Vec::new(), Vec::new());
        }
        self.everybody(compiled)
    }

    fn everybody(&self, compiled: &Compiled) -> Residents {
        let claims = self.claims(compiled);
        let whose = self.by_id.iter().map(|(id, known)| (*id, claims.classify(&known.path))).collect();
        (subjects(compiled), whose)
    }

    /// The tables say this of cgroups, if anything.
    pub(super) fn written(&mut self, compiled: &Compiled, cgroups: &[(u64, Cgroup)]) {
        self.told = !cgroups.is_empty();
        self.claims = self.claims(compiled);
        for known in self.by_id.values_mut() {
            known.whose = None;
        }
        for (id, whose) in cgroups {
            if let Some(known) = self.by_id.get_mut(id) {
                known.whose = Some(*whose);
            }
        }
    }
}

/// Everybody who may be known by a cgroup.
pub(super) fn subjects(compiled: &Compiled) -> Vec<(u32, Subject)> {
    let plans = compiled.subjects.iter().flat_map(|plan| &plan.hosted);
    let elsewhere =
        Subject { identity: u32::MAX, mode: mode::OFF, flags: Subject::HOSTED, ..Subject::default() };
    plans.chain(&compiled.host.hosted).copied().chain([(ELSEWHERE, elsewhere)]).collect()
}

impl Engine {
    /// Hooks sockets, or lets go of them, as the set in force needs it. Whose the cgroups are stands in the tables already.
    pub(super) fn settle_cgroups(&mut self) {
        let Some(live) = &self.live else { return };
        let needed = is_needed(&live.compiled.subjects, &live.compiled.host);
        let hooked = match (&self.cgroups.root, needed) {
            (_, false) if self.cgroups.hooked == Hooked::No => Hooked::No,
            (_, false) => match self.datapath.detach_cgroup() {
                Ok(any) => {
                    if any {
                        info!("sockets are let go of: nobody is known by a cgroup any more");
                    }
                    Hooked::No
                }
                Err(error) => Hooked::Failed(error.to_string()),
            },
            (None, true) => Hooked::Failed("no cgroup v2 hierarchy was found".to_owned()),
            (Some(_), true) if !self.datapath.judges_sockets() => Hooked::Failed(
                "this kernel doesn't take programs for sockets (Linux 5.15 and later do)".to_owned(),
            ),
            (Some(root), true) => {
                let dir = root.dir.clone();
                match self.tell_all_cgroups().and_then(|()| self.datapath.attach_cgroup(&dir)) {
                    Ok(()) => Hooked::Yes,
                    Err(error) => Hooked::Failed(error.to_string()),
                }
            }
        };
        if hooked != self.cgroups.hooked {
            match &hooked {
                Hooked::Failed(why) => warn!(why, "units, cgroups and the host itself are not held"),
                Hooked::Yes => {
                    info!(root = self.cgroups.root.as_ref().map(|root| &*root.path), "sockets are judged");
                }
                Hooked::No | Hooked::Unsettled => {}
            }
        }
        self.cgroups.hooked = hooked;
        self.take_up_connections();
        self.tell_hooked();
    }

    /// Who is judged at sockets.
    pub(super) fn residents(&self) -> impl Iterator<Item = Subject> {
        let live = self.live.as_ref().filter(|_| self.cgroups.hooked().is_some());
        let everybody = live.map_or_else(Vec::new, |live| subjects(&live.compiled));
        everybody.into_iter().map(|(_, subject)| subject)
    }

    /// Tells the tables whose cgroups are, where they weren't told with the set.
    fn tell_all_cgroups(&mut self) -> Result<(), DatapathError> {
        let Some(live) = self.live.as_ref().filter(|_| !self.cgroups.told) else { return Ok(()) };
        let compiled = Arc::clone(&live.compiled);
        let (subjects, cgroups) = self.cgroups.everybody(&compiled);
        let subjects: Vec<_> =
            subjects.into_iter().map(|(number, subject)| (number, Some(subject))).collect();
        self.announce(self.next_expiry());
        self.datapath.apply_delta(&Delta::default(), &subjects)?;
        let writes: Vec<_> = cgroups.iter().map(|(id, whose)| (*id, Some(*whose))).collect();
        self.datapath.set_cgroups(&writes)?;
        self.cgroups.written(&compiled, &cgroups);
        Ok(())
    }

    /// Says whose the containers' cgroups are that no workload claims, and where engines put others. In force with the next set, or by
    /// [`Self::reclaim_cgroups`].
    pub(super) fn know_containers(&mut self) {
        self.cgroups.containers.clone_from(&self.containers.joined.cgroups);
        self.cgroups.places = self.containers.places();
    }

    /// Workloads or containers changed in place: cgroups that are somebody else's now are told to the tables.
    pub(super) fn reclaim_cgroups(&mut self) {
        let Some(live) = self.live.as_ref().filter(|_| self.cgroups.told) else { return };
        let claims = self.cgroups.claims(&live.compiled);
        if claims == self.cgroups.claims {
            return;
        }
        self.cgroups.claims = claims;
        let mut writes = Vec::new();
        for (id, known) in &mut self.cgroups.by_id {
            let whose = self.cgroups.claims.classify(&known.path);
            if known.whose.replace(whose) != Some(whose) {
                writes.push((*id, Some(whose)));
            }
        }
        self.write_cgroups(writes);
        self.take_up_connections();
    }

    /// Cgroups came or went.
    pub(super) fn cgroups_changed(&mut self, changes: Vec<Change>) {
        let told = self.live.is_some() && self.cgroups.told;
        let mut writes = Vec::new();
        for change in changes {
            match change {
                Change::Came { id, path } => {
                    let whose = told.then(|| self.cgroups.claims.classify(&path));
                    if let Some(whose) = whose {
                        writes.push((id, Some(whose)));
                        debug!(path, number = whose.number, "a cgroup came");
                    }
                    self.cgroups.by_id.insert(id, Known { path, whose });
                }
                Change::Gone { id } => {
                    let known = self.cgroups.by_id.remove(&id);
                    if known.is_some_and(|known| known.whose.is_some()) {
                        // One that came and went in one breath is in the tables no more.
                        writes.retain(|(came, _)| *came != id);
                        writes.push((id, None));
                    }
                }
            }
        }
        self.write_cgroups(writes);
    }

    fn write_cgroups(&mut self, writes: Vec<(u64, Option<Cgroup>)>) {
        if writes.is_empty() {
            return;
        }
        if let Err(error) = self.datapath.set_cgroups(&writes) {
            warn!(%error, cgroups = writes.len(), "could not say whose cgroups are: they stay unknown");
            for (id, _) in writes {
                if let Some(known) = self.cgroups.by_id.get_mut(&id) {
                    known.whose = None;
                }
            }
        }
    }

    /// Tells the tables of cgroups that they couldn't be told of before.
    pub(super) fn retell_cgroups(&mut self) {
        if !self.cgroups.told {
            return;
        }
        let untold: Vec<Change> = self
            .cgroups
            .by_id
            .iter()
            .filter(|(_, known)| known.whose.is_none())
            .map(|(id, known)| Change::Came { id: *id, path: known.path.clone() })
            .collect();
        if !untold.is_empty() {
            self.cgroups_changed(untold);
        }
    }
}
