//! What Segments say of workloads that do too much: who is counted, and what is done with one that is found out.

use super::Engine;
use crate::daemon::thresholds::{Exceeded, Watched};
use crate::protocol::{ActionRecord, QuarantineRequest};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::explain::{End, Place, Who, selects};
use enforcer_policy::model::ThresholdAction;
use tracing::warn;

impl Engine {
    /// Says who is counted, after the set in force has changed.
    pub(super) fn watch_thresholds(&self) {
        let Some(live) = &self.live else { return };
        let mut all = Vec::new();
        for segment in live.set.segments.iter() {
            let Some(threshold) = &segment.quarantine else { continue };
            for plan in &live.compiled.subjects {
                let Some(workload) = live.workload(&plan.workload) else { continue };
                let who = Who::Workload(workload);
                let places =
                    workload.addresses.iter().map(|at| Place::At(*at)).chain([Place::Anywhere(None)]);
                if places.into_iter().any(|place| selects(&segment.select, &End { who, place })) {
                    all.push((
                        plan.identity,
                        Watched {
                            workload: workload.name.clone(),
                            segment: segment.name.clone(),
                            threshold: threshold.clone(),
                        },
                    ));
                }
            }
        }
        self.feed.thresholds().watch(all);
    }

    /// A workload has exceeded a threshold.
    pub(super) fn exceeded(&mut self, exceeded: Exceeded) {
        let Exceeded { workload, segment, why } = exceeded;
        let Some(live) = &self.live else { return };
        let threshold = live.set.segments.iter().find(|one| one.name == segment);
        let Some(threshold) = threshold.and_then(|segment| segment.quarantine.clone()) else { return };
        warn!(workload = shown(&workload), segment = shown(&segment), why, "over the threshold");
        self.feed.acted(ActionRecord {
            action: "threshold".to_owned(),
            workload: Some(workload.clone()),
            segment: Some(segment.clone()),
            why: Some(why.clone()),
            epoch: self.datapath.current().unwrap_or(0),
            ..ActionRecord::now()
        });
        // An operator's word, or an earlier one of a Segment, stands.
        if threshold.action == ThresholdAction::Report || self.quarantines.holds(&workload) {
            return;
        }
        let request = QuarantineRequest { workload, seconds: threshold.term, except: None, why };
        if let Err(refused) = self.hold(&request, Some(segment)) {
            warn!(error = refused.message, "could not quarantine a workload that is over its threshold");
        }
    }
}
