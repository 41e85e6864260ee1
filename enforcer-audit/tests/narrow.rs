//! Existing rules against their use: what is told of them, and that narrower rules keep every verdict and open nothing.

mod common;

use common::{Recording, SHOP, flow, parsed};
use enforcer_audit::suggest::Options;
use enforcer_audit::suggest::narrow::{Advice, Narrowing};
use enforcer_audit::{Audit, Managed, Setting};
use enforcer_flows::{End, Flow, Item, Link, Opener, Packet, Sink};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::diff::connectivity;
use enforcer_policy::memory::frame;
use enforcer_policy::model::{PolicySet, SegmentMode};
use enforcer_policy::source::Source;
use enforcer_policy::testing::{NOW, Scene, Step, hold, scene_and_steps};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The shop's workloads, and one policy with these rules.
fn shop(rules: &[&str]) -> String {
    let (workloads, _) = SHOP.split_once("kind: FlowPolicy").unwrap();
    let rules: String = rules.iter().map(|rule| format!("    - {{{rule}}}\n")).collect();
    format!("{workloads}kind: FlowPolicy\nmetadata: {{name: shop}}\nspec:\n  flows:\n{rules}")
}

fn everywhere(set: &PolicySet) -> Setting {
    let set = PolicySet { segments: Vec::new(), ..set.clone() };
    Setting { managed: Managed::All, ..Setting::new(set, NOW) }
}

fn narrowing(text: &str, flows: &[Flow], options: &Options) -> Narrowing {
    let mut audit = Audit::new(everywhere(&parsed(text))).unwrap();
    flows.iter().for_each(|flow| audit.take(Item::Flow(flow)));
    audit.narrow(options, |_| true).unwrap()
}

/// What is advised, rule by rule: the word, or the rules in place of it.
fn advice(narrowing: &Narrowing) -> Vec<String> {
    use enforcer_policy::write::{list, selector};
    let rules = narrowing.policies.iter().flat_map(|policy| &policy.rules);
    rules
        .map(|rule| match &rule.advice {
            Advice::Narrow(entries) => {
                let entries = entries.iter().map(|one| {
                    let ports = one.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    format!("{} -> {} {ports}", list(&one.from, selector), list(&one.to, selector))
                });
                entries.collect::<Vec<_>>().join("; ")
            }
            Advice::Unused => "unused".to_owned(),
            Advice::Fits => "fits".to_owned(),
            Advice::Left(why) => format!("left: {why}"),
        })
        .collect()
}

fn to(from: &str, to: &str, port: u16) -> Flow {
    flow(from, 40_000, to, port, Opener::Source)
}

#[test]
fn ports_and_selectors_shrink_to_their_use() {
    let text = shop(&[
        "from: [{entity: workloads}], to: [{labels: {app: db}}], ports: [any]",
        "from: [{labels: {app: web}}], to: [{cidr: [192.0.2.0/24], except: [192.0.2.9/32]}], ports: [tcp/80-90, udp/53]",
        "from: [{labels: {app: idle}}], to: [{labels: {app: web}}], ports: [tcp/1]",
        "from: [{labels: {app: db}}], to: [{entity: world}], ports: [tcp/443]",
        "action: deny, from: [{labels: {app: web}}], to: [{labels: {app: idle}}], ports: [any]",
    ]);
    let flows = [
        to("10.0.0.1", "10.0.0.2", 5_432),
        to("10.0.0.1", "10.0.0.2", 443),
        to("10.0.0.3", "10.0.0.2", 443),
        to("10.0.0.1", "192.0.2.1", 80),
        to("10.0.0.1", "192.0.2.7", 80),
        to("10.0.0.2", "198.51.100.1", 443),
        to("10.0.0.1", "10.0.0.4", 80),
    ];
    let found = narrowing(&text, &flows, &Options::default());
    assert_eq!(
        advice(&found),
        [
            "[{labels: {app: web}}] -> [{labels: {app: db}}] tcp/5432; \
             [{labels: {app: web}}, {labels: {app: elsewhere}}] -> [{labels: {app: db}}] tcp/443",
            "[{labels: {app: web}}] -> [{cidr: [192.0.2.1/32, 192.0.2.7/32]}] tcp/80",
            "unused",
            "[{labels: {app: db}}] -> [{cidr: [198.51.100.1/32]}] tcp/443",
            "left: it denies",
        ]
    );
    let yaml = found.yaml();
    let narrowed = format!(
        "{}---\n{yaml}",
        text.split_once("---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy").unwrap().0
    );
    let read = check::parse(&[Source::new("narrowed.yaml", narrowed)], NOW).into_result();
    let (read, _) = read.unwrap_or_else(|invalid| panic!("{invalid}: {:?}: {yaml}", invalid.0));
    let expected: Vec<_> = found.policies.iter().map(|policy| policy.narrowed()).collect();
    let plain = |policies: &[enforcer_policy::model::FlowPolicy]| -> Vec<_> {
        policies
            .iter()
            .flat_map(|policy| &policy.flows)
            .map(|entry| (entry.action, entry.from.clone(), entry.to.clone(), entry.ports.clone()))
            .collect()
    };
    assert_eq!(plain(&read.policies), plain(&expected), "{yaml}");
    for part in [
        "# Rules: 5. Wider than their use: 3; not used: 1; as wide as their use: 0; left as they are: 1.",
        "# == Not used: candidates for removal",
        "#   shop#2  shop.yaml:28",
        "    # In place of shop#0  shop.yaml:26 (1 of 2)",
        "    #   was: {from: [{entity: workloads}], to: [{labels: {app: db}}], ports: [any]}",
        "    # shop#2  shop.yaml:28: not used in this recording",
        "no times",
    ] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    let json = found.json();
    assert_eq!((&json["schema"], &json["mode"]), (&"enforcer.suggest/v1".into(), &"narrow".into()));
    assert_eq!(
        json["rules"][1]["flows"][0]["to"][0]["cidr"],
        serde_json::json!(["192.0.2.1/32", "192.0.2.7/32"])
    );
    assert_eq!(
        (&json["rules"][2]["advice"], &json["rules"][4]["why"]),
        (&"unused".into(), &"it denies".into())
    );
}

