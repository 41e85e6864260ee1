//! Quarantine, with real traffic: a thousand open flows stop at once, stay stopped whatever happens to the daemon, and go on when it is over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use enforcer_tests::revocation::{Revocation, Scene};
use enforcer_tests::{DaemonOptions, Stream, StreamKind, World, documents, policy, world};
use serde_json::Value;

const PACE: Duration = Duration::from_millis(100);

#[test]
fn e54_a_thousand_open_flows_of_a_quarantined_workload_stop_both_ways() {
    // 100 flows of ledger's are there already, 100 are checkout's.
    let mut scene = Scene::new(world!(), 200, 900, PACE).unwrap();
    let change = scene.revoke(Revocation::Quarantined).unwrap();
    assert_eq!(change.cut.len(), 1_000);
    let flows = |records: &[Value]| {
        let end = |record: &Value, end: &str| format!("{} {}", record[end]["ip"], record[end]["port"]);
        let name = |record: &Value| {
            let ends = BTreeSet::from([end(record, "source"), end(record, "destination")]);
            format!("{} {ends:?}", record["protocol"])
        };
        records.iter().map(name).collect::<BTreeSet<_>>().len()
    };
    let records = scene.wait_told(&change, |records| flows(records) == 1_000);
    for record in &records {
        assert_eq!(
            (&record["verdict"], &record["cause"]["reason"]),
            (&"denied".into(), &"quarantined".into())
        );
    }
    let states = scene.crowd().states(&change.cut);
    let last = |flow: &enforcer_tests::FlowState| {
        flow.ends.iter().map(|end| end.last.saturating_sub(change.made.boot)).max().unwrap_or(0)
    };
    let mut late: Vec<u64> = states.iter().map(last).collect();
    late.sort_unstable();
    println!("to the last packet that passed: p99 {:.1} ms", late[late.len() * 99 / 100] as f64 / 1e6);
    assert!(late[late.len() - 1] < 5_000_000_000, "the last packet passed after {late:?}");

    let silent = |scene: &Scene, what: &str| {
        let before = scene.crowd().states(&change.cut);
        scene.crowd().wait(&change.cut, what, |flow| {
            let before =
                before.iter().find(|one| (one.client, one.kind) == (flow.client, flow.kind)).unwrap();
            flow.ends[0].sent >= before.ends[0].sent + 3 || flow.kind == StreamKind::Tcp
        });
        for (before, after) in before.iter().zip(scene.crowd().states(&change.cut)) {
            for (before, end) in before.ends.iter().zip(&after.ends) {
                assert_eq!(before.received, end.received, "{what}: {after:?} still receives");
            }
        }
    };
    silent(&scene, "while the daemon runs");
    scene.world.daemon().kill().unwrap();
    silent(&scene, "once it was killed");
    scene.world.daemon().restart().unwrap();
    silent(&scene, "after its restart");
    let status = scene.world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    assert_eq!(
        (&status["quarantines"][0]["workload"], &status["quarantines"][0]["why"]),
        (&"ledger".into(), &"a drill".into())
    );
    let others = scene.kept()[..100].to_vec();
    scene.crowd().expect_whole(&others, "flows of others");

    let before = scene.crowd().states(&change.cut);
    scene.release().unwrap();
    scene.crowd().wait(&change.cut, "flows go on after the release", |flow| {
        let before = before.iter().find(|one| (one.client, one.kind) == (flow.client, flow.kind)).unwrap();
        flow.ends.iter().zip(&before.ends).all(|(now, then)| now.received > then.received)
    });
    scene.crowd().expect_whole(&others, "flows of others");
    let told = scene.world.daemon().enforcer(&["observe", "-o", "json"]).unwrap().json().unwrap();
    assert_eq!(told["actions"][0]["action"], "release", "{}", told["actions"]);
}

/// web may talk to checkout, by TCP and by UDP.
fn talk(world: &mut World) -> [Stream; 2] {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let rules = policy("shop", "", &["web -> checkout tcp/443", "web -> checkout udp/443"]);
    let options = DaemonOptions::with_policy(&documents(&[&web, &checkout], &[rules]));
    world.start_daemon(options).unwrap();
    [StreamKind::Tcp, StreamKind::Udp].map(|kind| Stream::open(&web, &checkout, false, kind, 443).unwrap())
}

#[test]
fn e54_a_quarantine_ends_by_its_deadline_without_the_daemon() {
    let mut world = world!();
    let streams = talk(&mut world);
    Stream::wait(&streams, true, "before");
    let began = Instant::now();
    let said =
        world.daemon().enforcer(&["quarantine", "checkout", "--for", "5s", "--why", "a drill"]).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    world.daemon().kill().unwrap();
    Stream::wait(&streams, false, "quarantined");
    assert!(began.elapsed() < Duration::from_secs(5), "too slow to tell");
    Stream::wait(&streams, true, "past the deadline, with no daemon");
    assert!(began.elapsed() >= Duration::from_millis(4_900));
    world.daemon().restart().unwrap();
    Stream::wait(&streams, true, "after the restart");
    let status = world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    assert!(status["quarantines"].is_null(), "{}", status["quarantines"]);
}

#[test]
fn what_is_not_there_cannot_be_quarantined() {
    let mut world = world!();
    let _streams = talk(&mut world);
    let said = world.daemon().enforcer(&["quarantine", "chekout", "--why", "a drill"]).unwrap();
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("did you mean `checkout`?"), "{}", said.stderr);
    let said = world.daemon().enforcer(&["release", "checkout"]).unwrap();
    assert_eq!(said.code, Some(2));
}
