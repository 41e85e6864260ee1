//! What has been counted, told now and then to those who keep records.

use super::Engine;
use crate::daemon::telemetry::metrics::{causes, mode_word};
use crate::protocol::{Counts, CountsRecord, Events, Missed, RuleCounts, VerdictCounts};
use enforcer_common::maps::{ReasonCounter, RuleCounter, Tally};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::debug;

/// Between two lines of counters.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Rules of one line; more make more lines.
const RULES_EACH: usize = 256;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Totals {
    at: Option<Instant>,
    events: Option<Events>,
    verdicts: Vec<ReasonCounter>,
    rules: HashMap<String, RuleCounter>,
}

impl Engine {
    /// Tells what the kernel left out.
    pub(super) fn tell_missed(&self) {
        match self.datapath.event_counters() {
            Ok(counted) => self.feed.counted(Missed { lost: counted.lost, suppressed: counted.suppressed }),
            Err(error) => debug!(%error, "could not read the event counters"),
        }
    }

    /// Tells the counters that rose, if it is time and anybody keeps them.
    pub(super) fn tell_totals_in_time(&mut self) {
        if self.feed.keeps_records() && self.totals.at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            self.tell_totals();
        }
    }

    /// Tells the counters that rose.
    pub(super) fn tell_totals(&mut self) {
        self.totals.at = Some(Instant::now());
        let (Ok(events), Ok(verdicts)) = (self.datapath.event_counters(), self.datapath.verdict_counters())
        else {
            return debug!("could not read the counters");
        };
        let events = Events { sent: events.sent, lost: events.lost, suppressed: events.suppressed };
        let told = self.risen_verdicts(&verdicts);
        let mut rules = self.risen_rules();
        if told.is_empty() && rules.is_empty() && self.totals.events == Some(events) {
            return;
        }
        let mut record = CountsRecord {
            schema: "enforcer.counts/v1".to_owned(),
            time: format!("{:.3}", jiff::Timestamp::now()),
            epoch: self.datapath.current().unwrap_or(0),
            events,
            verdicts: told,
            rules: Vec::new(),
        };
        loop {
            let rest = rules.split_off(rules.len().min(RULES_EACH));
            record.rules = std::mem::replace(&mut rules, rest);
            self.feed.totals(record.clone());
            record.verdicts.clear();
            if rules.is_empty() {
                break;
            }
        }
        (self.totals.events, self.totals.verdicts) = (Some(events), verdicts);
    }

    fn risen_verdicts(&self, now: &[ReasonCounter]) -> Vec<VerdictCounts> {
        let all = causes().flat_map(|(reason, word)| Tally::all().map(move |tally| (reason, word, tally)));
        let risen = all.filter_map(|(reason, word, tally)| {
            let slot = tally.slot(reason.map(|reason| reason as u32)) as usize;
            let counter = now.get(slot)?;
            let before = self.totals.verdicts.get(slot).copied().unwrap_or_default();
            (*counter != before).then(|| VerdictCounts {
                direction: tally.direction().word().to_owned(),
                verdict: tally.word().word().to_owned(),
                reason: word.to_owned(),
                detail: reason
                    .map(|reason| reason.detail())
                    .filter(|detail| *detail != word)
                    .map(str::to_owned),
                mode: mode_word(tally.mode()).to_owned(),
                counts: Counts::from(counter),
            })
        });
        risen.collect()
    }

    fn risen_rules(&mut self) -> Vec<RuleCounts> {
        let now = self.rules_with_hits();
        let before = &self.totals.rules;
        let risen = now.iter().filter(|(rule, counter)| before.get(rule) != Some(counter));
        let risen =
            risen.map(|(rule, counter)| RuleCounts { rule: rule.clone(), counts: Counts::from(counter) });
        let risen = risen.collect();
        self.totals.rules = now.into_iter().collect();
        risen
    }
}