#[test]
fn what_is_used_as_it_is_stays_as_it_is() {
    let text = shop(&["from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/443]"]);
    let found = narrowing(&text, &[to("10.0.0.1", "10.0.0.2", 443)], &Options::default());
    assert_eq!(advice(&found), ["fits"]);
    assert!(!found.yaml().contains("kind: FlowPolicy"));
}

#[test]
fn many_addresses_become_the_smallest_block_and_many_ports_the_smallest_range() {
    let text = shop(&[
        "from: [{cidr: [198.51.0.0/16], except: [198.51.100.128/25, 198.51.7.0/24]}], to: [{labels: {app: db}}], ports: [tcp]",
    ]);
    let mut flows = Vec::new();
    for n in 1..=40_u16 {
        flows.push(to(&format!("198.51.100.{n}"), "10.0.0.2", 1_000 + 2 * n));
    }
    let found = narrowing(&text, &flows, &Options::default());
    assert_eq!(advice(&found), ["[{cidr: [198.51.100.0/26]}] -> [{labels: {app: db}}] tcp/1002-1080"]);
    let Advice::Narrow(entries) = &found.policies[0].rules[0].advice else { panic!() };
    assert_eq!(entries[0].unseen, 39);
    // World by entity, where addresses are too many to be named.
    let text = shop(&["from: [{entity: all}], to: [{labels: {app: db}}], ports: [tcp/1002-1010]"]);
    let found = narrowing(&text, &flows, &Options { fold_ports: 2, world_addresses: 4 });
    assert_eq!(advice(&found), ["[{entity: world}] -> [{labels: {app: db}}] tcp/1002-1010"]);
}

