//! The page of metrics: Prometheus' text format, from a snapshot of the engine's and the daemon's own tallies.

use super::family::Family;
use super::snapshot::{HookedAt, Snapshot};
use super::verdicts;
use crate::daemon::telemetry::Tallies;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

/// What others can do to what is enforced.
const DAMAGE: [&str; 6] = [
    "hook-removed",
    "program-replaced",
    "pin-removed",
    "table-changed",
    "generation-switched",
    "unreachable",
];

/// The page as it is served.
pub(super) fn page(snapshot: &Snapshot, tallies: &Tallies) -> prometheus::Result<Vec<u8>> {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    // One at a time: the rules' are long.
    for part in [in_force, verdict_counts, records, tables, hooks, daemon] {
        encoder.encode(&part(snapshot, tallies), &mut text)?;
    }
    for (name, help, value) in RULES {
        let mut family = Family::counter(name, help);
        for (rule, counter) in &snapshot.rules {
            family.count(&[("rule", rule)], value(counter));
        }
        encoder.encode(&family.done().into_iter().collect::<Vec<_>>(), &mut text)?;
    }
    encoder.encode(&ProcessCollector::for_self().collect(), &mut text)?;
    Ok(text)
}

type OfRule = (&'static str, &'static str, fn(&enforcer_common::maps::RuleCounter) -> u64);

/// Of rules that have decided something.
const RULES: [OfRule; 4] = [
    ("enforcer_rule_packets_total", "Packets that the rule decided.", |counter| counter.packets),
    ("enforcer_rule_bytes_total", "Bytes of the packets that the rule decided.", |counter| counter.bytes),
    ("enforcer_rule_flows_total", "Flows that the rule let open.", |counter| counter.flows),
    (
        "enforcer_rule_audited_packets_total",
        "Packets that the rule decided and that were reported as audited.",
        |counter| counter.audited,
    ),
];

