//! Two sets on one recording: what becomes of flows, and that it is what two dry runs say.

mod common;

use common::{Recording, SHOP, flow, parsed, read_to_its_end};
use enforcer_audit::compare::{FlowChanges, Kind};
use enforcer_audit::{Audit, Comparison, Intake as _, Known, Setting, Tenure, render};
use enforcer_flows::{Flow, Item, Link, Opener, Packet, Sink};
use enforcer_policy::memory::frame;
use enforcer_policy::testing::{NOW, Scene, Step, hold, scene_and_steps};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

fn comparison(old: Setting, new: Setting) -> Comparison {
    Comparison::new(Audit::new(old).unwrap(), Audit::new(new).unwrap())
}

fn sets(old: &str, new: &str) -> Comparison {
    comparison(Setting::new(parsed(old), NOW), Setting::new(parsed(new), NOW))
}

fn record(comparison: &mut Comparison, flow: &Flow) {
    comparison.take(Item::Flow(flow));
}

/// What a group becomes, from where to where, on which port, how often, and why.
fn lines(changes: &FlowChanges) -> Vec<String> {
    let cause = |side: &enforcer_audit::compare::Side| {
        let cause = side.cause.as_ref();
        let by = cause.and_then(|cause| cause.rule.clone().or(cause.reason.map(str::to_owned)));
        let line = cause.and_then(|cause| cause.line).map_or_else(String::new, |line| format!(":{line}"));
        format!("{} {}{line}", side.verdict, by.unwrap_or_default())
    };
    let name =
        |identity: &enforcer_audit::report::Identity| identity.name().unwrap_or(identity.kind).to_owned();
    let groups = changes.groups.iter().map(|group| {
        let (from, to) = (name(&group.source), name(&group.destination));
        let (old, new) = (cause(&group.old), cause(&group.new));
        format!(
            "{:?} {from} {to} {} {}: {old} -> {new}",
            group.change, group.traffic.port, group.traffic.figures.flows
        )
    });
    groups.collect()
}

