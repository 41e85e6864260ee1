//! Level 1 of the ladder: FlowTests on compiled tables, held against the reference.

use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::flowtests;
use enforcer_policy::model::{
    Endpoint, Entity, Expectation, FlowCase, FlowTest, Origin, PolicySet, PortSpec, SegmentMode,
};
use enforcer_policy::reference::{World, run_flow_tests};
use enforcer_policy::source::Source;
use enforcer_policy::testing::{NOW, Probe, Scene, hold, scene_and_probes};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

/// One path's ends and verdict as text.
type Line = String;

fn level0(world: &World<'_>) -> Vec<Vec<Line>> {
    let outcomes = run_flow_tests(world);
    outcomes
        .iter()
        .map(|outcome| outcome.paths.iter().map(|(_, _, path)| path.verdict.to_string()).collect())
        .collect()
}

fn level1(inputs: Inputs<'_>) -> Vec<Vec<Line>> {
    let compiled = compile(&inputs, &mut Numbers::default()).expect("random sets fit");
    let outcomes = flowtests::run(inputs, &compiled);
    let line = |path: &enforcer_policy::explain::Path<'_>| {
        let verdict = path.verdict;
        let word = match (verdict.word, verdict.passes) {
            (enforcer_common::Word::Audited, true) => "audited(passes)",
            (enforcer_common::Word::Audited, false) => "audited(dropped)",
            (word, _) => word.word(),
        };
        format!("{word} {}", verdict.cause)
    };
    outcomes.iter().map(|outcome| outcome.paths.iter().map(line).collect()).collect()
}

/// A case about the ends and the port of a probe.
fn case(scene: &Scene, probe: &Probe, by: usize) -> FlowCase {
    let origin = Origin { file: "random.yaml".into(), line: 1, column: 1 };
    let end = |address: std::net::IpAddr, by: usize| {
        let owner = scene.set.workloads.iter().find(|workload| workload.addresses.contains(&address));
        match (by % 4, owner) {
            (1, Some(workload)) => Endpoint::Workload(workload.name.clone()),
            (2, Some(workload)) => Endpoint::Labels(workload.labels.clone()),
            (2, None) => Endpoint::Labels([("app".to_owned(), "a".to_owned())].into()),
            (3, None) => Endpoint::Entity(if by % 8 == 3 { Entity::World } else { Entity::Host }),
            _ => Endpoint::Address(address),
        }
    };
    let [kind, code] = probe.port.to_be_bytes();
    let port = match probe.protocol {
        6 | 17 | 132 => PortSpec::Ports { protocol: probe.protocol, first: probe.port, last: probe.port },
        1 | 58 => PortSpec::Icmp { protocol: probe.protocol, kind, code: Some(code) },
        protocol => PortSpec::Protocol(protocol),
    };
    FlowCase {
        origin,
        from: end(probe.from, by),
        to: end(probe.to, by / 8),
        port,
        expect: Expectation::Allow,
    }
}

#[test]
fn random_flow_tests_come_out_as_by_the_reference() {
    let strategy = (scene_and_probes(12), 0..64_usize);
    hold(1, 600, &strategy, |((mut scene, probes), by)| {
        // As the daemon does: what is past is forgotten before anybody asks.
        for workload in &mut scene.set.workloads {
            if workload.lease.as_ref().is_some_and(|lease| lease.until <= NOW) {
                workload.set_lease(None);
            }
        }
        let cases = probes.iter().enumerate().map(|(n, probe)| case(&scene, probe, by + n * 5)).collect();
        let origin = Origin { file: "random.yaml".into(), line: 1, column: 1 };
        scene.set.tests = vec![FlowTest { name: "random".to_owned(), origin, cases, properties: Vec::new() }];
        let clock = Clock { now: NOW, boot_ns: 1_000_000 };
        let inputs = Inputs { set: &scene.set, host: &scene.hosts, default_mode: scene.default_mode, clock };
        let (found, expected) = (level1(inputs), level0(&scene.world(NOW)));
        for ((case, found), expected) in scene.set.tests[0].cases.iter().zip(found).zip(expected) {
            prop_assert_eq!(found, expected, "{:?}", case);
        }
        Ok(())
    });
}

/// Every directory of `policies/` that a person is shown.
#[test]
fn the_examples_pass_their_own_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut tested = 0;
    for directory in
        fs::read_dir(&root).expect("the examples are there").map(|entry| entry.expect("readable").path())
    {
        if !directory.is_dir() {
            continue;
        }
        let mut files: Vec<_> = fs::read_dir(&directory)
            .expect("readable")
            .map(|entry| entry.expect("readable").path())
            .collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        let read = |path: &std::path::PathBuf| fs::read_to_string(path).expect("readable");
        let sources: Vec<_> =
            files.iter().map(|path| Source::new(path.display().to_string(), read(path))).collect();
        let set: PolicySet = check::parse(&sources, NOW).into_result().expect("the examples are right").0;
        let clock = Clock { now: NOW, boot_ns: 0 };
        let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
        let compiled = compile(&inputs, &mut Numbers::default()).expect("the examples fit");
        for outcome in flowtests::run(inputs, &compiled) {
            assert!(outcome.holds(), "{}: {:?}", outcome.case.origin, outcome.shown());
            tested += 1;
        }
    }
    assert!(tested > 20, "only {tested} cases");
}
