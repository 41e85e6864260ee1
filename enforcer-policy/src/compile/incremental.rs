//! Changes in place: one workload, or the host's addresses, without compiling the rest again.

use super::cells::{Base, Cell};
use super::image::{Delta, HostPlan, SubjectPlan};
use super::names::{IdentityInfo, IdentityKind, identity_key};
use super::rows::flag;
use super::{Clock, CompileError, Compiled, Known, Numbers, State};
use crate::model::{OnDeny, SegmentMode, Workload};
use enforcer_common::address;
use enforcer_common::maps::{Endpoint, Subject, kind, limits, mode};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Classes that have more uses than before, with those they had.
type Changed = Vec<(u32, u8)>;

impl State {
    /// The plan of a workload that is known, if it has a hook.
    pub(super) fn plan(&mut self, workload: &Workload) -> Option<SubjectPlan> {
        // The classes are those of the workload's endpoints, all made before.
        self.plan_noting(workload, &mut Vec::new())
    }

    fn plan_noting(&mut self, workload: &Workload, changed: &mut Changed) -> Option<SubjectPlan> {
        let known = self.workloads.get(&workload.name)?;
        if !known.hooked {
            return None;
        }
        let (identity, base, addresses) = (known.identity, known.base, known.addresses.clone());
        let hosted = known.hosted;
        let (strictness, on_deny, segment) = self.held(base.sides, &addresses);
        let segment = segment.map(str::to_owned);
        let (mode, flags) = (mode_code(strictness), answers(on_deny));
        let mut subject = Subject { identity, mode, flags, ..Subject::default() };
        if let Some((until, after)) = base.lease {
            let (strictness, on_deny, _) = self.held(after, &addresses);
            (subject.mode_after, subject.flags_after) = (mode_code(strictness), answers(on_deny));
            subject.until = until;
        }
        if self.quarantined.contains(&identity) {
            subject.flags |= Subject::QUARANTINED;
        }
        let (mut v4, mut v6) = (0, 0);
        for at in &addresses {
            let endpoint = self.workload_at(identity, base, true, Some(*at), changed);
            match at {
                IpAddr::V4(at) => {
                    if v4 == 0 {
                        subject.address4 = address::v4(at.octets());
                        (subject.class4, subject.coarse4) = (endpoint.class, endpoint.coarse);
                        (subject.after4, subject.coarse_after4) =
                            (endpoint.lease.class, endpoint.lease.coarse);
                    }
                    v4 += 1;
                }
                IpAddr::V6(at) => {
                    if v6 == 0 {
                        subject.address6 = address::v6(at.octets());
                        (subject.class6, subject.coarse6) = (endpoint.class, endpoint.coarse);
                        (subject.after6, subject.coarse_after6) =
                            (endpoint.lease.class, endpoint.lease.coarse);
                    }
                    v6 += 1;
                }
            }
        }
        if v4 > 1 || v6 > 1 {
            subject.flags |= Subject::MORE_ADDRESSES;
        }
        let hosted = match hosted {
            true => self.hosted(identity, kind::WORKLOAD, base, subject, changed),
            false => Vec::new(),
        };
        Some(SubjectPlan {
            workload: workload.name.clone(),
            identity,
            matches: workload.matches.clone(),
            addresses,
            mode: strictness,
            segment,
            subject,
            hosted,
        })
    }

    /// How strictly an identity with these sides is held, what its denied packets become, and by which Segment's word.
    fn held(&self, base: u32, addresses: &[IpAddr]) -> (SegmentMode, OnDeny, Option<&str>) {
        match self.cells.segment(base, addresses) {
            Some((segment, on_deny)) => (segment.mode, on_deny, Some(&segment.name)),
            None => (self.default_mode, OnDeny::Drop, None),
        }
    }

