//! What is suggested: it allows what was seen, and nothing else.

mod common;

use common::{Recording, flow, parsed};
use enforcer_audit::suggest::{Options, Suggestion, Why};
use enforcer_audit::{Audit, Managed, Report, Setting};
use enforcer_common::packet::flags::{ACK, FIN, RST, SYN};
use enforcer_flows::{End, Flow, Item, Opener, Recorded, Sink, Who};
use enforcer_policy::memory::frame::{icmp, ports, tcp};
use enforcer_policy::model::PolicySet;
use enforcer_policy::reference::{Word, World};
use enforcer_policy::testing::NOW;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

const IDENTITIES: &str = "\
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec: {labels: {app: web, env: prod}, match: [{interface: veth-web}], addresses: [10.0.0.1]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: db}
spec: {labels: {app: db, env: prod}, match: [{interface: veth-db}], addresses: [10.0.0.2]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web-dev}
spec: {labels: {app: web, env: dev}, addresses: [10.0.0.3]}
";

fn over(set: PolicySet) -> Audit {
    let mut setting = Setting::new(set, NOW);
    setting.managed = Managed::All;
    setting.host = vec!["10.0.9.9".parse().unwrap()];
    Audit::new(setting).unwrap()
}

fn take(audit: &mut Audit, flows: &[Flow]) {
    flows.iter().for_each(|flow| audit.take(Item::Flow(flow)));
}

fn of(identities: &str, flows: &[Flow], options: &Options) -> Suggestion {
    let mut audit = over(parsed(identities));
    audit.begin("recording");
    take(&mut audit, flows);
    audit.suggest(options)
}

/// The flows judged by the suggestion together with its identities, which passes the check.
fn judged(identities: &str, suggestion: &Suggestion, flows: &[Flow]) -> (PolicySet, Report) {
    let set = parsed(&format!("{identities}---\n{}", suggestion.yaml()));
    let mut audit = over(set.clone());
    take(&mut audit, flows);
    (set, audit.report().unwrap())
}

/// From, to and ports of each rule.
fn rules(suggestion: &Suggestion) -> Vec<String> {
    let text = suggestion.yaml();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let lines = lines
        .skip_while(|line| !line.starts_with("- from"))
        .filter(|line| line.starts_with("- from") || line.starts_with("to:") || line.starts_with("ports:"));
    lines.collect::<Vec<_>>().chunks(3).map(|rule| rule.join(" ")).collect()
}

fn apart(suggestion: &Suggestion) -> Vec<(Why, u64)> {
    suggestion.apart.iter().map(|apart| (apart.why, apart.evidence.flows)).collect()
}

#[test]
fn rules_are_by_the_smallest_labels_with_their_evidence() {
    let mut seen = flow("10.0.0.1", 40_000, "10.0.0.2", 5_432, Opener::Source);
    seen.start = Some(1_700_000_000_000_000_000);
    let flows = [seen, flow("10.0.0.1", 40_001, "10.0.0.2", 5_432, Opener::Source)];
    let suggestion = of(IDENTITIES, &flows, &Options::default());
    assert_eq!(
        rules(&suggestion),
        ["- from: [{labels: {app: web, env: prod}}] to: [{labels: {app: db}}] ports: [tcp/5432]"]
    );
    let text = suggestion.yaml();
    assert!(text.contains("metadata: {name: to-db}"), "{text}");
    assert!(text.contains("# 2 flows, 20 packets, 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z\n"), "{text}");
    assert!(suggestion.apart.is_empty(), "{text}");
    let both = [
        flow("10.0.0.1", 40_000, "10.0.0.2", 443, Opener::Source),
        flow("10.0.0.3", 40_000, "10.0.0.2", 443, Opener::Source),
    ];
    assert_eq!(
        rules(&of(IDENTITIES, &both, &Options::default())),
        ["- from: [{labels: {app: web}}] to: [{labels: {app: db}}] ports: [tcp/443]"],
        "one label means both"
    );
}