/// A selector that is narrower stays one of the rule's own: whoever comes later and isn't meant by the old rule isn't meant by the new one.
#[test]
fn conditions_of_the_old_selector_are_kept() {
    let text = "\
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: a}
spec: {labels: {app: shop, role: web, env: prod}, addresses: [10.0.0.1]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: b}
spec: {labels: {app: shop, role: batch, env: prod}, addresses: [10.0.0.2]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: c}
spec: {labels: {app: db, role: sql, env: prod}, addresses: [10.0.0.3]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec:
  flows:
    - from: [{labels: {env: prod}, expressions: [{key: app, in: [shop, bank]}, {key: canary, exists: false}]}]
      to: [{labels: {app: db}}]
      ports: [tcp/5432]
";
    let found = narrowing(text, &[to("10.0.0.1", "10.0.0.3", 5_432)], &Options::default());
    assert_eq!(
        advice(&found),
        [
            "[{labels: {env: prod, role: web}, expressions: [{key: app, in: [shop, bank]}, {key: canary, exists: false}]}] -> [{labels: {app: db}}] tcp/5432"
        ]
    );
}

/// What a policy in audit would deny is let pass by another rule, whose use it is.
#[test]
fn a_policy_in_audit_hides_no_use() {
    let text = format!(
        "{}---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {{name: trial}}
spec: {{mode: audit, flows: [{{action: deny, from: [{{labels: {{app: web}}}}], to: [{{labels: {{app: db}}}}], ports: [tcp/443]}}]}}
",
        shop(&["from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp]"])
    );
    let found = narrowing(&text, &[to("10.0.0.1", "10.0.0.2", 443)], &Options::default());
    let rule = "[{labels: {app: web}}] -> [{labels: {app: db}}] tcp/443";
    assert_eq!(advice(&found), [rule, "left: it denies"]);
}

#[test]
fn probes_that_a_wide_rule_let_in_are_pointed_out() {
    let mut recording = Recording::new();
    for port in [80, 81, 82] {
        recording.send("10.0.0.1", "10.0.0.2", 6, &frame::tcp(40_000, port, 2));
        if port == 80 {
            recording.send("10.0.0.2", "10.0.0.1", 6, &frame::tcp(port, 40_000, 0x12));
            recording.send("10.0.0.1", "10.0.0.2", 6, &frame::tcp(40_000, port, 0x10));
        }
    }
    let text = shop(&["from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp]"]);
    let mut audit = Audit::new(everywhere(&parsed(&text))).unwrap();
    recording.play(&mut audit);
    let found = audit.narrow(&Options::default(), |_| true).unwrap();
    let yaml = found.yaml();
    assert!(yaml.contains("nobody answered 2 of its flows"), "{yaml}");
    assert!(yaml.contains("less than a minute"), "{yaml}");
}

type Tuple = (std::net::IpAddr, std::net::IpAddr, (u16, u16), u8);

fn verdicts(set: &PolicySet, scene: &Scene, steps: &[Step]) -> BTreeMap<Tuple, (&'static str, bool)> {
    let mut setting = Setting { managed: Managed::All, ..Setting::new(set.clone(), NOW) };
    (setting.host, setting.default_mode) = (scene.hosts.clone(), scene.default_mode);
    let mut audit = Audit::new(setting).unwrap();
    play(steps, &mut audit);
    let groups = audit.flow_groups();
    let lines = audit.flows().map(|line| {
        let group = &groups[line.group];
        ((line.source, line.destination, line.ports, line.protocol), (group.verdict, group.passes))
    });
    // An error about a flow that is denied wouldn't come: what becomes of it is no rule's matter.
    let error = |tuple: &Tuple| match (tuple.3, tuple.2.1 >> 8) {
        (1, kind) => matches!(kind, 3 | 4 | 11 | 12),
        (58, kind) => (1..=4).contains(&kind),
        _ => false,
    };
    lines.filter(|(tuple, _)| !error(tuple)).collect()
}

fn play(steps: &[Step], sink: &mut dyn Sink) {
    for (at, step) in (0..).zip(steps) {
        let Step::Packet(packet) = step else { continue };
        let bytes = enforcer_policy::testing::frame(packet);
        let (time, length) = (Some(at * 10_000_000), bytes.len() as u32);
        sink.take(Item::Packet(Packet { time, link: Link::Ethernet, bytes: &bytes, length }));
        let end = |address, port| End { address, port, who: None };
        let ends = (end(packet.source, 40_000), end(packet.destination, 22 + 421 * (at as u16 % 2)));
        let flow = flow("10.0.0.1", 1, "10.0.0.2", 1, Opener::Source);
        sink.take(Item::Flow(&Flow { start: time, source: ends.0, destination: ends.1, ..flow }));
    }
}

#[test]
fn random_rules_narrowed_keep_every_verdict_and_open_nothing() {
    let (narrowed, unused, kept) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let sizes = prop::sample::select(vec![0_usize, 1, 4]);
    hold(1, 1_500, &(scene_and_steps(24), sizes), |((scene, steps), addresses)| {
        let mut setting = everywhere(&scene.set);
        (setting.host, setting.default_mode) = (scene.hosts.clone(), SegmentMode::Enforce);
        let mut audit = Audit::new(setting).unwrap();
        play(&steps, &mut audit);
        let options = Options { fold_ports: 0, world_addresses: addresses };
        let found = audit.narrow(&options, |_| true).unwrap();
        narrowed.set(narrowed.get() + found.count(|advice| matches!(advice, Advice::Narrow(_))));
        unused.set(unused.get() + found.count(|advice| *advice == Advice::Unused));
        kept.set(
            kept.get()
                + found.count(|advice| matches!(advice, Advice::Left(why) if why.contains("told apart"))),
        );
        let policies = found.policies.iter().map(|policy| policy.narrowed()).collect();
        let new = PolicySet { policies, ..scene.set.clone() };
        // The verdicts that the scene itself gives, with its segments and modes.
        prop_assert_eq!(verdicts(&scene.set, &scene, &steps), verdicts(&new, &scene, &steps));
        let clock = Clock { now: NOW, boot_ns: 1_000 };
        let compiled = [&scene.set, &new].map(|set| {
            let inputs = Inputs { set, host: &scene.hosts, default_mode: scene.default_mode, clock };
            compile(&inputs, &mut Numbers::default()).unwrap()
        });
        let difference = connectivity(Some(&compiled[0]), &compiled[1], clock.boot_ns);
        prop_assert!(
            difference.complete && !difference.changes.iter().any(|change| change.opens()),
            "{:?}",
            difference
        );
        Ok(())
    });
    let (narrowed, unused, kept) = (narrowed.get(), unused.get(), kept.get());
    assert!(
        narrowed > 300 && unused > 100 && kept * 10 < narrowed,
        "{narrowed} narrowed, {unused} unused, {kept} kept"
    );
}
