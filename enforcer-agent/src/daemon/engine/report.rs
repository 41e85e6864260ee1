//! What `status` tells.

use super::Engine;
use crate::datapath::Usage;
use crate::protocol::{
    Counts, DegradedStatus, DenyWindow, Events, Finding, InterfaceStatus, ReasonStatus, RuleStatus,
    SocketsStatus, SourceStatus, State, Status, TableStatus, WorkloadStatus,
};
use crate::sources::{Key, Kind, Windows};
use enforcer_common::Reason;
use enforcer_common::maps::Subject;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::warn;

impl Engine {
    /// What is enforced, since when, and what has been counted.
    pub(super) fn status(&mut self) -> Status {
        let mut warnings: Vec<Finding> =
            self.settings.idle.iter().map(|idle| Finding::placeless("warning", idle.clone())).collect();
        let missing = self.missing.iter().map(|path| path.display().to_string().escape_debug().to_string());
        warnings.extend(missing.map(|path| {
            Finding::placeless("warning", format!("the policy path `{path}` isn't there (yet)"))
        }));
        warnings.extend(self.quarantines.damage().map(|damage| {
            Finding::placeless(
                "warning",
                format!("nobody is quarantined, for who was can't be read: {damage}"),
            )
        }));
        warnings.extend(self.postures.damage().map(|damage| {
            let message =
                format!("nothing is attested of any workload, for what was can't be read: {damage}");
            Finding::placeless("warning", message)
        }));
        warnings.extend(self.locked_out.iter().cloned());
        warnings.extend(self.rolled_back.iter().map(|told| Finding::placeless("warning", told.clone())));
        if self.trial.as_ref().is_some_and(super::Trial::is_waited_for) {
            let message =
                "changes of the policy files wait until the applied set is confirmed or rolled back";
            warnings.push(Finding::placeless("warning", message.to_owned()));
        }
        if self.settings.sources.is_empty() && self.containers.documents.want_containers() {
            let message = "there are `container` matches, and no container engine to look for them in";
            let help = "name one in the AgentConfig's `sources`, such as `docker: {}`";
            warnings.push(Finding::placeless("warning", message.to_owned()).help(help));
        }
        let troubles = self.feed.tallies().troubles();
        warnings.extend(troubles.into_iter().map(|trouble| Finding::placeless("warning", trouble)));
        let rules = self.rules(&mut warnings);
        let reasons = self.reasons(&mut warnings);
        let events = match self.datapath.event_counters() {
            Ok(counted) => Events { sent: counted.sent, lost: counted.lost, suppressed: counted.suppressed },
            Err(error) => {
                warnings.push(unread("the event counters", &error));
                Events::default()
            }
        };
        let tables = self.tables(&mut warnings);
        let live = self.live.as_ref();
        warnings.extend(live.iter().flat_map(|live| live.warnings.clone()));
        let documents: BTreeMap<String, usize> = live.map_or_else(BTreeMap::new, |live| {
            let joined = self.containers.joined.workloads.len();
            let written = |(kind, count): (&str, usize)| match kind {
                "Workload" => (kind.to_owned(), count.saturating_sub(joined)),
                _ => (kind.to_owned(), count),
            };
            live.documents().map(written).into()
        });
        let degraded = self.why_degraded().map(|why| DegradedStatus {
            why,
            since: self
                .degraded
                .as_ref()
                .map(|degraded| degraded.since)
                .into_iter()
                .chain(self.tampering.since())
                .min()
                .unwrap_or_else(jiff::Timestamp::now)
                .to_string(),
            diagnostics: self.degraded.as_ref().map_or_else(Vec::new, |degraded| degraded.findings.clone()),
        });
        Status {
            schema: "enforcer.status/v1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if degraded.is_some() || live.is_none() { State::Degraded } else { State::Enforcing },
            degraded,
            since: live.map(|live| live.since.to_string()),
            started: self.started.to_string(),
            epoch: self.datapath.current().unwrap_or(0),
            generation: self.generation,
            policies: live.map_or(0, |live| live.set.policies.len()),
            documents,
            applied_files: self.applied.files.len(),
            workloads: self.workloads(),
            sockets: self.sockets(),
            unclaimed: self
                .interfaces
                .all()
                .filter(|one| one.workload.is_none() && one.hook.is_some())
                .map(|one| self.shown(one))
                .collect(),
            sources: self.sources(),
            rules,
            reasons,
            events,
            tamper: self.tampering.status(),
            quarantines: self.quarantines.all().to_vec(),
            failsafe: self.settings.failsafe.iter().map(crate::daemon::failsafe::told).collect(),
            postures: self.postures.status(),
            trial: self.trial.as_ref().map(super::Trial::status),
            tables,
            not_yet_enforced: live.map_or_else(Vec::new, |live| live.not_yet_enforced.clone()),
            warnings,
        }
    }

    fn workloads(&self) -> Vec<WorkloadStatus> {
        let Some(live) = &self.live else { return Vec::new() };
        let cgroups = self.cgroups.by_owner();
        let mut interfaces: BTreeMap<&str, Vec<InterfaceStatus>> = BTreeMap::new();
        for interface in self.interfaces.all() {
            if let Some(workload) = &interface.workload {
                interfaces.entry(workload).or_default().push(self.shown(interface));
            }
        }
        let described = live.compiled.subjects.iter().map(|plan| WorkloadStatus {
            name: plan.workload.clone(),
            labels: live
                .compiled
                .identity(plan.identity)
                .map_or_else(BTreeMap::new, |identity| (*identity.labels).clone()),
            mode: plan.mode.word().to_owned(),
            segment: plan.segment.clone(),
            addresses: plan.addresses.clone(),
            interfaces: interfaces.remove(plan.workload.as_str()).unwrap_or_default(),
            cgroups: cgroups
                .get(&Subject::hosted(plan.identity))
                .map_or_else(Vec::new, |paths| paths.iter().map(|path| (*path).to_owned()).collect()),
        });
        described.collect()
    }

