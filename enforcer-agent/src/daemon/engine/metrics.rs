//! What the engine tells of itself for metrics: numbers as they are, gathered quickly.

use super::Engine;
use crate::daemon::clock::Instants;
use crate::daemon::telemetry::metrics::{HookState, HookedAt, Snapshot};
use crate::datapath::{DatapathError, Place, Usage};
use enforcer_common::maps::{Direction, RuleCounter};
use std::time::{Duration, Instant};
use tracing::debug;

/// Counting entries takes longer than everything else here: not for each scrape.
const COUNTED_EVERY: Duration = Duration::from_secs(15);
const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// How full the tables were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Counted {
    at: Option<Instant>,
    usage: Vec<Usage>,
}

impl Engine {
    /// How things stand.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.count_entries();
        let live = self.live.as_ref();
        Snapshot {
            epoch: self.datapath.current().unwrap_or(0),
            generation: self.generation,
            since: live.map(|live| live.since),
            degraded: live.is_none() || self.why_degraded().is_some(),
            documents: live.map_or_else(Vec::new, |live| live.documents().to_vec()),
            rules_in_force: live.map_or(0, |live| live.compiled.rules.len()),
            verdicts: read("the verdicts' counters", self.datapath.verdict_counters()),
            rules: self.rules_with_hits(),
            events: self.datapath.event_counters().ok(),
            usage: self.counted.usage.clone(),
            hooks: self.hooks(),
            unrepaired: self.tampering.status().unrepaired,
        }
    }

    /// What was noticed last is in force now.
    pub(super) fn tell_applied(&self) {
        let took = Instants::now().boot.saturating_sub(self.noticed);
        self.feed.tallies().applied(Duration::from_nanos(took));
    }

    fn count_entries(&mut self) {
        if self.counted.at.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
            let usage = read("how full the tables are", self.datapath.usage());
            self.counted = Counted { at: Some(Instant::now()), usage };
        }
    }

    /// Rules in force that have decided something.
    pub(super) fn rules_with_hits(&self) -> Vec<(String, RuleCounter)> {
        let Some(live) = &self.live else { return Vec::new() };
        let rules = &live.compiled.rules;
        let highest = rules.iter().map(|rule| rule.number + 1).max().unwrap_or(0);
        let counters = read("the rules' counters", self.datapath.rule_counters(highest));
        let hit = rules.iter().filter_map(|rule| {
            let counter = counters.get(rule.number as usize).filter(|counter| counter.packets > 0)?;
            Some((rule.name(), *counter))
        });
        hit.collect()
    }

    fn hooks(&self) -> Vec<HookState> {
        let concerned = self.interfaces.all().filter(|one| one.workload.is_some() || one.hook.is_some());
        let devices = concerned.flat_map(|one| {
            let ahead = self.tampering.ahead_of(one.link.ifindex);
            BOTH.map(|direction| HookState {
                at: HookedAt::Device { interface: one.link.name.clone(), workload: one.workload.clone() },
                direction: direction.word(),
                hook: one.hook.map(|hook| hook.word()),
                attached: one.hook.is_some()
                    && !self.tampering.is_broken(&Place::Hook { ifindex: one.link.ifindex, direction }),
                reachable: ahead.iter().all(|one| one.direction != direction.word()),
            })
        });
        let sockets = self.cgroups.hooked().map(|root| &*root.path);
        let wanted = sockets.is_some() || self.cgroups.error().is_some();
        let sockets = BOTH.into_iter().filter(|_| wanted).map(|direction| HookState {
            at: HookedAt::Sockets { cgroup: self.cgroups.root().map(|root| root.path.clone()) },
            direction: direction.word(),
            hook: sockets.map(|_| "cgroup"),
            attached: sockets.is_some() && !self.tampering.is_broken(&Place::Sockets { direction }),
            reachable: true,
        });
        devices.chain(sockets).collect()
    }
}

/// What can't be read is left out of the page.
fn read<T>(what: &str, counters: Result<Vec<T>, DatapathError>) -> Vec<T> {
    counters.unwrap_or_else(|error| {
        debug!(%error, "could not read {what}");
        Vec::new()
    })
}
