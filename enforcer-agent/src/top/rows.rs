//! Records put together: one row for each hook, pair of ends, port, verdict and cause.

use crate::protocol::{CauseRecord, Counts, End, FlowRecord, Status};
use enforcer_policy::diagnostic::{shown, shown_path};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Instant;

/// Rows that are kept; beyond them, those go that were seen longest ago.
const MOST: usize = 10_000;

/// What makes one row of several records, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) port: String,
    pub(super) direction: String,
    pub(super) verdict: String,
    pub(super) cause: String,
}

impl Key {
    fn of(record: &FlowRecord) -> Self {
        Self {
            source: end(&record.source),
            destination: end(&record.destination),
            port: port(record),
            direction: shown(&record.direction),
            verdict: shown(&record.verdict),
            cause: cause(&record.cause),
        }
    }
}

/// Flows that are alike.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    /// How many records there were.
    pub(super) records: u64,
    /// Bytes of the packets that they are about.
    pub(super) bytes: u64,
    /// The youngest of them.
    pub(super) last: FlowRecord,
    /// In which order rows were touched.
    #[serde(skip)]
    pub(super) touched: u64,
}

/// Who an end is, in few words: its name and address.
fn end(end: &End) -> String {
    let name = end.workload.as_ref().or(end.group.as_ref()).or(end.entity.as_ref()).map(|name| shown(name));
    let address = end.ip.map(|ip| ip.to_string());
    let pieces: Vec<String> = name.into_iter().chain(address).collect();
    if pieces.is_empty() { "-".to_owned() } else { pieces.join(" ") }
}

/// The port that tells what a flow is for: of the two, the destination's. A reply that is denied has a row of its own.
fn port(record: &FlowRecord) -> String {
    let protocol = record.protocol.as_deref().map_or_else(|| "-".to_owned(), shown);
    match (record.icmp, record.destination.port) {
        (Some(icmp), _) => format!("{protocol}/{}/{}", icmp.kind, icmp.code),
        (None, Some(port)) => format!("{protocol}/{port}"),
        (None, None) => protocol,
    }
}

/// The rule, or the reason by its finer name.
fn cause(cause: &CauseRecord) -> String {
    let CauseRecord { rule, reason, detail, .. } = cause;
    rule.as_ref()
        .or(detail.as_ref())
        .or(reason.as_ref())
        .map_or_else(|| "unknown".to_owned(), |name| shown(name))
}

/// Every row there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    all: HashMap<Key, Row>,
    /// Records so far.
    pub(super) taken: u64,
}

impl Rows {
    pub(super) fn add(&mut self, record: FlowRecord) {
        self.taken += 1;
        let key = Key::of(&record);
        if self.all.len() >= MOST && !self.all.contains_key(&key) {
            self.thin();
        }
        let (touched, bytes, packets) = (self.taken, record.bytes, record.packets);
        match self.all.get_mut(&key) {
            Some(row) => {
                row.records = row.records.saturating_add(packets);
                row.bytes = row.bytes.saturating_add(bytes);
                (row.last, row.touched) = (record, touched);
            }
            None => {
                self.all.insert(key, Row { records: packets, bytes, last: record, touched });
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Row)> {
        self.all.iter()
    }

    /// Lets the older half go.
    fn thin(&mut self) {
        let mut touched: Vec<u64> = self.all.values().map(|row| row.touched).collect();
        let (_, middle, _) = touched.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.all.retain(|_, row| row.touched >= middle);
    }
}

/// A rule, or a reason where none decided, and how often it has of late.
#[derive(Debug, Clone)]
pub(super) struct RuleRow {
    /// As tests of filters see it.
    pub(super) cause: CauseRecord,
    /// As it is shown.
    pub(super) name: String,
    /// Where it is written.
    pub(super) place: String,
    pub(super) counts: Counts,
    /// Packets a second since the status before.
    pub(super) rate: f64,
}

/// What has decided: all rules, and the reasons that were met, with rates from the rows before.
pub(super) fn rules(now: &Status, before: &[RuleRow], since: Option<Instant>, at: Instant) -> Vec<RuleRow> {
    let known: HashMap<&CauseRecord, u64> =
        before.iter().map(|row| (&row.cause, row.counts.packets)).collect();
    let seconds = since.map_or(0.0, |since| at.saturating_duration_since(since).as_secs_f64());
    let rate = |cause: &CauseRecord, packets: u64| {
        // Without a count before there is no telling how much of it is new.
        let more = known.get(cause).map_or(0, |count| packets.saturating_sub(*count));
        #[expect(clippy::cast_precision_loss, reason = "it is shown with few digits")]
        let rate = if seconds > 0.0 { more as f64 / seconds } else { 0.0 };
        rate
    };
    let row = |cause: CauseRecord, place: String, counts: Counts| RuleRow {
        rate: rate(&cause, counts.packets),
        name: self::cause(&cause),
        cause,
        place,
        counts,
    };
    let rules = now.rules.iter().map(|one| {
        let cause = CauseRecord { rule: Some(one.rule.clone()), ..CauseRecord::default() };
        row(cause, format!("{}:{}", shown_path(&one.file), one.line), one.counts)
    });
    let reasons = now.reasons.iter().filter(|one| one.counts.packets > 0).map(|one| {
        let (reason, detail) = (Some(one.reason.clone()), Some(one.detail.clone()));
        row(CauseRecord { reason, detail, ..CauseRecord::default() }, "-".to_owned(), one.counts)
    });
    rules.chain(reasons).collect()
}
