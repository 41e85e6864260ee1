//! Changes that don't need the whole set checked and compiled again: one workload that comes, changes or goes, and the
//! machine's own addresses. They cost the same in a set of ten workloads and of a hundred thousand.
//!
//! What would have to be checked against other documents and isn't sure to be right is left to the whole way, which also
//! says what is wrong. Warnings are found again only there.

use super::Engine;
use crate::daemon::clock::Instants;
use enforcer_common::maps::kind;
use enforcer_policy::compile::{CompileError, Compiled, Delta, IdentityInfo, IdentityKind, Numbers};
use enforcer_policy::document::{Document, ParsedFile};
use enforcer_policy::model::{InterfacePattern, Workload, WorkloadMatch};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tracing::{debug, info};

/// What a changed file says that the old one didn't.
#[derive(Debug, PartialEq)]
enum Difference<'a> {
    /// Nothing: comments, layout.
    None,
    /// One workload is new, or says something else.
    Upsert(&'a Workload),
    /// One workload is gone.
    Remove(&'a str),
}

/// The only file that differs, as it was and as it is; `None` where there are several.
fn changed_file<'a>(
    old: &'a [Arc<ParsedFile>],
    new: &'a [Arc<ParsedFile>],
) -> Option<(Option<&'a ParsedFile>, Option<&'a ParsedFile>)> {
    let same = |(a, b): &(&Arc<ParsedFile>, &Arc<ParsedFile>)| Arc::ptr_eq(a, b);
    let before = old.iter().zip(new).take_while(same).count();
    let (old, new) = (&old[before..], &new[before..]);
    let after = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    match (&old[..old.len() - after], &new[..new.len() - after]) {
        ([], [new]) => Some((None, Some(new))),
        ([old], []) => Some((Some(old), None)),
        ([old], [new]) => Some((Some(old), Some(new))),
        _ => None,
    }
}

/// The workloads of a file that holds nothing else and has no findings.
fn workloads(file: Option<&ParsedFile>) -> Option<HashMap<&str, &Workload>> {
    let Some(file) = file else { return Some(HashMap::new()) };
    let mut found = HashMap::new();
    for document in file.documents() {
        let Document::Workload(workload) = document else { return None };
        // Two of one name are an error that the whole way reports.
        if found.insert(workload.name.as_str(), workload).is_some() {
            return None;
        }
    }
    file.diagnostics().is_empty().then_some(found)
}

/// `None` where there are several differences, or others than of a workload.
fn difference<'a>(old: Option<&'a ParsedFile>, new: Option<&'a ParsedFile>) -> Option<Difference<'a>> {
    let (old, new) = (workloads(old)?, workloads(new)?);
    let mut upserts = new.values().filter(|workload| old.get(workload.name.as_str()) != Some(workload));
    let mut removals = old.keys().filter(|name| !new.contains_key(*name));
    match (upserts.next(), upserts.next(), removals.next(), removals.next()) {
        (None, _, None, _) => Some(Difference::None),
        (Some(workload), None, None, _) => Some(Difference::Upsert(workload)),
        (None, _, Some(name), None) => Some(Difference::Remove(name)),
        _ => None,
    }
}

impl Engine {
    /// Makes the change in place where that can be done; `false` where it has to be made as a whole.
    pub(super) fn change_in_place(&mut self, files: &[Arc<ParsedFile>]) -> bool {
        let began = Instant::now();
        let Some(live) = &self.live else { return false };
        let known = live.files.clone();
        let Some((old, new)) = changed_file(&known, files) else { return false };
        let changed = match difference(old, new) {
            None => return false,
            Some(Difference::None) => true,
            // Whose labels change may be every container that it matches.
            Some(Difference::Upsert(workload)) if self.is_template(workload) => return false,
            Some(Difference::Upsert(workload)) => self.is_sure(workload, old) && self.upsert(workload),
            Some(Difference::Remove(name)) => self.remove(name),
        };
        if !changed {
            return false;
        }
        if let Some(live) = &mut self.live {
            live.files = files.to_vec();
        }
        self.mark_quarantines();
        self.watch_thresholds();
        self.unkept.get_or_insert_with(|| Instant::now() + super::KEPT_WITHIN);
        info!(took = ?began.elapsed(), "changed in place");
        self.documents_changed();
        true
    }

    /// Whether a workload gives containers their labels, or did.
    fn is_template(&self, workload: &Workload) -> bool {
        let of_containers =
            |one: &Workload| one.matches.iter().any(|one| matches!(one, WorkloadMatch::Container { .. }));
        let before = self.live.as_ref().and_then(|live| live.workload(&workload.name));
        of_containers(workload) || before.is_some_and(of_containers)
    }