#[test]
fn ports_are_folded_only_where_asked() {
    let flows: Vec<Flow> = [80, 81, 82, 90]
        .iter()
        .map(|port| flow("10.0.0.1", 40_000, "10.0.0.2", *port, Opener::Source))
        .collect();
    let ports = |fold_ports| {
        let suggestion = of(IDENTITIES, &flows, &Options { fold_ports, ..Options::default() });
        let entry = &suggestion.policies[0].entries[0];
        (entry.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), entry.unseen)
    };
    assert_eq!(ports(0), ("tcp/80 tcp/81 tcp/82 tcp/90".to_owned(), 0));
    assert_eq!(ports(1), ("tcp/80-82 tcp/90".to_owned(), 0));
    assert_eq!(ports(8), ("tcp/80-90".to_owned(), 7));
}

#[test]
fn few_addresses_of_the_world_are_named_and_many_are_the_world() {
    let world = |count: u8| -> Vec<Flow> {
        (1..=count)
            .flat_map(|at| {
                let at = format!("198.51.100.{at}");
                [
                    flow("10.0.0.1", 40_000, &at, 443, Opener::Source),
                    flow(&at, 40_000, "10.0.0.1", 80, Opener::Source),
                ]
            })
            .collect()
    };
    let few = rules(&of(IDENTITIES, &world(2), &Options::default()));
    let cidr = "{cidr: [198.51.100.1/32, 198.51.100.2/32]}";
    let web = "{labels: {app: web, env: prod}}";
    assert_eq!(
        few,
        [
            format!("- from: [{cidr}] to: [{web}] ports: [tcp/80]"),
            format!("- from: [{web}] to: [{cidr}] ports: [tcp/443]"),
        ]
    );
    let many = rules(&of(IDENTITIES, &world(5), &Options::default()));
    assert!(many.iter().all(|rule| rule.contains("{entity: world}") && !rule.contains("cidr")), "{many:?}");
}

#[test]
fn what_was_refused_or_allowed_before_needs_no_rule() {
    let mut refused = flow("10.0.0.1", 40_000, "10.0.0.2", 22, Opener::Source);
    refused.recorded = Some(Recorded::Refused);
    let passed = flow("10.0.0.1", 40_000, "10.0.0.2", 443, Opener::Source);
    let suggestion = of(common::SHOP, &[refused.clone(), passed], &Options::default());
    assert!(suggestion.policies.is_empty());
    assert_eq!((apart(&suggestion), suggestion.allowed_before.flows), (vec![(Why::Refused, 1)], 1));
    // Refused once and let on later: it is used.
    let again = Flow { recorded: Some(Recorded::Passed), ..refused.clone() };
    let suggestion = of(common::SHOP, &[refused, again], &Options::default());
    assert_eq!(suggestion.policies.len(), 1);
    assert!(suggestion.apart.is_empty(), "{}", suggestion.yaml());
}

/// What is suggested for captured packets, and what the same packets get by it.
fn captured(recording: &Recording) -> (Suggestion, Report) {
    let play = |set: PolicySet| {
        let mut audit = over(set);
        recording.play(&mut audit);
        audit
    };
    let suggestion = play(parsed(IDENTITIES)).suggest(&Options::default());
    let audit = play(parsed(&format!("{IDENTITIES}---\n{}", suggestion.yaml())));
    (suggestion, audit.report().unwrap())
}

fn connection(recording: &mut Recording, from: &str, to: &str, sport: u16, dport: u16) {
    recording.send(from, to, 6, &tcp(sport, dport, SYN));
    recording.send(to, from, 6, &tcp(dport, sport, SYN | ACK));
    for set in [ACK, ACK, ACK | FIN] {
        recording.send(from, to, 6, &tcp(sport, dport, set));
        recording.send(to, from, 6, &tcp(dport, sport, set));
    }
}

