//! Explanations of a small shop.

use super::{Cause, Clause, Explainer, Explanation, single_port};
use crate::check;
use crate::compile::{Clock, Compiled, Inputs, Numbers, compile};
use crate::model::{Endpoint, PolicySet, PortSpec, SegmentMode};
use crate::source::Source;
use enforcer_common::{Reason, Word};
use jiff::Timestamp;

const SHOP: &str = r#"
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec: {labels: {app: web, env: prod}, match: [{interface: web}], addresses: [10.0.0.1, "fd00::1"]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: ledger}
spec: {labels: {app: ledger, env: prod}, match: [{interface: ledger}], addresses: [10.0.0.2, "fd00::2"]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: books}
spec:
  flows:
    - from: [{labels: {app: checkout, env: prod}}]
      to: [{labels: {app: ledger}}]
      ports: [tcp/5432]
    - from: [{labels: {env: prod}}]
      to: [{labels: {env: prod}}]
      ports: [tcp/9100]
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: exception}
spec:
  expires: 2020-01-01T00:00:00Z
  flows: [{from: [{labels: {app: web}}], to: [{labels: {app: ledger}}], ports: [tcp/22]}]
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: trial}
spec:
  mode: audit
  flows: [{from: [{labels: {app: web}}], to: [{labels: {app: ledger}}], ports: [udp/53]}]
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: company}
spec:
  tier: guardrail
  flows: [{action: deny, from: [{entity: world}], to: [{entity: all}], ports: [tcp/9100]}]
"#;

fn clock() -> Clock {
    Clock { now: "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap(), boot_ns: 1_000 }
}

fn shop() -> (PolicySet, Compiled) {
    let (set, _) = check::parse(&[Source::new("shop.yaml", SHOP)], clock().now).into_result().unwrap();
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock: clock() };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    (set, compiled)
}

fn ask(from: &Endpoint, to: &Endpoint, port: &str, check: impl FnOnce(&Explanation<'_>)) {
    let (set, compiled) = shop();
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock: clock() };
    let (protocol, port) = single_port(&port.parse::<PortSpec>().unwrap()).unwrap();
    let (from, to) = (from.clone(), to.clone());
    check(&Explainer::new(inputs, &compiled).explain(&from, &to, protocol, port));
}

fn named(name: &str) -> Endpoint {
    Endpoint::Workload(name.to_owned())
}

/// Verdict, cause, nearest miss with its clauses.
fn summary(explanation: &Explanation<'_>) -> String {
    let verdict = explanation.path().unwrap().verdict;
    let miss = explanation.nearest_miss.as_ref().map_or(String::new(), |miss| {
        let clauses: Vec<_> = miss.mends.iter().map(|(clause, _)| clause.word()).collect();
        format!(", nearest {} by {}", miss.rule, clauses.join("+"))
    });
    format!("{} {}{miss}", verdict.word.word(), verdict.cause)
}

