//! Properties of small sets, and one-flow properties of random sets against the verdict function.

use super::{Failure, run};
use crate::check;
use crate::compile::{Clock, Compiled, Inputs, Numbers, compile};
use crate::diff::ports_text;
use crate::explain::Explainer;
use crate::model::{Claim, Endpoint, FlowProperty, FlowTest, Origin, PolicySet, PortSpec, Selector};
use crate::source::Source;
use crate::testing::{NOW, hold, scene_and_probes};
use proptest::prelude::*;
use std::net::IpAddr;

const CLOCK: Clock = Clock { now: NOW, boot_ns: 1_000 };
const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\n";

/// web -> checkout -> ledger, metrics to all of them, and the office to web.
const SHOP: [(&str, &str, &str); 5] = [
    ("web", "checkout", "tcp/8080"),
    ("checkout", "ledger", "tcp/5432"),
    ("metrics", "web", "tcp/9100"),
    ("metrics", "ledger", "tcp/9100"),
    ("office", "web", "tcp/443"),
];

fn shop(properties: &str) -> String {
    let mut text = String::new();
    for (name, last) in [("web", 1), ("checkout", 2), ("ledger", 3), ("metrics", 4), ("batch", 5)] {
        text += &format!(
            "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{app: {name}}}, match: [{{interface: {name}}}], addresses: [10.0.0.{last}]}}\n---\n"
        );
    }
    text += &format!(
        "{HEAD}kind: AddressGroup\nmetadata: {{name: office}}\nspec: {{labels: {{app: office}}, cidrs: [192.0.2.0/24]}}\n---\n"
    );
    text += &format!("{HEAD}kind: FlowPolicy\nmetadata: {{name: shop}}\nspec:\n  flows:\n");
    for (from, to, port) in SHOP {
        text += &format!(
            "    - {{from: [{{labels: {{app: {from}}}}}], to: [{{labels: {{app: {to}}}}}], ports: [{port}]}}\n"
        );
    }
    text + &format!(
        "---\n{HEAD}kind: FlowTest\nmetadata: {{name: t}}\nspec: {{properties: [{properties}]}}\n"
    )
}

fn told(properties: &str) -> Vec<String> {
    let (set, _) = check::parse(&[Source::new("set.yaml", shop(properties))], NOW).into_result().unwrap();
    let inputs = Inputs { set: &set, host: &[], default_mode: Default::default(), clock: CLOCK };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    run(&set, &compiled, CLOCK.boot_ns).iter().map(|outcome| text(outcome.failure.as_ref())).collect()
}

fn text(failure: Option<&Failure>) -> String {
    match failure {
        None => "holds".to_owned(),
        Some(Failure::Path(hops)) => {
            let hop = |hop: &super::Hop| {
                let rule = hop.rule.as_ref().map_or_else(String::new, |rule| rule.name());
                let (from, to) = (hop.from.join(","), hop.to.join(","));
                format!("{from} -> {to} {} {rule}", ports_text(&[hop.ports], 9))
            };
            hops.iter().map(hop).collect::<Vec<_>>().join("; ")
        }
        Some(other) => format!("{other:?}"),
    }
}

#[test]
fn only_names_whoever_else_may() {
    let told = told(
        "{only: {to: [{labels: {app: ledger}}], port: tcp/5432, from: [{labels: {app: checkout}}]}}, \
         {only: {to: [{labels: {app: ledger}}], port: tcp, from: [{labels: {app: checkout}}]}}, \
         {only: {to: [{labels: {app: web}}], port: tcp/443, from: [{cidr: [192.0.0.0/16]}]}}, \
         {only: {to: [{labels: {app: web}}], port: tcp/443, from: [{cidr: [192.0.2.0/25]}]}}, \
         {only: {to: [{labels: {app: nobody}}], port: tcp/443, from: [{entity: all}]}}, \
         {only: {to: [{labels: {app: office}}], port: tcp/443, from: [{labels: {app: web}}]}}, \
         {only: {to: [{entity: world}], port: proto/4, from: [{cidr: [198.51.100.0/24]}]}}",
    );
    assert_eq!(
        told,
        [
            "holds",
            "metrics -> ledger tcp/9100 shop#3",
            "holds",
            "group office -> web tcp/443 shop#4",
            "Nobody(\"to\")",
            "holds",
            "holds"
        ]
    );
}

