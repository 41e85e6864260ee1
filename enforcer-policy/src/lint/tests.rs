//! What is found about small sets, and what isn't.

use super::lint;
use crate::check;
use crate::compile::{Clock, Inputs, Numbers, compile};
use crate::source::Source;
use crate::testing::NOW;
use jiff::ToSpan;
use std::collections::HashSet;

const CLOCK: Clock = Clock { now: NOW, boot_ns: 1_000 };
const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\n";

/// The lines and messages of what is found, all policies taken for tested.
fn found(policies: &[(&str, &str)]) -> Vec<String> {
    let mut text = String::new();
    for (name, last) in [("web", 1), ("db", 2), ("batch", 3)] {
        text += &format!(
            "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{app: {name}, env: prod}}, match: [{{interface: {name}}}], addresses: [10.0.0.{last}]}}\n---\n"
        );
    }
    for (name, spec) in policies {
        text += &format!("{HEAD}kind: FlowPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n");
    }
    text += &format!(
        "{HEAD}kind: FlowTest\nmetadata: {{name: t}}\nspec: {{cases: [{{from: {{workload: web}}, to: {{workload: db}}, port: tcp/1, expect: deny}}]}}\n"
    );
    let (set, _) = check::parse(&[Source::new("set.yaml", text)], NOW).into_result().unwrap();
    let inputs = Inputs { set: &set, host: &[], default_mode: Default::default(), clock: CLOCK };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    let tested: HashSet<String> =
        policies.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != "new").collect();
    lint(&set, &compiled, CLOCK, &tested).into_iter().map(|lint| lint.message).collect()
}

#[test]
fn a_rule_that_another_covers_never_decides() {
    let web_db = "from: [{labels: {app: web}}], to: [{labels: {app: db}}]";
    let covered = format!("flows: [{{{web_db}, ports: [tcp/5432]}}]");
    let guard = "tier: guardrail, flows: [{action: deny, from: [{entity: all}], to: [{labels: {app: db}}], ports: [tcp/5000-6000]}]";
    assert_eq!(
        found(&[("books", &covered), ("guard", guard)]),
        ["`books#0` never decides: for everything it matches, `guard#0` comes first"]
    );
    let wider = format!("flows: [{{{web_db}, ports: [tcp/5432, tcp/7000]}}]");
    assert!(found(&[("books", &wider), ("guard", guard)]).is_empty(), "it decides port 7000");
    let twice = format!("flows: [{{{web_db}, ports: [tcp/5432]}}, {{{web_db}, ports: [tcp/5432]}}]");
    assert_eq!(
        found(&[("books", &twice)]),
        ["`books#1` never decides: for everything it matches, `books#0` comes first"]
    );
}

#[test]
fn what_audits_or_ends_is_not_shadowed() {
    let web_db = "from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/5432]";
    let audit = format!("mode: audit, flows: [{{action: deny, {web_db}}}]");
    let allow = format!("flows: [{{{web_db}}}]");
    assert!(found(&[("try", &audit), ("books", &allow)]).is_empty());
}

#[test]
fn wide_rules_are_named_by_what_they_open() {
    let rule = |from: &str, to: &str, port: &str| {
        format!("flows: [{{from: [{from}], to: [{to}], ports: [{port}]}}]")
    };
    let (web, all) = ("{labels: {app: web}}", "{entity: all}");
    assert_eq!(
        found(&[("in", &rule(all, web, "any"))]),
        ["`in#0` is wide: it allows every port from anywhere"]
    );
    assert_eq!(
        found(&[("out", &rule(web, "{cidr: [0.0.0.0/0]}", "tcp"))]),
        ["`out#0` is wide: it allows every port to anywhere"]
    );
    let workloads = "{entity: workloads}";
    assert_eq!(
        found(&[("mesh", &rule(workloads, workloads, "any"))]),
        ["`mesh#0` is wide: it allows every port between all workloads"]
    );
    assert!(found(&[("ping", &rule(all, workloads, "icmp/echo-request"))]).is_empty());
    assert!(found(&[("site", &rule(all, web, "tcp/443"))]).is_empty());
}

#[test]
fn what_ends_soon_and_what_nobody_tests_is_named() {
    let rule = "flows: [{from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/1]}]";
    let until = |hours: i64| format!("expires: {}, {rule}", NOW + hours.hours());
    assert_eq!(found(&[("soon", &until(30))]), ["the policy `soon` expires in 30 hours"]);
    assert_eq!(found(&[("soon", &until(24 * 13))]), ["the policy `soon` expires in 13 days"]);
    assert!(found(&[("later", &until(24 * 15))]).is_empty());
    assert_eq!(found(&[("new", rule)]), ["no FlowTest case is decided by the policy `new`"]);
}