#[test]
fn verdicts_with_their_nearest_miss() {
    let labels = |app: &str| {
        Endpoint::Labels([("app", app), ("env", "prod")].map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    };
    let world = Endpoint::Entity(crate::model::Entity::World);
    let stranger = Endpoint::Address("192.0.2.7".parse().unwrap());
    for (from, to, port, expected) in [
        (named("web"), named("ledger"), "tcp/9100", "allowed books#1"),
        (named("web"), named("ledger"), "tcp/5432", "denied no-rule, nearest books#1 by ports"),
        (named("web"), named("ledger"), "tcp/22", "denied no-rule, nearest exception#0 by expires"),
        (named("web"), named("ledger"), "udp/53", "audited trial#0, nearest trial#0 by mode"),
        (labels("checkout"), named("ledger"), "tcp/5432", "allowed books#0"),
        (labels("batch"), named("ledger"), "tcp/5432", "denied no-rule, nearest books#1 by ports"),
        (world, named("ledger"), "tcp/9100", "denied company#0, nearest books#1 by from+outranked"),
        (
            stranger.clone(),
            named("ledger"),
            "tcp/9100",
            "denied company#0, nearest books#1 by from+outranked",
        ),
        (named("web"), stranger, "tcp/443", "denied no-rule, nearest books#1 by to+ports"),
    ] {
        ask(&from, &to, port, |explanation| {
            assert_eq!(summary(explanation), expected, "{from:?} {to:?} {port}");
        });
    }
}

#[test]
fn candidates_name_their_first_failing_clause() {
    ask(&named("web"), &named("ledger"), "tcp/9100", |explanation| {
        let found: Vec<_> =
            explanation.candidates.iter().map(|c| (c.rule.to_string(), c.first_failing())).collect();
        let expected = [
            ("books#1", None),
            ("company#0", Some(Clause::From)),
            ("books#0", Some(Clause::From)),
            ("exception#0", Some(Clause::Ports)),
            ("trial#0", Some(Clause::Ports)),
        ];
        assert_eq!(found, expected.map(|(rule, clause)| (rule.to_owned(), clause)));
        assert_eq!(explanation.paths.len(), 2, "once per family");
        assert!(!explanation.is_mixed());
    });
}

#[test]
fn mends_say_what_is_wanted() {
    ask(&named("web"), &named("ledger"), "tcp/5432", |explanation| {
        let miss = explanation.nearest_miss.as_ref().unwrap();
        assert_eq!(miss.mends, [(Clause::Ports, "`ports` has tcp/9100: add `tcp/5432`".to_owned())]);
    });
    ask(&named("ledger"), &Endpoint::Address("192.0.2.7".parse().unwrap()), "tcp/9100", |explanation| {
        let miss = explanation.nearest_miss.as_ref().unwrap();
        let text = "`to` doesn't select world at 192.0.2.7: it wants env=prod; it has no labels";
        assert_eq!(miss.mends, [(Clause::To, text.to_owned())]);
    });
}

#[test]
fn what_names_nothing_has_no_path() {
    ask(&named("nobody"), &named("ledger"), "tcp/22", |explanation| {
        assert!(explanation.paths.is_empty() && explanation.path().is_none());
    });
    ask(&named("web"), &Endpoint::Address("224.0.0.251".parse().unwrap()), "udp/5353", |explanation| {
        let verdict = explanation.path().unwrap().verdict;
        assert_eq!((verdict.word, verdict.cause), (Word::Denied, Cause::Reason(Reason::Multicast)));
    });
}

#[test]
fn failsafe_paths_of_the_machine_pass_before_any_rule() {
    use enforcer_common::maps::{Failsafe, FailsafeRange};

    const SSH: u32 = 6 << 16 | 22;
    let (set, compiled) = shop();
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock: clock() };
    let mut explainer = Explainer::new(inputs, &compiled);
    let mut paths = Failsafe::NONE;
    paths.ranges[0] = FailsafeRange { first: SSH, last: SSH, ingress: 1, reserved: 0 };
    explainer.keep_open(&[("192.0.2.0/24".parse().unwrap(), paths)]);
    let at = |address: &str| Endpoint::Address(address.parse().unwrap());
    let host = Endpoint::Entity(crate::model::Entity::Host);
    let (admin, other, web) = (at("192.0.2.7"), at("198.51.100.7"), named("web"));
    for (from, to, port, expected) in [
        (&admin, &host, 22, "allowed failsafe"),
        (&admin, &host, 23, "denied no-rule"),
        (&other, &host, 22, "denied no-rule"),
        (&host, &admin, 22, "denied no-rule"),
        (&admin, &web, 22, "denied no-rule"),
    ] {
        let explanation = explainer.explain(from, to, 6, port);
        let verdict = explanation.path().unwrap().verdict;
        assert_eq!(format!("{} {}", verdict.word.word(), verdict.cause), expected, "{from:?} {to:?} {port}");
    }
}
