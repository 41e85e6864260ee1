//! Records put together: one row for each pair of ends, port, verdict and cause.

use crate::protocol::{CauseRecord, End, FlowRecord, RuleStatus, Status};
use enforcer_policy::diagnostic::shown;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Instant;

/// Rows that are kept; beyond them, those go that were seen longest ago.
const MOST: usize = 10_000;

/// What makes one row of several records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    ends: [String; 2],
    port: String,
    verdict: String,
    cause: String,
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
pub(super) fn end(end: &End) -> String {
    let name = end.workload.as_ref().or(end.group.as_ref()).or(end.entity.as_ref()).map(|name| shown(name));
    let address = end.ip.map(|ip| ip.to_string());
    let pieces: Vec<String> = name.into_iter().chain(address).collect();
    if pieces.is_empty() { "-".to_owned() } else { pieces.join(" ") }
}

/// The port that tells what a flow is for: of the two, the destination's; where a reply's record came, the same flow has another row.
pub(super) fn port(record: &FlowRecord) -> String {
    let protocol = record.protocol.as_deref().map_or_else(|| "-".to_owned(), shown);
    match (record.icmp, record.destination.port) {
        (Some(icmp), _) => format!("{protocol}/{}/{}", icmp.kind, icmp.code),
        (None, Some(port)) => format!("{protocol}/{port}"),
        (None, None) => protocol,
    }
}

/// The rule, or the reason with its finer name.
pub(super) fn cause(cause: &CauseRecord) -> String {
    match (&cause.rule, &cause.reason, &cause.detail) {
        (Some(rule), ..) => shown(rule),
        (None, _, Some(detail)) => shown(detail),
        (None, Some(reason), None) => shown(reason),
        (None, None, None) => "unknown".to_owned(),
    }
}

/// Every row there is.
#[derive(Debug, Default)]
pub(super) struct Rows {
    all: HashMap<Key, Row>,
    clock: u64,
}

impl Rows {
    pub(super) fn add(&mut self, record: FlowRecord) {
        self.clock += 1;
        let key = Key {
            ends: [end(&record.source), end(&record.destination)],
            port: port(&record),
            verdict: record.verdict.clone(),
            cause: cause(&record.cause),
        };
        if self.all.len() >= MOST && !self.all.contains_key(&key) {
            self.thin();
        }
        let (touched, bytes, packets) = (self.clock, record.bytes, record.packets);
        match self.all.get_mut(&key) {
            Some(row) => {
                row.records += packets;
                row.bytes += bytes;
                (row.last, row.touched) = (record, touched);
            }
            None => {
                self.all.insert(key, Row { records: packets, bytes, last: record, touched });
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.all.values()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Lets the older half go.
    fn thin(&mut self) {
        let mut touched: Vec<u64> = self.all.values().map(|row| row.touched).collect();
        let (_, middle, _) = touched.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.all.retain(|_, row| row.touched >= middle);
    }
}

/// A rule and how often it has decided of late.
#[derive(Debug, Clone)]
pub(super) struct RuleRow {
    pub(super) rule: RuleStatus,
    /// Packets a second since the status before.
    pub(super) rate: f64,
}

/// The rules of two statuses.
pub(super) fn rules(now: &Status, before: Option<(&Status, Instant)>, at: Instant) -> Vec<RuleRow> {
    let known: HashMap<&str, u64> = before.map_or_else(HashMap::new, |(status, _)| {
        status.rules.iter().map(|rule| (rule.rule.as_str(), rule.counts.packets)).collect()
    });
    let seconds = before.map_or(0.0, |(_, before)| at.saturating_duration_since(before).as_secs_f64());
    let row = |rule: &RuleStatus| {
        let more =
            known.get(rule.rule.as_str()).map_or(0, |count| rule.counts.packets.saturating_sub(*count));
        #[expect(clippy::cast_precision_loss, reason = "it is shown with few digits")]
        let rate = if seconds > 0.0 { more as f64 / seconds } else { 0.0 };
        RuleRow { rule: rule.clone(), rate }
    };
    now.rules.iter().map(row).collect()
}