    /// The machine itself, and who isn't known yet.
    pub(super) fn host_plan(&mut self) -> HostPlan {
        let (identity, base) = (self.host_identity, self.cells.host_base());
        let named = self.cells.host_segment().map(|segment| (segment.mode, segment.name.clone()));
        let (mode, segment) = named.map_or((SegmentMode::Off, None), |(mode, name)| (mode, Some(name)));
        let flags = Subject::IS_HOST;
        let subject = Subject { identity, mode: mode_code(mode), flags, ..Subject::default() };
        // The classes were made with the tables.
        let mut hosted = self.hosted(identity, kind::HOST, base.into(), subject, &mut Vec::new());
        let (mode_of_unknown, flags) =
            (mode_code(self.default_mode), Subject::HOSTED | Subject::NO_LINK_HEADER);
        let unknown = Subject { mode: mode_of_unknown, flags, ..Subject::default() };
        hosted.push((Subject::UNKNOWN, unknown));
        HostPlan { identity, mode, segment, hosted }
    }

    /// `subject` as somebody known by its cgroups, at each place.
    fn hosted(
        &mut self,
        identity: u32,
        kind: u8,
        base: Base,
        subject: Subject,
        changed: &mut Changed,
    ) -> Vec<(u32, Subject)> {
        let flags = subject.flags & !Subject::MORE_ADDRESSES | Subject::HOSTED | Subject::NO_LINK_HEADER;
        let (number, places) = (Subject::hosted(identity), 0..self.cells.places.len() as u8);
        let at = |place: u8| {
            let cell = self.cells.hosted(identity, kind, base, place);
            let Endpoint { class, coarse, lease, .. } = self.endpoint(cell, changed);
            let now = Subject { class4: class, coarse4: coarse, class6: class, coarse6: coarse, ..subject };
            let classes = Subject {
                after4: lease.class,
                coarse_after4: lease.coarse,
                after6: lease.class,
                coarse_after6: lease.coarse,
                ..now
            };
            (Subject::at(number, place), Subject { flags, address4: [0], address6: [0; 4], ..classes })
        };
        places.map(at).collect()
    }

    fn workload_at(
        &mut self,
        identity: u32,
        base: Base,
        hooked: bool,
        at: Option<IpAddr>,
        changed: &mut Changed,
    ) -> Endpoint {
        let cell = self.cells.workload(identity, base, hooked, at);
        let mut endpoint = self.endpoint(cell, changed);
        if self.quarantined.contains(&identity) {
            endpoint.kind |= kind::QUARANTINED;
        }
        endpoint
    }

    fn endpoint(&mut self, cell: Cell, changed: &mut Changed) -> Endpoint {
        cell.endpoint(&mut self.classes, &mut self.cells.lists, changed)
    }

    /// What `at` is where no workload has it: `None` for what its prefix says.
    fn unclaimed(&mut self, at: IpAddr, changed: &mut Changed) -> Option<Endpoint> {
        if self.host.contains(&at) {
            let cell = self.cells.host(self.host_identity, at);
            return Some(self.endpoint(cell, changed));
        }
        self.named.get(&at).copied()
    }
}