#[test]
fn scans_and_probes_are_set_apart() {
    let mut recording = Recording::new();
    // Real use, of the scanner's source too, and of a port in the range of clients'.
    connection(&mut recording, "10.0.0.1", "10.0.0.2", 40_000, 5_432);
    connection(&mut recording, "10.0.0.1", "10.0.0.2", 40_001, 50_051);
    recording.send("10.0.0.1", "10.0.0.2", 1, &icmp(8, 0, 9, &[]));
    recording.send("10.0.0.2", "10.0.0.1", 1, &icmp(0, 0, 9, &[]));
    // Told and never answered, twice.
    recording.send("10.0.0.3", "10.0.0.2", 17, &ports(17, 50_000, 514));
    recording.wait(1);
    recording.send("10.0.0.3", "10.0.0.2", 17, &ports(17, 50_000, 514));
    // A refused connection, one without an answer, one packet, a ping into the dark.
    recording.send("10.0.0.2", "10.0.0.1", 6, &tcp(40_000, 23, SYN));
    recording.send("10.0.0.1", "10.0.0.2", 6, &tcp(23, 40_000, RST | ACK));
    recording.send("10.0.0.2", "10.0.0.1", 6, &tcp(40_000, 25, SYN));
    recording.send("10.0.0.2", "10.0.0.1", 17, &ports(17, 40_000, 161));
    recording.send("10.0.0.2", "198.51.100.9", 1, &icmp(8, 0, 9, &[]));
    // An answer, and one that comes when its question is forgotten.
    recording.send("10.0.0.3", "10.0.0.2", 17, &ports(17, 51_000, 53));
    recording.send("10.0.0.2", "10.0.0.3", 17, &ports(17, 53, 51_000));
    recording.wait(200);
    recording.send("10.0.0.2", "10.0.0.3", 17, &ports(17, 53, 51_000));
    recording.send("10.0.0.2", "10.0.0.3", 17, &ports(17, 53, 51_000));
    for port in 100..200 {
        recording.send("10.0.0.1", "10.0.0.2", 6, &tcp(60_000, port, SYN));
        recording.send("10.0.0.2", "10.0.0.1", 6, &tcp(port, 60_000, RST | ACK));
    }
    let (suggestion, report) = captured(&recording);
    let text = suggestion.yaml();
    assert_eq!(suggestion.policies.len(), 1, "{text}");
    assert!(text.contains("ports: [icmp/echo-request/0, tcp/5432, tcp/50051]"), "{text}");
    assert!(text.contains("ports: [udp/53, udp/514]"), "{text}");
    assert_eq!(
        apart(&suggestion),
        [(Why::Scan, 100), (Why::Unanswered, 3), (Why::Unanswered, 1), (Why::ClientPort, 1)],
        "{text}"
    );
    assert!(text.contains("tcp/100-199: 100 flows, 200 packets"), "{text}");
    assert_eq!((report.verdicts.denied.flows, report.verdicts.allowed.flows), (105, 5), "{text}");
}

#[test]
fn ends_without_labels_and_what_no_rule_allows_are_listed() {
    let mut recording = Recording::new();
    recording.send("198.51.100.1", "198.51.100.2", 6, &tcp(40_000, 80, SYN));
    recording.send("10.0.0.1", "127.0.0.1", 17, &ports(17, 40_000, 53));
    connection(&mut recording, "10.0.9.9", "10.0.0.2", 40_000, 22);
    recording.send("10.0.0.1", "224.0.0.251", 17, &ports(17, 5_353, 5_353));
    recording.send("10.0.0.1", "224.0.0.251", 17, &ports(17, 5_353, 5_353));
    recording.send("10.0.0.1", "10.0.0.2", 47, &[0; 8]);
    recording.send("10.0.0.2", "10.0.0.1", 47, &[0; 8]);
    let (suggestion, report) = captured(&recording);
    assert_eq!(
        rules(&suggestion),
        [
            "- from: [{labels: {app: web, env: prod}}] to: [{labels: {app: db}}] ports: [proto/47]",
            "- from: [{entity: host}] to: [{labels: {app: db}}] ports: [tcp/22]",
            "- from: [{labels: {app: web, env: prod}}] to: [{cidr: [224.0.0.251/32]}] ports: [udp/5353]",
        ],
        "{}",
        suggestion.yaml()
    );
    assert_eq!(apart(&suggestion), [(Why::NoRuleHelps("martian"), 1), (Why::NoHook, 1)]);
    assert_eq!(report.verdicts.denied.flows, 1, "the martian");
}

