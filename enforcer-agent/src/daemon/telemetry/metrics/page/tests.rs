//! The page as scrapers read it.

use super::page;
use crate::daemon::telemetry::metrics::{HookState, HookedAt, Snapshot};
use crate::daemon::telemetry::{SinkCounts, Tallies};
use crate::datapath::Usage;
use enforcer_common::maps::{Direction, EventCounter, ReasonCounter, RuleCounter, Tally, mode};
use enforcer_common::{Reason, Word};
use std::collections::BTreeSet;
use std::time::Duration;

fn counted(packets: u64, bytes: u64) -> ReasonCounter {
    ReasonCounter { packets, bytes, ..ReasonCounter::default() }
}

fn sockets(direction: &'static str, hook: Option<&'static str>, attached: bool) -> HookState {
    let at = HookedAt::Sockets { cgroup: Some("/".to_owned()) };
    HookState { at, direction, hook, attached, reachable: true }
}

fn snapshot() -> Snapshot {
    let mut verdicts = vec![ReasonCounter::default(); Tally::COUNT as usize];
    let denied = Tally::new(mode::ENFORCE, Direction::Egress, Word::Denied);
    for (reason, packets) in [(Reason::NoRule, 7), (Reason::FragmentOrder, 2), (Reason::FragmentOverlap, 3)] {
        verdicts[denied.slot(Some(reason as u32)) as usize] = counted(packets, packets * 100);
    }
    let audited = Tally::new(mode::AUDIT, Direction::Ingress, Word::Audited);
    verdicts[audited.slot(None) as usize] = counted(11, 1_100);
    Snapshot {
        epoch: 5,
        generation: 3,
        since: Some("2026-01-01T00:00:00.5Z".parse().unwrap()),
        degraded: true,
        documents: vec![("FlowPolicy", 2)],
        rules_in_force: 4,
        verdicts,
        rules: vec![("shop#0".to_owned(), RuleCounter { packets: 9, bytes: 900, audited: 1, flows: 2 })],
        events: Some(EventCounter { sent: 10, lost: 2, suppressed: 30, ..EventCounter::default() }),
        usage: vec![Usage { table: "flows4", used: 12, limit: 262_144 }],
        hooks: vec![
            HookState {
                at: HookedAt::Device {
                    interface: "veth\u{1b}\"\n".to_owned(),
                    workload: Some("web".to_owned()),
                },
                direction: "egress",
                hook: Some("tcx"),
                attached: true,
                reachable: false,
            },
            sockets("egress", Some("cgroup"), true),
            // Taken off by others, and not to be put back.
            sockets("ingress", Some("cgroup"), false),
        ],
        unrepaired: 1,
    }
}

fn text(snapshot: &Snapshot, tallies: &Tallies) -> String {
    String::from_utf8(page(snapshot, tallies).unwrap()).unwrap()
}