fn done<const N: usize>(families: [Family; N]) -> Vec<MetricFamily> {
    families.into_iter().filter_map(Family::done).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers; exact up to 2^53")]
fn in_force(snapshot: &Snapshot, tallies: &Tallies) -> Vec<MetricFamily> {
    let mut build = Family::gauge("enforcer_build_info", "1, with the version of the daemon.");
    build.level(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut epoch = Family::gauge(
        "enforcer_epoch",
        "Counts changes of what is enforced; 0 where nothing is. Flows of another epoch are judged anew.",
    );
    epoch.level(&[], f64::from(snapshot.epoch));
    let mut generation = Family::gauge("enforcer_generation", "Policy sets put in force so far.");
    generation.level(&[], snapshot.generation as f64);
    let mut since =
        Family::gauge("enforcer_generation_timestamp_seconds", "When the set in force was put in force.");
    if let Some(at) = snapshot.since {
        since.level(&[], at.as_microsecond() as f64 / 1e6);
    }
    let mut degraded = Family::gauge(
        "enforcer_degraded",
        "1 where the live set isn't in force and the last good one is, or packets may get around it.",
    );
    degraded.level(&[], f64::from(u8::from(snapshot.degraded)));
    let mut documents = Family::gauge("enforcer_documents", "Documents in force.");
    for (kind, count) in &snapshot.documents {
        documents.level(&[("kind", kind)], *count as f64);
    }
    let mut rules = Family::gauge("enforcer_rules", "Rules in force.");
    rules.level(&[], snapshot.rules_in_force as f64);
    let mut ages = Family::gauge(
        "enforcer_identity_age_seconds",
        "Time since a source of identities last said that they are so.",
    );
    for (source, age) in tallies.identity_ages() {
        ages.level(&[("source", source)], age.as_secs_f64());
    }
    done([build, epoch, generation, since, degraded, documents, rules, ages])
}

fn verdict_counts(snapshot: &Snapshot, tallies: &Tallies) -> Vec<MetricFamily> {
    let mut families = verdicts::families(&snapshot.verdicts);
    let mut cut = Family::counter(
        "enforcer_flows_cut_total",
        "Open flows that a change cut, once at each hook, since the daemon's start.",
    );
    cut.count(&[], tallies.flows_cut());
    families.extend(cut.done());
    families
}

/// Records by stage: made, then taken, lost or left out on their way.
fn records(snapshot: &Snapshot, tallies: &Tallies) -> Vec<MetricFamily> {
    let mut made = Family::counter(
        "enforcer_event_records_total",
        "Records of verdicts that there were to make. Each was sent to the daemon, or counts as lost at the stage `ring` or `suppressed`.",
    );
    let mut sent = Family::counter(
        "enforcer_event_records_sent_total",
        "Records that the kernel programs sent to the daemon.",
    );
    let mut lost = Family::counter(
        "enforcer_event_records_lost_total",
        "Records lost, by stage: no room in the ring, over the rate for denied packets, an observer that didn't read.",
    );
    if let Some(events) = &snapshot.events {
        made.count(&[], events.sent + events.lost + events.suppressed);
        sent.count(&[], events.sent);
        lost.count(&[("stage", "ring")], events.lost).count(&[("stage", "suppressed")], events.suppressed);
    }
    lost.count(&[("stage", "observer")], tallies.observers_lost());
    let mut read = Family::counter(
        "enforcer_event_records_read_total",
        "Records that the daemon has read from the ring since its start.",
    );
    read.count(&[], tallies.records_read());
    let mut written =
        Family::counter("enforcer_sink_lines_total", "Lines written to a file, syslog or the journal.");
    let mut unwritten = Family::counter(
        "enforcer_sink_lost_records_total",
        "Records that a file, syslog or the journal didn't get: it was too slow, full or gone.",
    );
    for (sink, counts) in tallies.sinks() {
        written.count(&[("sink", sink)], counts.written);
        unwritten.count(&[("sink", sink)], counts.lost);
    }
    done([made, sent, lost, read, written, unwritten])
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers; exact up to 2^53")]
fn tables(snapshot: &Snapshot, _: &Tallies) -> Vec<MetricFamily> {
    let mut entries = Family::gauge("enforcer_map_entries", "Entries in use, counted at most every 15 s.");
    let mut capacity = Family::gauge("enforcer_map_capacity", "Entries that the map can hold.");
    for usage in &snapshot.usage {
        entries.level(&[("map", usage.table)], usage.used as f64);
        capacity.level(&[("map", usage.table)], usage.limit as f64);
    }
    done([entries, capacity])
}

fn hooks(snapshot: &Snapshot, _: &Tallies) -> Vec<MetricFamily> {
    let mut attached = Family::gauge(
        "enforcer_hook_attached",
        "1 where packets of this direction meet the programs, at a device or at the sockets below a cgroup.",
    );
    let mut reachable = Family::gauge(
        "enforcer_hook_reachable",
        "1 where nothing that runs before the device's attached hook may keep packets from it.",
    );
    let level = |holds: bool| f64::from(u8::from(holds));
    for state in &snapshot.hooks {
        let (direction, hook) = (("direction", state.direction), ("hook", state.hook.unwrap_or("none")));
        match &state.at {
            HookedAt::Device { interface, workload } => {
                let workload = workload.as_deref().unwrap_or_default();
                let labels = [("interface", interface.as_str()), ("workload", workload), direction, hook];
                attached.level(&labels, level(state.attached));
                if state.attached {
                    reachable.level(&labels, level(state.reachable));
                }
            }
            // All programs of a cgroup are asked, whichever comes first: none can keep packets from ours.
            HookedAt::Sockets { cgroup } => {
                let cgroup = ("cgroup", cgroup.as_deref().unwrap_or_default());
                attached.level(&[cgroup, direction, hook], level(state.attached));
            }
        }
    }
    done([attached, reachable])
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers; exact up to 2^53")]
fn daemon(snapshot: &Snapshot, tallies: &Tallies) -> Vec<MetricFamily> {
    let mut applies = Family::histogram(
        "enforcer_apply_duration_seconds",
        "Time from when a change was noticed until it judged every packet.",
    );
    applies.times(&[], &tallies.applies());
    let mut failures = Family::counter(
        "enforcer_apply_failures_total",
        "Changes that could not be put in force, since the daemon's start.",
    );
    failures.count(&[], tallies.apply_failures());
    let mut windows = Family::histogram(
        "enforcer_deny_window_seconds",
        "Time for which something that a source tells of was denied before its policy was in force.",
    );
    for (source, window) in tallies.deny_windows() {
        windows.times(&[("source", source)], &window);
    }
    let mut tampered = Family::counter(
        "enforcer_tamper_events_total",
        "What others did to what is enforced and the daemon noticed, since its start.",
    );
    let mut seen = tallies.tampering();
    for damage in DAMAGE {
        seen.entry(damage.to_owned()).or_default();
    }
    for (damage, count) in &seen {
        tampered.count(&[("damage", damage)], *count);
    }
    let mut unrepaired = Family::gauge(
        "enforcer_tamper_unrepaired",
        "Things that others changed and that could not be put right.",
    );
    unrepaired.level(&[], snapshot.unrepaired as f64);
    done([applies, failures, windows, tampered, unrepaired])
}

#[cfg(test)]
mod tests;