#[test]
fn names_break_out_of_nothing() {
    for evil in
        ["a\nkind: x", "\" # \\", "x\r---\n", "\u{2028}- y", "# {[", "\u{0}\u{1b}[2J", "a: b", "\u{202e}"]
    {
        let who = |label: &str| {
            let labels = BTreeMap::from([("app".to_owned(), label.to_owned())]);
            Some(Arc::new(Who { name: Some(format!("{label}{evil}")), labels }))
        };
        let mut seen = flow("10.1.0.1", 40_000, "10.1.0.2", 80, Opener::Source);
        (seen.source.who, seen.destination.who) = (who("client"), who(evil));
        let mut refused = seen.clone();
        (refused.source.port, refused.recorded) = (40_001, Some(Recorded::Refused));
        let mut audit = over(PolicySet::default());
        audit.begin(evil);
        take(&mut audit, &[seen, refused]);
        let text = audit.suggest(&Options::default()).yaml();
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty());
        let known = [
            "---",
            "apiVersion: ",
            "kind: FlowPolicy",
            "metadata: {name: to-",
            "spec:",
            "  flows:",
            "    - from: [",
            "      to: [",
            "      ports: [",
            "      why: ",
        ];
        for line in lines {
            assert!(known.iter().any(|known| line.starts_with(known)), "{line}\n{text}");
        }
        let set = parsed(&text);
        let told = set.policies.iter().flat_map(|policy| &policy.flows).count();
        let usable = !evil.chars().any(char::is_control);
        assert_eq!(told, usize::from(usable), "{text}");
    }
}

/// Where random flows go between: identities, the host, the world.
#[derive(Clone, Debug)]
struct Scene {
    labels: Vec<BTreeMap<&'static str, &'static str>>,
    flows: Vec<(usize, usize, usize)>,
}

/// Beside the workloads: the host, and addresses of the world.
const OTHERS: [&str; 8] = [
    "10.0.9.9",
    "198.51.100.1",
    "198.51.100.2",
    "198.51.100.3",
    "198.51.100.4",
    "198.51.100.5",
    "203.0.113.1",
    "224.0.0.9",
];
/// Protocol and port; the latter for ICMP type and code.
const PORTS: [(u8, u16); 8] =
    [(6, 80), (6, 81), (6, 443), (17, 53), (17, 514), (1, 8 << 8), (132, 38), (50, 0)];

fn scene() -> impl Strategy<Value = Scene> {
    let label = |values: &'static [&'static str]| proptest::option::of(prop::sample::select(values));
    let labels =
        (prop::sample::select(&["web", "db", "job"][..]), label(&["prod", "dev"]), label(&["a", "b"]));
    let labels = labels.prop_map(|(app, env, team)| {
        [("app", Some(app)), ("env", env), ("team", team)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    });
    let flow = (0..16_usize, 0..16_usize, 0..PORTS.len());
    let flows = prop::collection::vec(flow, 0..60);
    (prop::collection::vec(labels, 1..9), flows).prop_map(|(labels, flows)| Scene { labels, flows })
}

impl Scene {
    fn identities(&self) -> String {
        let mut text = String::new();
        for (index, labels) in self.labels.iter().enumerate() {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let separator = if index > 0 { "---\n" } else { "" };
            // Every third is a group of addresses.
            let (kind, held) = if index % 3 == 2 {
                ("AddressGroup", "cidrs: [10.0.0.")
            } else {
                ("Workload", "addresses: [10.0.0.")
            };
            let tail = if index % 3 == 2 { "/32" } else { "" };
            let _ = writeln!(
                text,
                "{separator}apiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: w{index}}}\n\
                 spec: {{labels: {{{}}}, {held}{}{tail}]}}",
                labels.join(", "),
                index + 1
            );
        }
        text
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let own = (1..=self.labels.len()).map(|at| format!("10.0.0.{at}").parse().unwrap());
        own.chain(OTHERS.iter().map(|at| at.parse().unwrap())).collect()
    }