/// The series without help and type.
fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn what_was_counted_is_on_the_page() {
    let tallies = Tallies::default();
    tallies.read(10);
    tallies.cut();
    tallies.observer_lost(4);
    tallies.applied(Duration::from_millis(3));
    tallies.apply_failed();
    tallies.denied_until_known("docker", Duration::from_millis(20));
    tallies.tampered("hook-removed");
    tallies.sink("file", SinkCounts { written: 6, lost: 1 });
    let text = text(&snapshot(), &tallies);
    let series = series(&text);
    for line in [
        "enforcer_epoch 5",
        "enforcer_generation 3",
        "enforcer_generation_timestamp_seconds 1767225600.5",
        "enforcer_degraded 1",
        "enforcer_documents{kind=\"FlowPolicy\"} 2",
        "enforcer_rules 4",
        "enforcer_policy_verdicts_total{direction=\"egress\",verdict=\"denied\",reason=\"no-rule\",mode=\"enforce\"} 7",
        // Two reasons of one word.
        "enforcer_policy_verdicts_total{direction=\"egress\",verdict=\"denied\",reason=\"fragment\",mode=\"enforce\"} 5",
        "enforcer_policy_verdict_bytes_total{direction=\"egress\",verdict=\"denied\",reason=\"fragment\",mode=\"enforce\"} 500",
        "enforcer_policy_verdicts_total{direction=\"ingress\",verdict=\"audited\",reason=\"rule\",mode=\"audit\"} 11",
        // Nothing happened yet, and it will be an increase when it does.
        "enforcer_policy_verdicts_total{direction=\"ingress\",verdict=\"denied\",reason=\"spoofed-source\",mode=\"enforce\"} 0",
        "enforcer_rule_packets_total{rule=\"shop#0\"} 9",
        "enforcer_rule_bytes_total{rule=\"shop#0\"} 900",
        "enforcer_rule_flows_total{rule=\"shop#0\"} 2",
        "enforcer_rule_audited_packets_total{rule=\"shop#0\"} 1",
        "enforcer_event_records_total 42",
        "enforcer_event_records_sent_total 10",
        "enforcer_event_records_lost_total{stage=\"ring\"} 2",
        "enforcer_event_records_lost_total{stage=\"suppressed\"} 30",
        "enforcer_event_records_lost_total{stage=\"observer\"} 4",
        "enforcer_event_records_read_total 10",
        "enforcer_sink_lines_total{sink=\"file\"} 6",
        "enforcer_sink_lost_records_total{sink=\"file\"} 1",
        "enforcer_flows_cut_total 1",
        "enforcer_apply_duration_seconds_bucket{le=\"0.001\"} 0",
        "enforcer_apply_duration_seconds_bucket{le=\"0.005\"} 1",
        "enforcer_apply_duration_seconds_count 1",
        "enforcer_apply_failures_total 1",
        "enforcer_deny_window_seconds_bucket{source=\"docker\",le=\"0.025\"} 1",
        "enforcer_tamper_events_total{damage=\"hook-removed\"} 1",
        "enforcer_tamper_events_total{damage=\"pin-removed\"} 0",
        "enforcer_tamper_unrepaired 1",
        "enforcer_map_entries{map=\"flows4\"} 12",
        "enforcer_map_capacity{map=\"flows4\"} 262144",
        "enforcer_hook_attached{interface=\"veth\\\\u{1b}\\\"\\\\n\",workload=\"web\",direction=\"egress\",hook=\"tcx\"} 1",
        "enforcer_hook_reachable{interface=\"veth\\\\u{1b}\\\"\\\\n\",workload=\"web\",direction=\"egress\",hook=\"tcx\"} 0",
        "enforcer_hook_attached{cgroup=\"/\",direction=\"egress\",hook=\"cgroup\"} 1",
        "enforcer_hook_attached{cgroup=\"/\",direction=\"ingress\",hook=\"cgroup\"} 0",
    ] {
        assert!(series.contains(&line), "{line}\n{text}");
    }
    assert_eq!(text.matches("\nenforcer_hook_reachable{").count(), 1, "sockets have none: {text}");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
    for of_the_process in ["process_resident_memory_bytes ", "process_start_time_seconds "] {
        assert!(series.iter().any(|line| line.starts_with(of_the_process)), "{text}");
    }
}

#[test]
fn sockets_that_can_not_be_hooked_are_told_and_those_that_need_not_be_are_not() {
    let hooks = vec![sockets("egress", None, false)];
    let told = text(&Snapshot { hooks, ..Snapshot::default() }, &Tallies::default());
    assert!(
        told.contains("\nenforcer_hook_attached{cgroup=\"/\",direction=\"egress\",hook=\"none\"} 0\n"),
        "{told}"
    );
    assert!(!text(&Snapshot::default(), &Tallies::default()).contains("enforcer_hook_attached"));
}

#[test]
fn every_series_is_there_once_under_one_help_and_type() {
    let text = text(&snapshot(), &Tallies::default());
    let mut names = BTreeSet::new();
    for line in series(&text) {
        let (name, _value) = line.rsplit_once(' ').unwrap();
        assert!(names.insert(name), "twice: {name}");
    }
    let told: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let families: BTreeSet<_> = told.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(families.len(), told.len());
    for family in &families {
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
    }
}

#[test]
fn all_verdicts_add_up_to_what_was_counted() {
    let counters: Vec<_> = (1..=u64::from(Tally::COUNT)).map(|slot| counted(slot, 2 * slot)).collect();
    let sum: u64 = counters.iter().map(|counter| counter.packets).sum();
    let text = text(&Snapshot { verdicts: counters, ..Snapshot::default() }, &Tallies::default());
    let of = |name: &str| -> u64 {
        let values = text.lines().filter(|line| line.starts_with(name));
        values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(of("enforcer_policy_verdicts_total{"), sum);
    assert_eq!(of("enforcer_policy_verdict_bytes_total{"), 2 * sum);
}

#[test]
fn what_could_not_be_read_is_left_out_and_not_nothing() {
    let text = text(&Snapshot::default(), &Tallies::default());
    for absent in
        ["enforcer_policy_verdicts", "enforcer_event_records_sent", "enforcer_map", "enforcer_rule_"]
    {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
    assert!(text.contains("\nenforcer_epoch 0\n"), "{text}");
}
