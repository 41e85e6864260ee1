//! Verdicts by direction, word, reason and mode.

use super::family::Family;
use enforcer_common::maps::{Direction, ReasonCounter, Tally, mode};
use enforcer_common::{Reason, Word};
use prometheus::proto::MetricFamily;
use std::collections::BTreeMap;

/// What stands for a reason where rules decided.
const RULE: &str = "rule";

/// Direction, verdict, reason, mode.
type Key = [&'static str; 4];

/// The word of a subject's mode.
pub(crate) const fn mode_word(mode: u8) -> &'static str {
    match mode {
        mode::OFF => "off",
        mode::AUDIT => "audit",
        _ => "enforce",
    }
}

/// Every cause: the reasons, and the rules together.
pub(crate) fn causes() -> impl Iterator<Item = (Option<Reason>, &'static str)> {
    let reasons = Reason::ALL.iter().map(|reason| (Some(*reason), reason.word()));
    reasons.chain([(None, RULE)])
}

/// What happens every day is there from the start, so that the first packet is an increase like any other.
fn expected(reason: Option<Reason>) -> &'static [(u8, Word)] {
    match reason {
        None => &[
            (mode::ENFORCE, Word::Allowed),
            (mode::ENFORCE, Word::Denied),
            (mode::ENFORCE, Word::Audited),
            (mode::AUDIT, Word::Allowed),
            (mode::AUDIT, Word::Audited),
        ],
        Some(Reason::SegmentOff) => &[(mode::OFF, Word::Allowed)],
        Some(Reason::Neighbour) => &[(mode::ENFORCE, Word::Allowed), (mode::AUDIT, Word::Allowed)],
        Some(_) => &[(mode::ENFORCE, Word::Denied), (mode::AUDIT, Word::Audited)],
    }
}

/// Packets and bytes of each series. Reasons that share a word are one.
fn series(counters: &[ReasonCounter]) -> BTreeMap<Key, (u64, u64)> {
    let mut series: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
    let key = |tally: Tally, reason| {
        [tally.direction().word(), tally.word().word(), reason, mode_word(tally.mode())]
    };
    for (reason, word) in causes() {
        for (mode, verdict) in expected(reason) {
            for direction in [Direction::Egress, Direction::Ingress] {
                series.entry(key(Tally::new(*mode, direction, *verdict), word)).or_default();
            }
        }
        for tally in Tally::all() {
            let slot = tally.slot(reason.map(|reason| reason as u32)) as usize;
            let Some(counter) = counters.get(slot).filter(|counter| counter.packets > 0) else { continue };
            let (packets, bytes) = series.entry(key(tally, word)).or_default();
            *packets += counter.packets;
            *bytes += counter.bytes;
        }
    }
    series
}

pub(super) fn families(counters: &[ReasonCounter]) -> Vec<MetricFamily> {
    if counters.is_empty() {
        return Vec::new();
    }
    let mut packets = Family::counter(
        "enforcer_policy_verdicts_total",
        "Packets judged, by the subject's direction, the verdict, why (`rule` where a rule decided), and the subject's mode.",
    );
    let mut bytes = Family::counter(
        "enforcer_policy_verdict_bytes_total",
        "Bytes of the packets judged, link header included.",
    );
    for ([direction, verdict, reason, mode], counted) in series(counters) {
        let labels = [("direction", direction), ("verdict", verdict), ("reason", reason), ("mode", mode)];
        packets.count(&labels, counted.0);
        bytes.count(&labels, counted.1);
    }
    [packets, bytes].into_iter().filter_map(Family::done).collect()
}