    fn recorded(&self) -> Vec<Flow> {
        let all = self.addresses();
        let one = |(from, to, port): &(usize, usize, usize)| {
            let (from, to) = (all[from % all.len()], all[to % all.len()]);
            let (protocol, port) = PORTS[*port];
            let ported = matches!(protocol, 6 | 17 | 132);
            let multicast = OTHERS[7].parse() == Ok(from);
            (from != to && !multicast).then(|| Flow {
                protocol,
                source: End { address: from, port: if ported { 40_000 } else { 0 }, who: None },
                destination: End { address: to, port: if ported { port } else { 0 }, who: None },
                icmp: (protocol == 1).then(|| (port.to_be_bytes()[0], port.to_be_bytes()[1])),
                ..flow("10.0.0.1", 1, "10.0.0.2", 2, Opener::Source)
            })
        };
        self.flows.iter().filter_map(one).collect()
    }
}

/// From, to, protocol and port.
type Reached = (String, String, u8, u16);

/// Who an address is to a rule: labels, or one of the others.
fn class(world: &World<'_>, at: IpAddr) -> String {
    let end = world.end(at);
    match end.identity.labels() {
        Some(labels) => format!("{labels:?}"),
        None if OTHERS[0].parse() == Ok(at) => "host".to_owned(),
        None => at.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_suggestion_allows_what_was_seen_and_nothing_else(scene in scene()) {
        let flows = scene.recorded();
        let identities = scene.identities();
        let suggestion = of(&identities, &flows, &Options::default());
        let (set, report) = judged(&identities, &suggestion, &flows);
        // Nothing is a probe here: without answers in the records, nobody is taken for silent.
        prop_assert!(suggestion.apart.iter().all(|apart| apart.why == Why::NoHook), "{}", suggestion.yaml());
        prop_assert_eq!(report.verdicts.denied.flows, 0, "{}", suggestion.yaml());
        let hosts = [OTHERS[0].parse().unwrap()];
        let world = World { set: &set, hosts: &hosts, default_mode: enforcer_policy::model::SegmentMode::Enforce, now: NOW };
        let hooked = |at: IpAddr| set.workloads.iter().any(|workload| workload.addresses.contains(&at));
        let mut seen: BTreeSet<Reached> = BTreeSet::new();
        for flow in flows.iter().filter(|flow| hooked(flow.source.address) || hooked(flow.destination.address)) {
            let port = flow.icmp.map_or(flow.destination.port, |(kind, code)| u16::from_be_bytes([kind, code]));
            let (from, to) = (class(&world, flow.source.address), class(&world, flow.destination.address));
            seen.insert((from, to, flow.protocol, port));
        }
        let is_world = |at: &str| at.starts_with("198.") || at.starts_with("203.");
        let many = |end: &dyn Fn(&Reached) -> bool| seen.iter().filter(|at| end(at)).count() > 4;
        let all = scene.addresses();
        let strange: IpAddr = "192.0.2.77".parse().unwrap();
        for from in all.iter().chain([&strange]) {
            for to in all.iter().chain([&strange]) {
                for (protocol, port) in PORTS.into_iter().chain([(6, 82), (17, 80), (1, 8 << 8 | 1), (6, 40_000)]) {
                    let (a, b) = (class(&world, *from), class(&world, *to));
                    let outside = |at: &str| is_world(at) || at == "192.0.2.77";
                    // More of the world than is named one by one.
                    let widened = (outside(&a) && many(&|at| is_world(&at.0) && at.1 == b && (at.2, at.3) == (protocol, port)))
                        || (outside(&b) && many(&|at| is_world(&at.1) && at.0 == a && (at.2, at.3) == (protocol, port)));
                    let expected = widened || seen.contains(&(a.clone(), b.clone(), protocol, port));
                    let word = world.decide(&world.end(*from), &world.end(*to), protocol, port).verdict.word;
                    prop_assert_eq!(word == Word::Allowed, expected, "{} -> {} {}/{}: {}", a, b, protocol, port, suggestion.yaml());
                }
            }
        }
    }
}