    /// Whether the workload can't be at odds with any other document. The compiler sees to its addresses.
    fn is_sure(&self, workload: &Workload, file: Option<&ParsedFile>) -> bool {
        let Some(live) = &self.live else { return false };
        let before = live.workload(&workload.name);
        let ours = file.is_some_and(|file| {
            file.documents()
                .any(|document| matches!(document, Document::Workload(one) if one.name == workload.name))
        });
        // Of a file that was changed, or else a new name.
        if before.is_some() != ours {
            return false;
        }
        if before.is_some_and(|before| before.matches == workload.matches) {
            return true;
        }
        let claimed = |name: &str| {
            let plans = live.compiled.subjects.iter().filter(|plan| plan.workload != workload.name);
            plans
                .flat_map(|plan| &plan.matches)
                .any(|matched| matches!(matched, WorkloadMatch::Interface(pattern) if pattern.matches(name)))
        };
        workload.matches.iter().all(|matched| {
            matches!(matched, WorkloadMatch::Interface(InterfacePattern { text, glob: false }) if !claimed(text))
        })
    }

    /// During a trial, makes a change in the set before as well; whether that was possible.
    fn in_place_behind(
        &mut self,
        change: impl FnOnce(&mut Compiled, &mut Numbers) -> Result<Option<Delta>, CompileError>,
    ) -> bool {
        let Some(trial) = &mut self.trial else { return true };
        trial.numbers = None;
        match change(Arc::make_mut(&mut trial.before.compiled), &mut self.numbers) {
            Ok(Some(delta)) => self.write_behind(&delta),
            Ok(None) | Err(_) => false,
        }
    }

    pub(super) fn upsert(&mut self, workload: &Workload) -> bool {
        let now = Instants::now();
        let (workload, clock) = (&self.leased(workload, now), now.clock());
        if !self.in_place_behind(|compiled, numbers| compiled.upsert_workload(workload, numbers, clock)) {
            return false;
        }
        self.upsert_live(workload, now)
    }

    /// A workload with what is attested of it.
    fn leased(&self, workload: &Workload, now: Instants) -> Workload {
        let mut workload = workload.clone();
        workload.set_lease(self.postures.lease(&workload.name, now));
        workload
    }

    /// The same of a workload that has its lease, in the set in force alone.
    pub(super) fn upsert_live(&mut self, workload: &Workload, now: Instants) -> bool {
        let Some(live) = &mut self.live else { return false };
        let compiled = Arc::make_mut(&mut live.compiled);
        let Ok(Some(delta)) = compiled.upsert_workload(workload, &mut self.numbers, now.clock()) else {
            return false;
        };
        let hooked = || live.compiled.subjects.iter().find(|plan| plan.workload == workload.name);
        let endpoints = delta.addresses4.iter().map(|(_, endpoint)| endpoint);
        let mut endpoints = endpoints.chain(delta.addresses6.iter().map(|(_, endpoint)| endpoint)).flatten();
        let named = endpoints
            .find(|endpoint| endpoint.kind & !kind::QUARANTINED == kind::WORKLOAD)
            .map(|endpoint| endpoint.identity);
        let number = named.or_else(|| hooked().map(|plan| plan.identity));
        let info = |number| IdentityInfo {
            number,
            kind: IdentityKind::Workload,
            name: workload.name.clone(),
            labels: workload.labels.clone(),
        };
        let identity = number.map(|number| Arc::new(info(number)));
        self.names.learn(&identity, []);
        let before = live.put(workload).map_or(Vec::new(), |before| before.addresses);
        self.names.relocate(&before, &workload.addresses, number);
        let written = self.write(&delta, &[]);
        self.reclaim_cgroups();
        written
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        if !self.in_place_behind(|compiled, numbers| compiled.remove_workload(name, numbers)) {
            return false;
        }
        let Some(live) = &mut self.live else { return false };
        let hosted = live.compiled.subject(name).map_or(Vec::new(), |plan| plan.hosted.clone());
        let Ok(Some(delta)) = Arc::make_mut(&mut live.compiled).remove_workload(name, &mut self.numbers)
        else {
            return false;
        };
        let before = live.take(name).map_or(Vec::new(), |before| before.addresses);
        self.names.relocate(&before, &[], None);
        self.forget_posture(name);
        // Its cgroups are somebody else's before it is gone.
        self.reclaim_cgroups();
        let gone: Vec<u32> = hosted.iter().map(|(number, _)| *number).collect();
        self.write(&delta, &gone)
    }

