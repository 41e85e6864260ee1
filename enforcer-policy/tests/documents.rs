//! Documents as the contract writes them, and the model they become.

use enforcer_policy::check::{Checked, assemble, parse};
use enforcer_policy::document::parse_file;
use enforcer_policy::model::*;
use enforcer_policy::source::Source;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

fn checked(text: &str) -> Checked {
    let checked = parse(&[Source::new("a.yaml", text)], "2026-01-01T00:00:00Z".parse().unwrap());
    assert!(!checked.has_errors(), "{}", checked.diagnostics[0]);
    checked
}

fn document(kind: &str, spec: &str) -> PolicySet {
    checked(&format!("apiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n{spec}"))
        .set
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn at(line: u32, column: u32) -> Origin {
    Origin { file: Arc::from("a.yaml"), line, column }
}

fn by_labels(pairs: &[(&str, &str)], expressions: Vec<Expression>) -> Selector {
    Selector::Labels(LabelSelector { labels: labels(pairs), expressions })
}

#[test]
fn workload() {
    let set = document(
        "Workload",
        "  labels: {app: ledger, env: prod}
  match:
    - unit: postgresql.service
    - cgroup: /custom/ledger
    - cgroup: /custom/other/**
    - container: {labels: {com.example.app: ledger}}
    - interface: veth-ledger
    - interface: tap*
  addresses: [10.20.0.7, \"fd00::7\"]
",
    );
    let interface =
        |text: &str, glob| WorkloadMatch::Interface(InterfacePattern { text: text.to_owned(), glob });
    let expected = Workload {
        lease: None,
        name: "a".to_owned(),
        origin: at(1, 1),
        labels: labels(&[("app", "ledger"), ("env", "prod")]),
        matches: vec![
            WorkloadMatch::Unit("postgresql.service".to_owned()),
            WorkloadMatch::Cgroup { path: "/custom/ledger".to_owned(), descendants: false },
            WorkloadMatch::Cgroup { path: "/custom/other".to_owned(), descendants: true },
            WorkloadMatch::Container { labels: labels(&[("com.example.app", "ledger")]) },
            interface("veth-ledger", false),
            interface("tap", true),
        ],
        addresses: vec!["10.20.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()],
    };
    assert_eq!(set.workloads, [expected]);
}

#[test]
fn the_first_field_of_a_match_entry_decides() {
    let set = document("Workload", "  {labels: {app: a}, match: [{interface: veth0, cgroup: /a}]}\n");
    let expected = WorkloadMatch::Cgroup { path: "/a".to_owned(), descendants: false };
    assert_eq!(set.workloads[0].matches, [expected]);
}

#[test]
fn loopback_is_an_address_of_what_has_no_device() {
    let set =
        document("Workload", "  {labels: {app: a}, match: [{unit: a.service}], addresses: [127.0.0.1]}\n");
    assert_eq!(set.workloads[0].addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn address_group() {
    let set =
        document("AddressGroup", "  {labels: {zone: office}, cidrs: [192.0.2.0/24, \"2001:db8:1::/48\"]}\n");
    let expected = AddressGroup {
        name: "a".to_owned(),
        origin: at(1, 1),
        labels: labels(&[("zone", "office")]),
        cidrs: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
    };
    assert_eq!(set.groups, [expected]);
}

#[test]
fn flow_policy() {
    let set = document(
        "FlowPolicy",
        "  tier: guardrail
  mode: audit
  expires: 2027-01-31T18:00:00Z
  flows:
    - action: deny
      from: [{labels: {app: checkout, env: prod}}, {entity: host}]
      to:   [{labels: {app: ledger}, expressions: [{key: env, in: [prod, staging]}]}]
      ports: [tcp/5432]
      why: orders API
    - from: [{cidr: [10.0.0.0/8], except: [10.1.0.0/16]}]
      to:
        - expressions: [{key: env, notIn: [prod]}, {key: owner, exists: false}]
        - entity: all
      ports: [any, icmp/3/4]
",
    );
    let expression = |key: &str, operator| Expression { key: key.to_owned(), operator };
    let expected = FlowPolicy {
        name: "a".to_owned(),
        origin: at(1, 1),
        tier: Tier::Guardrail,
        mode: PolicyMode::Audit,
        expires: Some("2027-01-31T18:00:00Z".parse().unwrap()),
        flows: vec![
            FlowEntry {
                origin: at(9, 7),
                action: Action::Deny,
                from: vec![
                    by_labels(&[("app", "checkout"), ("env", "prod")], vec![]),
                    Selector::Entity(Entity::Host),
                ],
                to: vec![by_labels(
                    &[("app", "ledger")],
                    vec![expression("env", Operator::In(vec!["prod".to_owned(), "staging".to_owned()]))],
                )],
                ports: vec![PortSpec::Ports { protocol: 6, first: 5432, last: 5432 }],
                why: Some("orders API".to_owned()),
            },
            FlowEntry {
                origin: at(14, 7),
                action: Action::Allow,
                from: vec![Selector::Cidr {
                    cidrs: vec!["10.0.0.0/8".parse().unwrap()],
                    except: vec!["10.1.0.0/16".parse().unwrap()],
                }],
                to: vec![
                    by_labels(
                        &[],
                        vec![
                            expression("env", Operator::NotIn(vec!["prod".to_owned()])),
                            expression("owner", Operator::Exists(false)),
                        ],
                    ),
                    Selector::Entity(Entity::All),
                ],
                ports: vec![PortSpec::Any, PortSpec::Icmp { protocol: 1, kind: 3, code: Some(4) }],
                why: None,
            },
        ],
    };
    assert_eq!(set.policies, [expected]);
}

#[test]
fn defaults_of_a_policy_and_a_segment() {
    let set =
        document("FlowPolicy", "  flows: [{from: [{entity: all}], to: [{entity: all}], ports: [any]}]\n");
    let policy = &set.policies[0];
    assert_eq!((policy.tier, policy.mode, policy.expires), (Tier::Application, PolicyMode::Enforce, None));
    let set = document("Segment", "  select: [{entity: workloads}]\n");
    assert_eq!(set.segments[0].mode, SegmentMode::Enforce);
}

#[test]
fn segment_modes_and_off_is_a_word() {
    for (word, mode) in [
        ("off", SegmentMode::Off),
        ("\"off\"", SegmentMode::Off),
        ("audit", SegmentMode::Audit),
        ("enforce", SegmentMode::Enforce),
    ] {
        let set = document("Segment", &format!("  select: [{{labels: {{env: prod}}}}]\n  mode: {word}\n"));
        let expected = Segment {
            name: "a".to_owned(),
            origin: at(1, 1),
            select: vec![by_labels(&[("env", "prod")], vec![])],
            mode,
            on_deny: OnDeny::Drop,
            quarantine: None,
            on_stale_identity: OnStaleIdentity::Keep,
        };
        assert_eq!(set.segments, [expected], "{word}");
    }
    let set =
        document("Segment", "  select: [{entity: workloads}]\n  onDeny: reset\n  onStaleIdentity: close\n");
    assert_eq!(set.segments[0].on_deny, OnDeny::Reset);
    assert_eq!(set.segments[0].on_stale_identity, OnStaleIdentity::Close);
    let quarantine = |fields: &str| {
        let set =
            document("Segment", &format!("  select: [{{entity: workloads}}]\n  quarantine: {{{fields}}}\n"));
        set.segments[0].quarantine.clone().unwrap()
    };
    assert_eq!(
        quarantine("denied: 100, newDestinations: 50, within: 1m, action: quarantine, for: 1h"),
        Threshold {
            denied: Some(100),
            new_destinations: Some(50),
            within: 60,
            action: ThresholdAction::Quarantine,
            term: Some(3_600),
        }
    );
    let report = quarantine("denied: 5, within: 10s");
    assert_eq!((report.action, report.new_destinations, report.term), (ThresholdAction::Report, None, None));
}

#[test]
fn flow_test() {
    let set = document(
        "FlowTest",
        "  cases:
    - {from: {labels: {app: checkout}}, to: {workload: ledger}, port: tcp/5432, expect: allow}
    - {from: {entity: world}, to: {address: \"fd00::7\"}, port: icmpv6/echo-request, expect: deny}
    - {from: {entity: host}, to: {entity: world}, port: proto/47, expect: audit}
",
    );
    let case = |line, from, to, port, expect| FlowCase { origin: at(line, 7), from, to, port, expect };
    let expected = [
        case(
            6,
            Endpoint::Labels(labels(&[("app", "checkout")])),
            Endpoint::Workload("ledger".to_owned()),
            PortSpec::Ports { protocol: 6, first: 5432, last: 5432 },
            Expectation::Allow,
        ),
        case(
            7,
            Endpoint::Entity(Entity::World),
            Endpoint::Address("fd00::7".parse().unwrap()),
            PortSpec::Icmp { protocol: 58, kind: 128, code: Some(0) },
            Expectation::Deny,
        ),
        case(
            8,
            Endpoint::Entity(Entity::Host),
            Endpoint::Entity(Entity::World),
            PortSpec::Protocol(47),
            Expectation::Audit,
        ),
    ];
    assert_eq!(set.tests[0].cases, expected);
}

#[test]
fn agent_config() {
    let set = document(
        "AgentConfig",
        "  policies: [/etc/enforcer/policies.d]
  defaultMode: off
  identityLabels: [app, env, role, loc]
  socket: /run/enforcer/enforcer.sock
  socketGroup: ops
  bpffs: /sys/fs/bpf/enforcer
  cgroupRoot: auto
  state: /var/lib/enforcer
  metrics: 127.0.0.1:9469
  records: {file: {path: /var/log/flows.jsonl, size: 2GiB, keep: 3}, syslog: {}, journald: {socket: /j}, otlp: {}}
  failsafe: [{direction: ingress, ports: [tcp/22], cidr: [192.0.2.0/24]}]
  sources:
    docker: {socket: /run/docker.sock, extraLabels: [image, name]}
    containerd: {namespaces: [default]}
    etcd: {endpoint: here, interval: 5}
",
    );
    let expected = AgentConfig {
        name: "a".to_owned(),
        origin: Some(at(1, 1)),
        policies: Some(vec![PathBuf::from("/etc/enforcer/policies.d")]),
        default_mode: Some(SegmentMode::Off),
        identity_labels: Some(["app", "env", "role", "loc"].map(str::to_owned).to_vec()),
        socket: Some(PathBuf::from("/run/enforcer/enforcer.sock")),
        socket_group: Some("ops".to_owned()),
        bpffs: Some(PathBuf::from("/sys/fs/bpf/enforcer")),
        cgroup_root: Some("auto".to_owned()),
        state: Some(PathBuf::from("/var/lib/enforcer")),
        metrics: Some("127.0.0.1:9469".parse().unwrap()),
        records: Some(Box::new(Records {
            file: Some(RecordFile { path: "/var/log/flows.jsonl".into(), size: 2 << 30, keep: 3 }),
            syslog: Some("/dev/log".into()),
            journald: Some("/j".into()),
            otlp: Some("http://127.0.0.1:4317".to_owned()),
        })),
        failsafe: Some(vec![Failsafe {
            ingress: true,
            ports: vec![PortSpec::Ports { protocol: 6, first: 22, last: 22 }],
            cidr: vec!["192.0.2.0/24".parse().unwrap()],
        }]),
        sources: Sources {
            docker: Some(ContainerSource {
                socket: Some(PathBuf::from("/run/docker.sock")),
                namespaces: None,
                extra_labels: Some(vec![ExtraLabel::Image, ExtraLabel::Name]),
            }),
            containerd: Some(ContainerSource {
                namespaces: Some(vec!["default".to_owned()]),
                ..ContainerSource::default()
            }),
            others: [(
                "etcd".to_owned(),
                labels(&[("endpoint", "here"), ("interval", "5")]).into_iter().collect(),
            )]
            .into(),
        },
    };
    assert_eq!(set.configs, [expected]);
}

#[test]
fn an_agent_config_may_say_nothing() {
    for spec in [
        "",
        "spec:\n",
        "spec: {}\n",
        "spec: {metrics: null, records: null, failsafe: [], sources: {}, policies: []}\n",
    ] {
        let set = checked(&format!(
            "apiVersion: enforcer.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: a}}\n{spec}"
        ))
        .set;
        assert_eq!(set.configs.len(), 1, "{spec:?}");
        assert_eq!(set.configs[0].metrics, None, "{spec:?}");
    }
}

#[test]
fn drop_ins_share_a_name() {
    let one = "apiVersion: enforcer.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: agent}\n";
    assert_eq!(checked(&format!("{one}---\n{one}")).set.configs.len(), 2);
}

#[test]
fn files_without_documents_are_fine() {
    for text in ["", "\n", "# nothing here\n", "---\n", "---\n---\n# end\n...\n", "\u{feff}"] {
        let checked = checked(text);
        assert!(checked.diagnostics.is_empty() && checked.set.policies.is_empty(), "{text:?}");
    }
}

#[test]
fn line_ends_of_windows() {
    let text = "apiVersion: enforcer.dev/v1alpha1\r\nkind: Segment\r\nmetadata: {name: a}\r\nspec: {select: [{entity: al}]}\r\n";
    let checked = parse(&[Source::new("a.yaml", text)], "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(
        checked.diagnostics[0].to_string(),
        "error: `al` is not a value of `entity`
 --> a.yaml:4:26
  |
4 | spec: {select: [{entity: al}]}
  |                          ^^
  |
  = help: did you mean `all`? known: `host`, `world`, `workloads`, `all`"
    );
}

#[test]
fn aliases_within_the_budget() {
    let set = document(
        "FlowPolicy",
        "  flows:
    - {from: &prod [{labels: {env: prod}}], to: *prod, ports: &web [tcp/443]}
    - {from: [{entity: world}], to: *prod, ports: *web}
",
    );
    let flows = &set.policies[0].flows;
    assert_eq!(flows[0].from, flows[1].to);
    assert_eq!(flows[0].ports, flows[1].ports);
}

#[test]
fn several_files_in_reading_order_and_all_their_errors() {
    let segment = |name: &str, mode: &str| {
        format!(
            "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: {name}}}\nspec: {{select: [{{entity: all}}], mode: {mode}}}\n"
        )
    };
    let sources = [
        Source::new("10.yaml", segment("b", "off") + "---\n" + &segment("c", "wrong")),
        Source::new("20.yaml", "{"),
        Source::new("30.yaml", segment("a", "audit") + "---\n" + &segment("b", "audit")),
    ];
    let checked = parse(&sources, "2026-01-01T00:00:00Z".parse().unwrap());
    let names: Vec<&str> = checked.set.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "b"]);
    let places: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|d| format!("{}:{} {}", d.primary.source.name, d.primary.span.line, d.message))
        .collect();
    assert_eq!(
        places,
        [
            "10.yaml:9 `wrong` is not a value of `mode`",
            "20.yaml:1 `{` is not closed",
            "30.yaml:8 two documents are the Segment `b`",
        ]
    );
    assert_eq!(checked.into_result().unwrap_err().to_string(), "the policy set has 3 errors");
}

#[test]
fn a_finding_as_json() {
    let text = "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: a, ä: b, name: c}\nspec: {select: [{entity: all}]}\n";
    let file = parse_file(&Source::new("a.yaml", text));
    let checked = assemble([&file], "2026-01-01T00:00:00Z".parse().unwrap());
    let json = serde_json::to_value(&checked.diagnostics).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {
                "severity": "error", "message": "unknown field `ä` in `metadata`",
                "help": "known here: `name`, `namespace`, `labels`, `annotations`",
                "file": "a.yaml", "line": 3, "column": 21, "end_line": 3, "end_column": 22,
            },
            {
                "severity": "error", "message": "the key `name` is written twice", "help": "keep one of them",
                "file": "a.yaml", "line": 3, "column": 27, "end_line": 3, "end_column": 31,
                "related": [{
                    "file": "a.yaml", "line": 3, "column": 12, "end_line": 3, "end_column": 16,
                    "label": "first written here",
                }],
            },
        ])
    );
}