impl Compiled {
    /// Adds a workload, or changes the one with its name. `None` where the change can't be made in place: compile the whole.
    /// The tables of this value are then those of before, and stay so.
    pub fn upsert_workload(
        &mut self,
        workload: &Workload,
        numbers: &mut Numbers,
        clock: Clock,
    ) -> Result<Option<Delta>, CompileError> {
        if self.state.stale {
            return Ok(None);
        }
        for address in &workload.addresses {
            if let Some(first) = self.state.owners.get(address).filter(|first| **first != workload.name) {
                let (first, second) = (first.clone(), workload.name.clone());
                return Err(CompileError::Address { address: *address, first, second });
            }
        }
        let kind = IdentityKind::Workload;
        let identity = numbers.identity(identity_key(kind, &workload.name))?;
        let base = self.state.cells.base_of(workload, clock);
        let known = Known::new(identity, base, workload);
        if known.hosted && self.state.places_stale {
            return Ok(None);
        }
        let (hooked, hosted, addresses) = (known.hooked, known.hosted, known.addresses.clone());
        let before = self.state.workloads.insert(workload.name.clone(), known);

        let mut changed = Vec::new();
        let mut delta = Delta::default();
        for at in before.iter().flat_map(|before| &before.addresses).filter(|at| !addresses.contains(at)) {
            self.state.owners.remove(at);
            let endpoint = self.state.unclaimed(*at, &mut changed);
            self.note(&mut delta, *at, endpoint);
        }
        for at in &addresses {
            self.state.owners.insert(*at, workload.name.clone());
            let mut endpoint = self.state.workload_at(identity, base, hooked, Some(*at), &mut changed);
            if let Some(place) =
                self.state.cells.place(*at).filter(|_| hosted && self.state.host.contains(at))
            {
                (endpoint.local, endpoint.place) = (1, place);
            }
            self.note(&mut delta, *at, Some(endpoint));
        }
        if addresses.is_empty() && hooked {
            self.state.workload_at(identity, base, true, None, &mut changed);
        }
        let plan = self.state.plan_noting(workload, &mut changed);
        let at = self.subjects.iter().position(|plan| plan.workload == workload.name);
        match (&plan, at) {
            (Some(plan), Some(at)) if self.subjects[at] == *plan => {}
            (Some(plan), _) => delta.subjects.push(plan.clone()),
            (None, Some(_)) => delta.removed_subjects.push(workload.name.clone()),
            (None, None) => {}
        }
        let Some(delta) = self.finish(delta, changed)? else { return Ok(None) };
        let info = IdentityInfo {
            number: identity,
            kind,
            name: workload.name.clone(),
            labels: workload.labels_at(clock.now).into_owned(),
        };
        self.identities.insert(identity, Arc::new(info));
        match (plan, at) {
            (Some(plan), Some(at)) => self.subjects[at] = plan,
            (Some(plan), None) => self.subjects.push(plan),
            (None, Some(at)) => drop(self.subjects.remove(at)),
            (None, None) => {}
        }
        Ok(Some(delta))
    }

    /// Removes the workload with this name; nothing happens where there is none. `None` as for [`Compiled::upsert_workload`].
    pub fn remove_workload(
        &mut self,
        name: &str,
        numbers: &mut Numbers,
    ) -> Result<Option<Delta>, CompileError> {
        if self.state.stale {
            return Ok(None);
        }
        let Some(known) = self.state.workloads.remove(name) else { return Ok(Some(Delta::default())) };
        let mut changed = Vec::new();
        let mut delta = Delta::default();
        for at in &known.addresses {
            self.state.owners.remove(at);
            let endpoint = self.state.unclaimed(*at, &mut changed);
            self.note(&mut delta, *at, endpoint);
        }
        let at = self.subjects.iter().position(|plan| plan.workload == name);
        delta.removed_subjects.extend(at.map(|_| name.to_owned()));
        let Some(delta) = self.finish(delta, changed)? else { return Ok(None) };
        at.map(|at| self.subjects.remove(at));
        self.identities.remove(&known.identity);
        numbers.release_identity(&identity_key(IdentityKind::Workload, name));
        Ok(Some(delta))
    }

    /// Makes these the machine's own addresses. `None` as for [`Compiled::upsert_workload`].
    pub fn set_host_addresses(&mut self, host: &[IpAddr]) -> Result<Option<Delta>, CompileError> {
        if self.state.stale {
            return Ok(None);
        }
        if self.state.host == host {
            return Ok(Some(Delta::default()));
        }
        // Who lives on the machine's addresses would stand elsewhere.
        if self.state.cells.places_of(host) != self.state.cells.places {
            if self.host.mode != SegmentMode::Off || self.state.workloads.values().any(|known| known.hosted) {
                self.state.stale = true;
                return Ok(None);
            }
            self.state.places_stale = true;
        }
        let before = std::mem::replace(&mut self.state.host, host.to_vec());
        let hosted = |known: &Known| known.hosted && !known.addresses.is_empty();
        if self.state.workloads.values().any(hosted) {
            self.state.stale = true;
            return Ok(None);
        }
        let mut touched: Vec<IpAddr> = before.into_iter().chain(host.iter().copied()).collect();
        touched.sort_unstable();
        touched.dedup();
        let mut changed = Vec::new();
        let mut delta = Delta::default();
        for at in touched {
            if !self.state.owners.contains_key(&at) {
                let endpoint = self.state.unclaimed(at, &mut changed);
                self.note(&mut delta, at, endpoint);
            }
        }
        self.finish(delta, changed)
    }