    /// Tells the set in force the machine's new addresses; whether that was possible in place.
    pub(super) fn host_in_place(&mut self) -> bool {
        let host = self.host.clone();
        if !self.in_place_behind(|compiled, _| compiled.set_host_addresses(&host)) {
            return false;
        }
        let Some(live) = &mut self.live else { return true };
        match Arc::make_mut(&mut live.compiled).set_host_addresses(&self.host) {
            Ok(Some(delta)) => {
                self.names.locate(&live.set, &self.host, &live.compiled.identities);
                self.write(&delta, &[])
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Writes a change over the tables, with the subjects of the devices and cgroups it concerns; `gone` are those of who was known by a cgroup.
    pub(super) fn write(&mut self, delta: &Delta, gone: &[u32]) -> bool {
        self.announce(self.next_end());
        let Some(live) = &mut self.live else { return false };
        let devices = !delta.subjects.is_empty() || !delta.removed_subjects.is_empty();
        if devices {
            self.interfaces.mark_held(|interface| self.containers.holds(interface));
        }
        let wanted = devices.then(|| self.interfaces.subjects(&live.compiled.subjects));
        let mut changed = wanted.as_ref().map_or_else(Vec::new, |wanted| self.interfaces.changed(wanted));
        changed.extend(delta.subjects.iter().flat_map(|plan| &plan.hosted).map(|(n, one)| (*n, Some(*one))));
        changed.extend(gone.iter().map(|number| (*number, None)));
        match self.datapath.apply_delta(delta, &changed) {
            Ok(epoch) => debug!(epoch, "written over the tables"),
            Err(error) => {
                debug!(%error, "could not change in place");
                return false;
            }
        }
        live.since = Timestamp::now();
        self.generation += 1;
        if let Some(wanted) = wanted {
            self.interfaces.written(&wanted);
            self.settle();
        }
        self.tell_applied();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Difference, changed_file, difference};
    use enforcer_policy::document::{ParsedFile, parse_file};
    use enforcer_policy::source::Source;
    use std::sync::Arc;

    fn file(names: &[&str]) -> Arc<ParsedFile> {
        let text: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
                     spec: {{labels: {{app: {name}}}, addresses: [10.0.0.1]}}\n"
                )
            })
            .collect();
        Arc::new(parse_file(&Source::new("a.yaml", text.join("---\n"))))
    }

    #[test]
    fn one_changed_file_is_found_wherever_it_is() {
        let (a, b, c, d) = (file(&["a"]), file(&["b"]), file(&["c"]), file(&["d"]));
        let of = |files: &[&Arc<ParsedFile>]| files.iter().map(|file| Arc::clone(file)).collect::<Vec<_>>();
        let found = |old: &[&Arc<ParsedFile>], new: &[&Arc<ParsedFile>]| {
            let (old, new) = (of(old), of(new));
            changed_file(&old, &new).map(|(old, new)| (old.is_some(), new.is_some()))
        };
        assert_eq!(found(&[&a, &b, &c], &[&a, &d, &c]), Some((true, true)));
        assert_eq!(found(&[&a, &c], &[&a, &b, &c]), Some((false, true)));
        assert_eq!(found(&[&a, &b], &[&b]), Some((true, false)));
        assert_eq!(found(&[&a, &b, &c], &[&d, &b, &a]), None);
        assert_eq!(found(&[&a], &[&a]), None);
    }

    #[test]
    fn only_one_workload_may_differ() {
        let (none, a, ab, abc) = (file(&[]), file(&["a"]), file(&["a", "b"]), file(&["a", "b", "c"]));
        assert_eq!(difference(Some(&a), Some(&a)), Some(Difference::None));
        assert!(matches!(difference(Some(&a), Some(&ab)), Some(Difference::Upsert(one)) if one.name == "b"));
        assert!(matches!(difference(None, Some(&a)), Some(Difference::Upsert(one)) if one.name == "a"));
        assert_eq!(difference(Some(&ab), Some(&a)), Some(Difference::Remove("b")));
        assert_eq!(difference(Some(&a), None), Some(Difference::Remove("a")));
        assert_eq!(difference(Some(&a), Some(&abc)), None);
        assert_eq!(difference(Some(&none), Some(&none)), Some(Difference::None));
        let bad = Arc::new(parse_file(&Source::new("a.yaml", "kind: Workload\n")));
        assert_eq!(difference(Some(&a), Some(&bad)), None);
    }
}
