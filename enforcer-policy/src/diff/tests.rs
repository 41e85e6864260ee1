//! Differences of small sets, and their exactness on random ones.

use super::{Reach, connectivity};
use crate::check;
use crate::compile::{Clock, Compiled, Inputs, Numbers, compile};
use crate::explain::Explainer;
use crate::model::{Endpoint, PolicySet, SegmentMode};
use crate::source::Source;
use crate::testing::{NOW, hold, scene_and_probes};
use enforcer_common::Word;
use proptest::prelude::*;
use std::net::IpAddr;

const CLOCK: Clock = Clock { now: NOW, boot_ns: 1_000 };

const SHOP: &str = r#"
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec: {labels: {app: web}, match: [{interface: web}], addresses: [10.0.0.1, "fd00::1"]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: checkout}
spec: {labels: {app: checkout}, match: [{interface: checkout}], addresses: [10.0.0.3]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: ledger}
spec: {labels: {app: ledger}, match: [{interface: ledger}], addresses: [10.0.0.2, "fd00::2"]}
---
"#;

fn set(documents: &str) -> (PolicySet, Compiled) {
    let (set, _) = check::parse(&[Source::new("set.yaml", documents)], NOW).into_result().unwrap();
    let compiled = compiled(&set, &[], SegmentMode::Enforce);
    (set, compiled)
}

fn compiled(set: &PolicySet, host: &[IpAddr], default_mode: SegmentMode) -> Compiled {
    compile(&Inputs { set, host, default_mode, clock: CLOCK }, &mut Numbers::default()).unwrap()
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn difference(old: &str, new: &str) -> Vec<String> {
    let found = connectivity(Some(&set(old).1), &set(new).1, CLOCK.boot_ns);
    assert!(found.complete);
    found.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn changes_read_like_this() {
    let books = policy(
        "books",
        "flows: [{from: [{labels: {app: web}}], to: [{labels: {app: ledger}}], ports: [tcp/5432]}]",
    );
    let wide = policy(
        "books",
        "flows: [{from: [{labels: {app: web}}, {labels: {app: checkout}}], to: [{labels: {app: ledger}}], ports: [tcp/5432, icmp/3/4]}]",
    );
    let out =
        policy("out", "flows: [{from: [{entity: workloads}], to: [{cidr: [192.0.2.0/24]}], ports: [any]}]");
    let old = format!("{SHOP}{books}");
    assert!(difference(&old, &old).is_empty());
    assert_eq!(
        difference(&old, &format!("{SHOP}{wide}")),
        [
            "+ checkout -> ledger  icmp/fragmentation-needed, tcp/5432  denied -> allowed  (books#0)",
            "+ web -> ledger  icmp/fragmentation-needed  denied -> allowed  (books#0)",
        ]
    );
    assert_eq!(difference(&old, SHOP), ["- web -> ledger  tcp/5432  allowed -> denied  (was books#0)"]);
    assert_eq!(
        difference(&old, &format!("{SHOP}{books}{out}")),
        ["+ checkout, ledger, web -> 192.0.2.0/24  any  denied -> allowed  (out#0)"]
    );
    let renamed = books.replace("name: books", "name: accounts");
    assert!(difference(&old, &format!("{SHOP}{renamed}")).is_empty(), "a new name changes no connectivity");
    let moved = old.replace("10.0.0.1,", "10.0.0.9,");
    assert!(difference(&old, &moved).is_empty(), "a new address changes no connectivity of the identity");
}

/// Every probe of two random sets: where both ends are in both sets, the difference has it if and only if its verdict differs.
#[test]
fn random_differences_are_exact() {
    hold(1, 400, &(scene_and_probes(8), scene_and_probes(8)), |((old, probes), (mut new, more))| {
        // The same workloads, or none of the probes would have both ends in both.
        new.set.workloads.clone_from(&old.set.workloads);
        let sets = [&old, &new].map(|scene| compiled(&scene.set, &scene.hosts, scene.default_mode));
        let found = connectivity(Some(&sets[0]), &sets[1], CLOCK.boot_ns);
        prop_assert!(found.complete);
        let ranges = || found.changes.iter().flat_map(|change| &change.ports);
        prop_assert!(ranges().all(|(first, last)| first <= last && *last < super::END), "{:?}", found);
        for probe in probes.iter().chain(&more) {
            let owner = |at: IpAddr| {
                let workload = old.set.workloads.iter().find(|workload| workload.addresses.contains(&at));
                workload.map(|workload| workload.name.clone())
            };
            let (Some(from), Some(to)) = (owner(probe.from), owner(probe.to)) else { continue };
            let words = [(&old, &sets[0]), (&new, &sets[1])].map(|(scene, compiled)| {
                let inputs = Inputs {
                    set: &scene.set,
                    host: &scene.hosts,
                    default_mode: scene.default_mode,
                    clock: CLOCK,
                };
                let (from, to) = (Endpoint::Address(probe.from), Endpoint::Address(probe.to));
                let mut explainer = Explainer::new(inputs, compiled);
                let path = explainer.paths(&from, &to, probe.protocol, probe.port)[0];
                let judged = path.egress.is_some() || path.ingress.is_some();
                judged.then_some((path.verdict.word, path.verdict.passes))
            });
            let [Some(before), Some(after)] = words else { continue };
            let key = u32::from(probe.protocol) << 16 | u32::from(probe.port);
            let told: Vec<_> = found
                .changes
                .iter()
                .filter(|change| change.from.contains(&from) && change.to.contains(&to))
                .filter(|change| change.ports.iter().any(|(first, last)| (*first..=*last).contains(&key)))
                .map(|change| (word(change.before), word(change.after)))
                .collect();
            if before == after {
                // Another address of the same workload may change where this one doesn't.
                let alone = old.set.workloads.iter().all(|workload| workload.addresses.len() <= 1);
                prop_assert!(told.is_empty() || !alone, "{:?} told of {:?}", told, probe);
            } else {
                prop_assert!(
                    told.contains(&(before, after)),
                    "{:?} -> {:?} not told of {:?}: {:?}",
                    before,
                    after,
                    probe,
                    told
                );
            }
        }
        Ok(())
    });
}

fn word(reach: Reach) -> (Word, bool) {
    match reach {
        Reach::Unjudged => unreachable!("a set without hooks judges no probe"),
        Reach::Denied => (Word::Denied, false),
        Reach::AuditedDropped => (Word::Audited, false),
        Reach::Audited => (Word::Audited, true),
        Reach::Allowed => (Word::Allowed, true),
    }
}