    /// Notes what `at` becomes, if that isn't what it is.
    fn note(&self, delta: &mut Delta, at: IpAddr, endpoint: Option<Endpoint>) {
        match at {
            IpAddr::V4(at) => {
                let key = address::v4(at.octets());
                let is = self.image.addresses4.binary_search_by_key(&key, |(key, _)| *key).ok();
                match (is.map(|at| self.image.addresses4[at].1), endpoint) {
                    (is, Some(endpoint)) if is != Some(endpoint) => {
                        delta.addresses4.push((key, Some(endpoint)))
                    }
                    (Some(_), None) => delta.addresses4.push((key, None)),
                    _ => {}
                }
            }
            IpAddr::V6(at) => {
                let key = address::v6(at.octets());
                let is = self.image.addresses6.binary_search_by_key(&key, |(key, _)| *key).ok();
                match (is.map(|at| self.image.addresses6[at].1), endpoint) {
                    (is, Some(endpoint)) if is != Some(endpoint) => {
                        delta.addresses6.push((key, Some(endpoint)))
                    }
                    (Some(_), None) => delta.addresses6.push((key, None)),
                    _ => {}
                }
            }
        }
    }

    /// Adds the rows that the changed classes need, and does to the image what the delta does to the bank.
    fn finish(&mut self, mut delta: Delta, changed: Changed) -> Result<Option<Delta>, CompileError> {
        // The first note of a class has the uses it had in the tables.
        let mut had: FxHashMap<u32, u8> = FxHashMap::default();
        for (class, uses) in changed {
            had.entry(class).or_insert(uses);
        }
        let State { cells, classes, links, answers, .. } = &mut self.state;
        let (rules, rule_index) = (&self.rules, &self.rule_index);
        let name =
            |number: u32| rule_index.get(&number).map_or_else(String::new, |at| rules[*at as usize].name());
        let rows = links.added(&had, classes, &cells.lists, answers, &name);
        let fits = |have: usize, more: usize, limit: u32| have + more <= limit as usize;
        let pairs = match rows {
            Ok(pairs)
                if answers.fits().is_ok()
                    && fits(self.image.pairs.len(), pairs.len(), limits::PAIRS)
                    && fits(self.image.addresses4.len(), delta.addresses4.len(), limits::ADDRESSES)
                    && fits(self.image.addresses6.len(), delta.addresses6.len(), limits::ADDRESSES) =>
            {
                pairs
            }
            // What rows of removed workloads take may be what is missing: a whole compile tells.
            Ok(_) | Err(_) => {
                self.state.stale = true;
                return Ok(None);
            }
        };
        let flags = pairs.iter().fold(self.image.generation.flags, |flags, (key, _)| flags | flag(key));
        let mut generation = self.image.generation;
        generation.flags = flags;
        delta.pairs = pairs.into_iter().map(|(key, set)| (key, Some(set))).collect();
        delta.generation = (generation != self.image.generation).then_some(generation);
        delta.decisions = behind(&self.image.decisions, &self.state.answers.decisions);
        delta.intervals = behind(&self.image.intervals, &self.state.answers.intervals);
        self.image.apply(&delta);
        Ok(Some(delta))
    }
}

/// What `now` has behind what `before` has, with indexes.
fn behind<T: Copy>(before: &[T], now: &[T]) -> Vec<(u32, T)> {
    (before.len() as u32..).zip(now[before.len()..].iter().copied()).collect()
}

fn answers(on_deny: OnDeny) -> u8 {
    match on_deny {
        OnDeny::Drop => 0,
        OnDeny::Reset => Subject::ANSWERS_DENIED,
    }
}

fn mode_code(mode: SegmentMode) -> u8 {
    match mode {
        SegmentMode::Off => mode::OFF,
        SegmentMode::Audit => mode::AUDIT,
        SegmentMode::Enforce => mode::ENFORCE,
    }
}
