//! A thousand live flows of which a change cuts the half: both directions of these stop, each leaves one record, and nothing happens to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::revocation::{Change, Name, Revocation, Scene, by_flow_and_hook, name};
use enforcer_tests::{FlowState, Namespace, StreamKind, lost_segments, world};
use jiff::Timestamp;
use serde_json::Value;

const FLOWS: u16 = 500;
/// How often each end sends. A machine that can't keep up sends later.
const PACE: Duration = Duration::from_millis(100);

/// Flows that are told of at these hooks, once at each.
fn once(flows: &[FlowState], hooks: &[u32]) -> BTreeMap<(Name, u64), usize> {
    let each = |flow| hooks.iter().map(move |hook| ((name(flow), u64::from(*hook)), 1));
    flows.iter().flat_map(each).collect()
}

/// After each end has tried again, nothing has arrived that was sent after the first packet was denied: a generation is in force for all
/// flows or for none.
fn stopped(scene: &Scene, change: &Change, records: &[Value], what: &str) -> Vec<FlowState> {
    let before = scene.crowd().states(&change.cut);
    scene.crowd().wait(&change.cut, what, |flow| {
        let before = before.iter().find(|before| (before.client, before.kind) == (flow.client, flow.kind));
        before.is_some_and(|before| {
            before
                .ends
                .iter()
                .zip(&flow.ends)
                .all(|(before, end)| end.sent >= before.sent + 2 || end.told.is_some())
        })
    });
    let first = records.iter().map(|record| instant(record, "time")).min().unwrap();
    // Records tell milliseconds.
    let in_force = change.made.boot_of(first) + 1_000_000;
    let after = scene.crowd().states(&change.cut);
    for flow in &after {
        let late = flow.ends.iter().any(|end| end.last > in_force);
        assert!(!late, "{what}: {flow:?} was still delivered after {in_force}");
    }
    after
}

/// Nothing of the flows that no change concerned was lost, nor sent twice.
fn untouched(scene: &Scene, what: &str) {
    scene.crowd().expect_whole(scene.kept(), what);
    let ends: [&Namespace; 3] = [&scene.web, &scene.checkout, &scene.ledger];
    let streams: Vec<_> =
        scene.crowd().states(scene.kept()).into_iter().filter(|flow| flow.kind == StreamKind::Tcp).collect();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let lost: BTreeMap<_, _> =
            ends.iter().flat_map(|end| lost_segments(end)).filter(|(_, lost)| *lost > 0).collect();
        let ours = |flow: &&FlowState| {
            lost.contains_key(&(flow.client, flow.server)) || lost.contains_key(&(flow.server, flow.client))
        };
        let Some(flow) = streams.iter().find(ours) else { return };
        // What was sent for nothing is found out when its receipt comes.
        assert!(Instant::now() < deadline, "{what}: {flow:?} has lost segments: {lost:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn instant(record: &Value, field: &str) -> Timestamp {
    record[field].as_str().unwrap_or_else(|| panic!("no `{field}`: {record}")).parse().unwrap()
}

/// Each record tells the cause, since when, and how long after that its packet came.
fn delays(records: &[Value], change: &Change, kind: Revocation) {
    for record in records {
        assert_eq!(
            (&record["verdict"], &record["passes"], &record["changed"]),
            (&"denied".into(), &false.into(), &true.into())
        );
        assert_eq!(record["cause"]["reason"], "no-rule", "{record}");
        let cut = &record["cut"];
        let (since, at) = (instant(cut, "since"), instant(record, "time"));
        let delay = cut["delay_us"].as_i64().unwrap_or_else(|| panic!("no delay: {record}"));
        // Instants are told in milliseconds.
        let apart = (at - since).total(jiff::Unit::Microsecond).unwrap() - delay as f64;
        assert!(apart.abs() <= 2_000.0, "{record}");
        let noticed = (since - change.made.wall).total(jiff::Unit::Millisecond).unwrap();
        // On a busy machine the daemon may notice late, but never early; an expiry has its own instant.
        let latest = if kind == Revocation::PolicyExpired { 2.0 } else { 10_000.0 };
        assert!((-2.0..=latest).contains(&noticed), "{kind:?} was noticed after {noticed} ms: {record}");
        let epochs = cut["epochs"].as_u64().unwrap();
        assert!(epochs > 0 || kind == Revocation::PolicyExpired, "{record}");
    }
}

#[test]
fn e52_e53_e54_e55_a_thousand_flows_of_which_half_are_cut() {
    let mut scene = Scene::new(world!(), FLOWS, FLOWS, PACE).unwrap();
    let hooks = [&scene.web, &scene.ledger].map(|one| scene.world.host().index_of(one.interface()).unwrap());
    for kind in Revocation::ALL {
        let change = scene.revoke(kind).unwrap();
        let flows = scene.crowd().states(&change.cut);
        // A workload that goes takes its hook along: only the other end's is left to tell.
        let hooks = if kind == Revocation::WorkloadGone { &hooks[..1] } else { &hooks };
        let expected = once(&flows, hooks);
        let records = scene.wait_told(&change, |records| records.len() >= expected.len());
        stopped(&scene, &change, &records, kind.word());
        untouched(&scene, kind.word());
        assert_eq!(scene.told(&change).len(), records.len(), "{}: one record each", kind.word());
        assert!(
            by_flow_and_hook(&records) == expected,
            "{}: one record of each flow at each hook",
            kind.word()
        );
        delays(&records, &change, kind);
        scene.restore(&change).unwrap();
    }
}

#[test]
fn e53_each_end_of_five_hundred_flows_that_are_cut_is_told_where_the_segment_says_so() {
    let mut scene = Scene::new(world!(), FLOWS, FLOWS, PACE).unwrap();
    let segment = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: told}\n\
                   spec: {select: [{entity: workloads}], onDeny: reset}\n";
    scene.change(|scene| scene.write("60-told.yaml", segment)).unwrap();
    let change = scene.revoke(Revocation::RuleRemoved).unwrap();
    // "Administratively prohibited", as Linux tells sockets of it.
    let expected = |flow: &FlowState| match (flow.kind, flow.client.is_ipv4()) {
        (StreamKind::Tcp, _) => ErrorKind::ConnectionReset,
        (StreamKind::Udp, true) => ErrorKind::HostUnreachable,
        (StreamKind::Udp, false) => ErrorKind::PermissionDenied,
    };
    scene.crowd().wait(&change.cut, "each end is told", |flow| {
        flow.ends.iter().all(|end| end.told == Some(expected(flow)))
    });
    let flows = scene.crowd().states(&change.cut);
    // Who was reset by the first hook may never send to the second: each flow has a record, and none has two at one hook.
    let all: BTreeSet<Name> = flows.iter().map(name).collect();
    let names = |records: &[Value]| -> BTreeSet<Name> {
        by_flow_and_hook(records).into_keys().map(|(name, _)| name).collect()
    };
    let records = scene.wait_told(&change, |records| names(records) == all);
    stopped(&scene, &change, &records, "reset");
    untouched(&scene, "reset");
    delays(&records, &change, Revocation::RuleRemoved);
    let found = by_flow_and_hook(&records);
    assert!(found.values().all(|count| *count == 1), "one record of each flow at each hook");
}