#[test]
fn unreachable_follows_chains_of_flows() {
    let told = told(
        "{unreachable: {from: [{labels: {app: office}}], to: [{labels: {app: ledger}}], within: 2}}, \
         {unreachable: {from: [{labels: {app: office}}], to: [{labels: {app: ledger}}], within: 3}}, \
         {unreachable: {from: [{labels: {app: office}}], to: [{labels: {app: ledger}}], ports: [tcp/1-9000]}}, \
         {unreachable: {from: [{labels: {app: ledger}}], to: [{entity: all}]}}, \
         {unreachable: {from: [{entity: workloads}], to: [{labels: {app: batch}}]}}, \
         {unreachable: {from: [{labels: {app: nobody}}], to: [{labels: {app: batch}}]}}, \
         {unreachable: {from: [{labels: {app: office}}], to: [{cidr: [192.0.2.7/32]}]}}",
    );
    let path = "group office -> web tcp/443 shop#4; web -> checkout tcp/8080 shop#0; checkout -> ledger tcp/5432 shop#1";
    assert_eq!(told, ["holds", path, path, "holds", "holds", "Nobody(\"from\")", "holds"]);
}

fn claim(from: IpAddr, to: IpAddr, protocol: u8, port: u16) -> Claim {
    let at = |at: IpAddr| vec![Selector::Cidr { cidrs: vec![at.into()], except: Vec::new() }];
    let ports = match protocol {
        1 | 58 => {
            let [kind, code] = port.to_be_bytes();
            PortSpec::Icmp { protocol, kind, code: Some(code) }
        }
        6 | 17 | 132 => PortSpec::Ports { protocol, first: port, last: port },
        _ => PortSpec::Protocol(protocol),
    };
    Claim::Unreachable { from: at(from), to: at(to), within: Some(1), ports: vec![ports] }
}

fn compiled(set: &PolicySet, scene: &crate::testing::Scene) -> Compiled {
    let inputs = Inputs { set, host: &scene.hosts, default_mode: scene.default_mode, clock: CLOCK };
    compile(&inputs, &mut Numbers::default()).unwrap()
}

/// Of two workloads' addresses, one flow between them passes if and only if the property finds it.
#[test]
fn random_flows_are_found_exactly() {
    hold(7, 400, &scene_and_probes(12), |(scene, probes)| {
        let owned = |at: IpAddr| scene.set.workloads.iter().any(|workload| workload.addresses.contains(&at));
        let probes: Vec<_> = probes
            .iter()
            .filter(|probe| owned(probe.from) && owned(probe.to) && probe.from != probe.to)
            .collect();
        let mut set = scene.set.clone();
        let origin = Origin { file: "t".into(), line: 1, column: 1 };
        let properties = probes.iter().map(|probe| FlowProperty {
            origin: origin.clone(),
            claim: claim(probe.from, probe.to, probe.protocol, probe.port),
        });
        set.tests = vec![FlowTest {
            name: "t".to_owned(),
            origin: origin.clone(),
            cases: Vec::new(),
            properties: properties.collect(),
        }];
        let compiled = compiled(&set, &scene);
        let outcomes = run(&set, &compiled, CLOCK.boot_ns);
        let inputs = Inputs { set: &set, host: &scene.hosts, default_mode: scene.default_mode, clock: CLOCK };
        let mut explainer = Explainer::new(inputs, &compiled);
        let ends: Vec<_> =
            probes.iter().map(|probe| (Endpoint::Address(probe.from), Endpoint::Address(probe.to))).collect();
        for ((probe, (from, to)), outcome) in probes.iter().zip(&ends).zip(&outcomes) {
            let path = explainer.paths(from, to, probe.protocol, probe.port)[0];
            let passes = path.verdict.passes && (path.egress.is_some() || path.ingress.is_some());
            prop_assert_eq!(
                passes,
                matches!(outcome.failure, Some(Failure::Path(_))),
                "{:?}: {:?}, {:?}",
                probe,
                path.verdict,
                outcome.failure
            );
        }
        Ok(())
    });
}