#[test]
fn flows_are_sorted_by_what_becomes_of_them() {
    // What was udp/53 is tcp/22 now, and tcp/443 is by another rule.
    let new = SHOP.replace("[udp/53]", "[tcp/22]").replace("{name: shop}", "{name: store}");
    let mut comparison = sets(SHOP, &new);
    for client in 0..3 {
        record(&mut comparison, &flow("10.0.0.1", 40_000 + client, "10.0.0.2", 443, Opener::Source));
        record(&mut comparison, &flow("10.0.0.1", 40_000 + client, "10.0.0.2", 22, Opener::Source));
    }
    record(
        &mut comparison,
        &Flow { protocol: 17, ..flow("10.0.0.1", 40_000, "10.0.0.2", 53, Opener::Source) },
    );
    record(&mut comparison, &flow("10.0.0.2", 40_000, "10.0.0.1", 22, Opener::Source));
    let changes = comparison.flows().unwrap();
    assert_eq!(
        lines(&changes),
        [
            "NewlyDenied web db udp/53 1: allowed shop#1:27 -> denied no-rule",
            "NewlyAllowed web db tcp/22 3: denied no-rule -> allowed store#1:27",
        ]
    );
    assert_eq!(changes.totals.flows, 8);
    assert_eq!(
        (changes.unchanged.allowed.flows, changes.unchanged.denied.flows, changes.cause_only.flows),
        (3, 1, 3)
    );
    assert_eq!((changes.changed.newly_denied.flows, changes.changed.newly_allowed.flows), (1, 3));
    assert_eq!((changes.breaks.flows, changes.breaks.packets, changes.opens.packets), (1, 10, 30));
    let denied = changes.with(Kind::NewlyDenied).next().unwrap();
    let entry = "- {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [udp/53]}";
    assert_eq!(denied.allow.as_deref(), Some(entry));
    assert_eq!(denied.nearest_miss.as_ref().unwrap().mends[0].clause, "ports");
    let text = render::flow_changes(&changes, &["- web -> db  tcp/1".to_owned()], false);
    for part in [
        "8 recorded flows: 1 newly denied, 3 newly allowed, 0 newly audited, unchanged: 3 allowed, 1 denied, 0 audited\n",
        "  3 unchanged flows: decided by another rule or reason than before\n",
        "allowed  shop#1  shop.yaml:27",
        "denied  no-rule",
        "NO RECORDED FLOW TOUCHED",
        entry,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_scan_that_is_newly_denied_is_one_row_for_people() {
    let open = "---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {name: open}\n\
                spec: {flows: [{from: [{entity: world}], to: [{labels: {app: db}}], ports: [tcp]}]}\n";
    let mut comparison = sets(&format!("{SHOP}{open}"), SHOP);
    for port in 1..=30 {
        let one = flow("192.0.2.7", 44_444, "10.0.0.2", port, Opener::Source);
        record(&mut comparison, &Flow { packets: 1, ..one });
    }
    record(&mut comparison, &flow("192.0.2.8", 40_000, "10.0.0.2", 443, Opener::Source));
    let changes = comparison.flows().unwrap();
    assert_eq!(changes.groups.iter().filter(|group| group.change == Kind::NewlyDenied).count(), 31);
    let text = render::flow_changes(&changes, &[], false);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("world 192.0.2.7 ")).collect();
    assert_eq!(rows.len(), 1, "{text}");
    assert!(rows[0].contains("30 ports") && rows[0].trim_start().starts_with("2  30 "), "{text}");
    assert!(text.contains("#2: 30 pairs of destination and port"), "{text}");
}

#[test]
fn changed_connectivity_is_told_with_the_flows_that_touch_it() {
    let new = SHOP.replace("[udp/53]", "[udp/53, tcp/22, tcp/25-26]").replace("[tcp/443]", "[tcp/8443]");
    let mut comparison = sets(SHOP, &new);
    record(&mut comparison, &flow("10.0.0.1", 40_000, "10.0.0.2", 22, Opener::Source));
    record(&mut comparison, &flow("10.0.0.1", 40_001, "10.0.0.2", 26, Opener::Source));
    let connectivity = comparison.connectivity(NOW).unwrap();
    let told: Vec<_> =
        connectivity.difference.changes.iter().map(ToString::to_string).zip(connectivity.touched).collect();
    assert_eq!(
        told,
        [
            ("- web -> db  tcp/443  allowed -> denied  (was shop#0)".to_owned(), 0),
            ("+ web -> db  tcp/22, tcp/25-26  denied -> allowed  (shop#1)".to_owned(), 2),
            ("+ web -> db  tcp/8443  denied -> allowed  (shop#0)".to_owned(), 0),
        ]
    );
}

#[test]
fn blocks_and_groups_are_known_by_their_addresses() {
    let out = |ports: &str| {
        format!(
            "{SHOP}    - {{from: [{{labels: {{app: web}}}}], to: [{{cidr: [192.0.2.0/24], except: [192.0.2.128/25]}}, {{labels: {{zone: far}}}}], ports: [{ports}]}}
---
apiVersion: enforcer.dev/v1alpha1
kind: AddressGroup
metadata: {{name: far}}
spec: {{labels: {{zone: far}}, cidrs: [198.51.100.0/24]}}
"
        )
    };
    let mut comparison = sets(&out("tcp/80"), &out("tcp/81"));
    for (to, port) in [("192.0.2.7", 80), ("192.0.2.200", 80), ("198.51.100.1", 81), ("203.0.113.1", 81)] {
        record(&mut comparison, &flow("10.0.0.1", 40_000, to, port, Opener::Source));
    }
    let connectivity = comparison.connectivity(NOW).unwrap();
    let told: Vec<_> =
        connectivity.difference.changes.iter().map(ToString::to_string).zip(connectivity.touched).collect();
    assert_eq!(
        told,
        [
            ("- web -> 192.0.2.0/24, group far  tcp/80  allowed -> denied  (was shop#2)".to_owned(), 1),
            ("+ web -> 192.0.2.0/24, group far  tcp/81  denied -> allowed  (shop#2)".to_owned(), 1),
        ]
    );
    assert_eq!(
        lines(&comparison.flows().unwrap()),
        [
            "NewlyDenied web world tcp/80 1: allowed shop#2:28 -> denied no-rule",
            "NewlyAllowed web far tcp/81 1: denied no-rule -> allowed shop#2:28",
        ]
    );
}

#[test]
fn an_identity_that_one_set_names_otherwise_is_told_with_both() {
    let new = SHOP.replace("{app: web}, match", "{app: frontend}, match");
    let mut comparison = sets(SHOP, &new);
    record(&mut comparison, &flow("10.0.0.1", 40_000, "10.0.0.2", 443, Opener::Source));
    let changes = comparison.flows().unwrap();
    let group = &changes.groups[0];
    assert_eq!(group.source.labels["app"], "frontend");
    assert_eq!(group.old_source.as_ref().unwrap().labels["app"], "web");
    assert!(group.old_destination.is_none() && group.breaks);
    let text = render::flow_changes(&changes, &[], false);
    assert!(text.contains("web (app=frontend), was web (app=web)"), "{text}");
}

/// An inventory has the address change hands; one of the sets has a document that claims it for good.
#[test]
fn an_address_that_only_one_set_has_change_hands_meets_by_time() {
    let claimed = SHOP.replace("addresses: [10.0.0.3]", "addresses: [10.0.0.3, 10.0.0.9]");
    let known = |name: &str, app: &str, from: i64, until: i64| Known {
        name: name.to_owned(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        managed: true,
        addresses: vec![Tenure {
            address: "10.0.0.9".parse().unwrap(),
            from: Some(from),
            until: Some(until),
        }],
    };
    let setting = |text: &str| Setting {
        known: vec![known("first", "web", 0, 1_000), known("second", "other", 1_000, 2_000)],
        ..Setting::new(parsed(text), NOW)
    };
    for (old, new) in [(SHOP, claimed.as_str()), (&claimed, SHOP), (SHOP, SHOP)] {
        let mut comparison = comparison(setting(old), setting(new));
        for at in [100, 200, 1_500] {
            let flow = flow("10.0.0.9", 40_000, "10.0.0.2", 443, Opener::Source);
            record(&mut comparison, &Flow { start: Some(at), end: Some(at), ..flow });
        }
        let changes = comparison.flows().unwrap();
        let lines = lines(&changes);
        match (old == SHOP, new == SHOP) {
            (true, true) => {
                assert_eq!(changes.groups.len(), 0, "{lines:?}");
                assert_eq!((changes.unchanged.allowed.flows, changes.unchanged.denied.flows), (1, 1));
            }
            (true, false) => {
                assert_eq!(
                    lines,
                    ["NewlyDenied elsewhere db tcp/443 1: allowed shop#0:26 -> denied no-rule"]
                );
                assert_eq!(changes.unchanged.denied.flows, 1);
            }
            _ => {
                assert_eq!(lines, ["NewlyAllowed first db tcp/443 1: denied no-rule -> allowed shop#0:26"]);
                assert_eq!(changes.unchanged.denied.flows, 1);
            }
        }
        assert_eq!(changes.one_sided.old.flows + changes.one_sided.new.flows, 0);
    }
}

#[test]
fn an_icmp_error_about_a_flow_that_one_set_denies_is_of_one_side() {
    let none = SHOP.replace("[udp/53]", "[udp/54]");
    let mut recording = Recording::new();
    let query = frame::ports(17, 40_000, 53);
    recording.send("10.0.0.1", "10.0.0.2", 17, &query);
    let quoted = common::packet("10.0.0.1", "10.0.0.2", 17, &query);
    recording.send("10.0.0.2", "10.0.0.1", 1, &frame::icmp(3, 3, 0, &quoted[14..]));
    let mut comparison = sets(SHOP, &none);
    recording.play(&mut comparison);
    let changes = comparison.flows().unwrap();
    assert_eq!(lines(&changes), ["NewlyDenied web db udp/53 1: allowed shop#1:27 -> denied no-rule"]);
    assert_eq!((changes.one_sided.old.flows, changes.one_sided.new.flows), (1, 0));
    assert!(changes.notes.iter().any(|note| note.contains("only one of the sets")), "{:?}", changes.notes);
}

type Tuple = (IpAddr, IpAddr, (u16, u16), u8);
type Said = (String, bool, Option<String>);

/// Every flow of a dry run by itself.
fn said(audit: &Audit) -> BTreeMap<Tuple, (Said, u64)> {
    let groups = audit.flow_groups();
    let lines = audit.flows().map(|line| {
        let group = &groups[line.group];
        let cause = group.cause.as_ref();
        let cause =
            cause.and_then(|cause| cause.rule.clone().or(cause.detail.or(cause.reason).map(str::to_owned)));
        let said = (group.verdict.to_owned(), group.passes, cause);
        ((line.source, line.destination, line.ports, line.protocol), (said, line.packets))
    });
    lines.collect()
}

fn setting(scene: &Scene) -> Setting {
    let mut setting = Setting::new(scene.set.clone(), NOW);
    (setting.host, setting.default_mode) = (scene.hosts.clone(), scene.default_mode);
    setting
}

/// The packets of a recording, and for every other one a record that says the same.
fn play(steps: &[Step], sink: &mut dyn Sink) {
    for (at, step) in (0..).zip(steps) {
        let Step::Packet(packet) = step else { continue };
        let bytes = enforcer_policy::testing::frame(packet);
        let (time, length) = (Some(at * 10_000_000), bytes.len() as u32);
        sink.take(Item::Packet(Packet { time, link: Link::Ethernet, bytes: &bytes, length }));
        if at % 2 == 0 {
            let end = |address, port| enforcer_flows::End { address, port, who: None };
            let (source, destination) = (end(packet.source, 40_000), end(packet.destination, 443));
            let flow = flow("10.0.0.1", 1, "10.0.0.2", 1, Opener::Unknown);
            sink.take(Item::Flow(&Flow { start: time, source, destination, ..flow }));
        }
    }
}

/// Held against two dry runs of their own, whose flows meet by their addresses.
#[test]
fn random_comparisons_are_what_two_dry_runs_say() {
    let (changed, kept) = (Cell::new(0), Cell::new(0));
    hold(
        1,
        1_500,
        &(scene_and_steps(16), scene_and_steps(8), any::<bool>()),
        |((old, steps), (mut new, more), same)| {
            if same {
                new.set.workloads.clone_from(&old.set.workloads);
            }
            let mut both = comparison(setting(&old), setting(&new));
            let mut alone = [&old, &new].map(|scene| Audit::new(setting(scene)).unwrap());
            for steps in [&steps, &more] {
                play(steps, &mut both);
                alone.iter_mut().for_each(|audit| play(steps, audit));
            }
            both.end(&read_to_its_end());
            alone.iter_mut().for_each(|audit| audit.end(&read_to_its_end()));
            let [before, after] = alone.map(|audit| said(&audit));
            let mut expected: BTreeMap<(Said, Said), u64> = BTreeMap::new();
            let (mut unchanged, mut otherwise, mut one_sided) = (BTreeMap::<String, u64>::new(), 0, (0, 0));
            for (tuple, (was, _)) in &before {
                let Some((is, _)) = after.get(tuple) else {
                    one_sided.0 += 1;
                    continue;
                };
                if (&was.0, was.1) == (&is.0, is.1) {
                    *unchanged.entry(was.0.clone()).or_default() += 1;
                    otherwise += u64::from(was.2 != is.2);
                } else {
                    *expected.entry((was.clone(), is.clone())).or_default() += 1;
                }
            }
            one_sided.1 = after.keys().filter(|tuple| !before.contains_key(*tuple)).count() as u64;
            let changes = both.flows().unwrap();
            let mut found: BTreeMap<(Said, Said), u64> = BTreeMap::new();
            for group in &changes.groups {
                let said = |side: &enforcer_audit::compare::Side| {
                    let cause = side.cause.as_ref();
                    let cause = cause.and_then(|cause| {
                        cause.rule.clone().or(cause.detail.or(cause.reason).map(str::to_owned))
                    });
                    (side.verdict.to_owned(), side.passes, cause)
                };
                *found.entry((said(&group.old), said(&group.new))).or_default() +=
                    group.traffic.figures.flows;
                prop_assert_eq!(group.breaks, group.old.passes && !group.new.passes);
            }
            prop_assert_eq!(&found, &expected);
            let count = |verdict: &str| unchanged.get(verdict).copied().unwrap_or_default();
            prop_assert_eq!(changes.unchanged.allowed.flows, count("allowed"));
            prop_assert_eq!(changes.unchanged.denied.flows, count("denied"));
            prop_assert_eq!(changes.unchanged.audited.flows, count("audited"));
            prop_assert_eq!(changes.unchanged.unjudged.flows, count("unjudged"));
            prop_assert_eq!(changes.cause_only.flows, otherwise);
            prop_assert_eq!((changes.one_sided.old.flows, changes.one_sided.new.flows), one_sided);
            changed.set(changed.get() + found.values().sum::<u64>());
            kept.set(kept.get() + otherwise);
            Ok(())
        },
    );
    assert!(
        changed.get() > 1_000 && kept.get() > 50,
        "{} flows changed, {} causes",
        changed.get(),
        kept.get()
    );
}

/// Where a flow changes from being dropped to passing or back, exact connectivity has a change for it.
#[test]
fn changed_flows_touch_changed_connectivity() {
    let seen = Cell::new(0);
    hold(2, 600, &(scene_and_steps(16), scene_and_steps(2)), |((old, steps), (mut new, _))| {
        new.set.workloads.clone_from(&old.set.workloads);
        (new.hosts, new.default_mode) = (old.hosts.clone(), old.default_mode);
        let mut both = comparison(setting(&old), setting(&new));
        play(&steps, &mut both);
        both.end(&read_to_its_end());
        let changes = both.flows().unwrap();
        let connectivity = both.connectivity(NOW).unwrap();
        let decided = |side: &enforcer_audit::compare::Side| {
            side.cause.as_ref().is_some_and(|cause| cause.rule.is_some() || cause.reason == Some("no-rule"))
        };
        for group in changes.groups.iter().filter(|group| decided(&group.old) && decided(&group.new)) {
            let touched = connectivity.touched.iter().any(|flows| *flows >= group.traffic.figures.flows);
            prop_assert!(touched || !connectivity.difference.complete, "{:?} {:?}", group, connectivity);
            seen.set(seen.get() + 1);
        }
        Ok(())
    });
    assert!(seen.get() > 200, "{}", seen.get());
}