    fn sockets(&self) -> Option<SocketsStatus> {
        let host = &self.live.as_ref()?.compiled.host;
        let (root, error) = (self.cgroups.hooked(), self.cgroups.error());
        (root.is_some() || error.is_some()).then(|| SocketsStatus {
            root: root.map(|root| root.path.clone()),
            error: error.map(str::to_owned),
            host: host.mode.word().to_owned(),
            host_segment: host.segment.clone(),
        })
    }

    fn sources(&self) -> Vec<SourceStatus> {
        let followed = &self.settings.sources;
        let docker = followed.docker.iter().map(|settings| (Kind::Docker, settings));
        let containerd = followed.containerd.iter().map(|settings| (Kind::Containerd, settings));
        let roster = &self.containers.around.roster;
        let described = docker.chain(containerd).map(|(kind, settings)| {
            let engine = roster.engine(kind);
            let windows = self.containers.windows.get(&kind).map(Windows::statistics).unwrap_or_default();
            let micros = |window: Duration| u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
            let of = |key: &Key| key.kind == kind;
            let refusals = self.containers.joined.refusals.iter().filter(|one| of(&one.container));
            SourceStatus {
                kind: kind.word().to_owned(),
                socket: settings.socket.display().to_string(),
                state: match (&engine.silence, engine.heard) {
                    (Some(_), _) => "silent",
                    (None, true) => "heard",
                    (None, false) => "unheard",
                }
                .to_owned(),
                silent_since: engine.silence.as_ref().map(|silence| silence.since.to_string()),
                why: engine.silence.map(|silence| silence.why),
                containers: roster.containers().filter(|one| of(&one.key)).count(),
                managed: self.containers.joined.names.keys().filter(|key| of(key)).count(),
                reports: engine.reports,
                skipped: engine.skipped,
                deny_window: DenyWindow {
                    containers: windows.count,
                    p50_us: micros(windows.median),
                    p99_us: micros(windows.p99),
                    max_us: micros(windows.longest),
                },
                refused: refusals.take(100).map(|one| format!("{}: {}", one.container, one.why)).collect(),
            }
        });
        described.collect()
    }

    fn shown(&self, interface: &super::interfaces::Interface) -> InterfaceStatus {
        InterfaceStatus {
            name: interface.link.name.clone(),
            ifindex: interface.link.ifindex,
            attached: interface.hook.is_some(),
            hook: interface.hook.map(|hook| hook.word().to_owned()),
            error: interface.error.clone(),
            unreachable: self.tampering.ahead_of(interface.link.ifindex),
        }
    }

    /// Why the live set isn't what every packet is judged by.
    pub(super) fn why_degraded(&self) -> Option<String> {
        let set = self.degraded.as_ref().map(|degraded| degraded.why.clone());
        let why: Vec<String> = set.into_iter().chain(self.tampering.why()).collect();
        (!why.is_empty()).then(|| why.join("; "))
    }

    fn rules(&self, warnings: &mut Vec<Finding>) -> Vec<RuleStatus> {
        let Some(live) = &self.live else { return Vec::new() };
        let rules = &live.compiled.rules;
        let highest = rules.iter().map(|rule| rule.number + 1).max().unwrap_or(0);
        let counters = self.datapath.rule_counters(highest).unwrap_or_else(|error| {
            warnings.push(unread("the rules' counters", &error));
            Vec::new()
        });
        let counted = rules.iter().map(|rule| RuleStatus {
            rule: rule.name(),
            file: rule.origin.file.to_string(),
            line: rule.origin.line,
            counts: counters.get(rule.number as usize).map_or_else(Counts::default, Counts::from),
        });
        counted.collect()
    }

    fn tables(&self, warnings: &mut Vec<Finding>) -> Vec<TableStatus> {
        let usage = self.datapath.usage().unwrap_or_else(|error| {
            warnings.push(unread("how full the tables are", &error));
            Vec::new()
        });
        let told = |usage: Usage| TableStatus {
            table: usage.table.to_owned(),
            used: usage.used,
            limit: usage.limit,
        };
        usage.into_iter().map(told).collect()
    }

    fn reasons(&self, warnings: &mut Vec<Finding>) -> Vec<ReasonStatus> {
        let counters = self.datapath.reason_counters().unwrap_or_else(|error| {
            warnings.push(unread("the reasons' counters", &error));
            Vec::new()
        });
        let counted = Reason::ALL.iter().filter_map(|reason| {
            let counts = Counts::from(counters.get(*reason as usize)?);
            let (word, detail) = (reason.word().to_owned(), reason.detail().to_owned());
            (counts.packets > 0).then_some(ReasonStatus { reason: word, detail, counts })
        });
        counted.collect()
    }
}

fn unread(what: &str, error: &crate::datapath::DatapathError) -> Finding {
    warn!(%error, "could not read {what}");
    Finding::placeless("warning", format!("could not read {what}: {error}"))
}
