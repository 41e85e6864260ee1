//! What administrators' policies mean, case by case, by hand: the things that the project behind that API tests of implementations.

#[path = "judged/mod.rs"]
mod judged;

use enforcer_import::inventory::Inventory;
use enforcer_import::rules::network_policies;
use enforcer_policy::source::Source;
use judged::judged;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Place, pod, address. Each place is a namespace with its name as the label `place`.
const PODS: [(&str, &str, [u8; 4]); 6] = [
    ("orchard", "apple", [10, 0, 1, 1]),
    ("orchard", "pear", [10, 0, 1, 2]),
    ("harbour", "crane", [10, 0, 2, 1]),
    ("harbour", "pier", [10, 0, 2, 2]),
    ("tower", "clock", [10, 0, 3, 1]),
    ("tower", "bell", [10, 0, 3, 2]),
];
const NODE: [u8; 4] = [172, 16, 0, 1];
const ABROAD: [u8; 4] = [192, 0, 2, 7];

fn inventory() -> Inventory {
    let mut items: Vec<Value> = PODS
        .iter()
        .map(|(place, name, address)| {
            json!({"kind": "Pod", "metadata": {"name": name, "namespace": place, "labels": {"thing": name}},
                "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 80},
                    {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]},
                "status": {"phase": "Running", "podIP": IpAddr::from(*address)}})
        })
        .collect();
    for place in ["orchard", "harbour", "tower"] {
        items.push(json!({"kind": "Namespace", "metadata": {"name": place, "labels": {"place": place}}}));
    }
    items.push(json!({"kind": "Node", "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "status": {"addresses": [{"type": "InternalIP", "address": IpAddr::from(NODE)}]}}));
    let list = json!({"kind": "List", "items": items}).to_string();
    Inventory::read(&[Source::new("inventory.json", list)]).unwrap()
}

fn of(name: &str) -> IpAddr {
    match name {
        "node" => NODE.into(),
        "abroad" => ABROAD.into(),
        _ => PODS.iter().find(|pod| pod.1 == name).unwrap_or_else(|| panic!("{name}")).2.into(),
    }
}

/// The name of a policy, and its `spec`, in YAML's short form; `kind` is `anp`, `banp`, `admin`, `baseline` or a namespace.
fn document(kind: &str, name: &str, spec: &str) -> String {
    let (version, kind, metadata, first) = match kind {
        "anp" => ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", String::new(), ""),
        "banp" => ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", String::new(), ""),
        "admin" => {
            ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", String::new(), "tier: Admin, ")
        }
        "baseline" => {
            ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", String::new(), "tier: Baseline, ")
        }
        place => ("networking.k8s.io/v1", "NetworkPolicy", format!(", namespace: {place}"), ""),
    };
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}{metadata}}}\nspec: {{{first}{spec}}}\n"
    )
}

/// Policies by kind, name and spec; expectations as `FROM TO PROTOCOL/PORT yes|no`.
fn hold(policies: &[(&str, &str, &str)], expected: &[&str]) {
    let text: String = policies.iter().map(|(kind, name, spec)| document(kind, name, spec)).collect();
    let inventory = inventory();
    let sources = [Source::new("policies.yaml", text.clone())];
    let imported =
        network_policies(&sources, Some(&inventory)).unwrap_or_else(|errors| panic!("{}\n{text}", errors[0]));
    assert!(imported.losses.is_empty(), "{}\n{text}", imported.losses[0]);
    judged(&imported, &inventory, |passes| {
        for line in expected {
            let [from, to, port, word] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (protocol, port) = port.split_once('/').unwrap();
            let protocol = match protocol {
                "tcp" => 6,
                "udp" => 17,
                _ => 132,
            };
            let told = passes((of(from), of(to), protocol, port.parse().unwrap()));
            assert_eq!(told, (word == "yes", word == "yes"), "{line}\n{text}\n{}", imported.to_yaml("as"));
        }
    });
}

const ORCHARD: &str = "subject: {namespaces: {matchLabels: {place: orchard}}}";

#[test]
fn the_lower_number_goes_first_and_a_rule_before_those_below_it() {
    let policy = |number: u32, action: &str| {
        format!(
            "priority: {number}, {ORCHARD}, ingress: [{{action: {action}, from: [{{namespaces: {{matchLabels: {{place: harbour}}}}}}]}}]"
        )
    };
    let (low, high) = (policy(10, "Deny"), policy(20, "Allow"));
    let expected = ["crane apple tcp/80 no", "clock apple tcp/80 yes", "apple crane tcp/80 yes"];
    hold(&[("anp", "a", &low), ("anp", "b", &high)], &expected);
    hold(&[("anp", "b", &high), ("anp", "a", &low)], &expected);
    let ordered = format!(
        "priority: 0, {ORCHARD}, ingress: [\
         {{action: Accept, from: [{{pods: {{namespaceSelector: {{matchLabels: {{place: harbour}}}}, podSelector: {{matchLabels: {{thing: crane}}}}}}}}]}}, \
         {{action: Deny, from: [{{namespaces: {{matchLabels: {{place: harbour}}}}}}]}}]"
    );
    hold(
        &[("admin", "a", &ordered)],
        &["crane apple tcp/80 yes", "pier apple tcp/80 no", "bell apple tcp/80 yes"],
    );
}

#[test]
fn of_two_with_one_number_the_first_that_is_read_goes_first() {
    let policy = |action: &str| {
        format!("priority: 7, {ORCHARD}, egress: [{{action: {action}, to: [{{namespaces: {{}}}}]}}]")
    };
    let (deny, accept) = (policy("Deny"), policy("Accept"));
    hold(&[("admin", "a", &deny), ("admin", "b", &accept)], &["apple clock tcp/80 no"]);
    hold(&[("admin", "b", &accept), ("admin", "a", &deny)], &["apple clock tcp/80 yes"]);
}

#[test]
fn what_passes_is_left_to_network_policies_and_then_to_the_last_resort() {
    let pass = format!(
        "priority: 1, {ORCHARD}, ingress: [{{action: Pass, from: [{{namespaces: {{matchLabels: {{place: tower}}}}}}]}}, \
         {{action: Deny, from: [{{namespaces: {{}}}}]}}]"
    );
    let resort = "subject: {namespaces: {}}, ingress: [{action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {thing: bell}}}}]}]";
    let both =
        ["clock apple tcp/80 yes", "bell apple tcp/80 no", "crane apple tcp/80 no", "crane pear tcp/80 no"];
    hold(&[("anp", "pass", &pass), ("banp", "default", resort)], &both);
    let last = format!("priority: 5, {resort}");
    hold(&[("admin", "pass", &pass), ("baseline", "resort", &last)], &both);
    // A NetworkPolicy that selects the pod has the last word: the resort isn't asked.
    let own = "podSelector: {matchLabels: {thing: apple}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {thing: bell}}}]}]";
    let expected = [
        "bell apple tcp/80 yes",
        "clock apple tcp/80 no",
        "bell pear tcp/80 no",
        "clock pear tcp/80 yes",
        "crane apple tcp/80 no",
    ];
    hold(&[("anp", "pass", &pass), ("banp", "default", resort), ("orchard", "own", own)], &expected);
}

#[test]
fn an_administrators_word_stands_above_network_policies_at_its_own_end_only() {
    let accept = format!("priority: 1, {ORCHARD}, egress: [{{action: Accept, to: [{{namespaces: {{}}}}]}}]");
    let closed = "podSelector: {}, policyTypes: [Ingress, Egress]";
    // Its own namespace's isolation is overruled, the destination's isn't.
    hold(
        &[
            ("admin", "a", &accept),
            ("orchard", "closed", closed),
            ("tower", "closed", "podSelector: {matchLabels: {thing: bell}}"),
        ],
        &[
            "apple clock tcp/80 yes",
            "apple bell tcp/80 no",
            "apple abroad tcp/80 no",
            "clock apple tcp/80 no",
        ],
    );
}

#[test]
fn ports_by_number_range_and_name() {
    let old = format!(
        "priority: 1, {ORCHARD}, ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], ports: [\
         {{portNumber: {{protocol: SCTP, port: 9003}}}}, {{portRange: {{protocol: UDP, start: 5000, end: 5010}}}}, {{portNumber: {{port: 443}}}}, {{namedPort: web}}]}}]"
    );
    let new = format!(
        "priority: 1, {ORCHARD}, ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], protocols: [\
         {{sctp: {{destinationPort: {{number: 9003}}}}}}, {{udp: {{destinationPort: {{range: {{start: 5000, end: 5010}}}}}}}}, {{tcp: {{destinationPort: {{number: 443}}}}}}, {{destinationNamedPort: web}}]}}]"
    );
    let expected = [
        "clock apple sctp/9003 no",
        "clock apple sctp/9004 yes",
        "clock apple udp/4999 yes",
        "clock apple udp/5000 no",
        "clock apple udp/5010 no",
        "clock apple udp/5011 yes",
        "clock apple tcp/443 no",
        "clock apple udp/443 yes",
        "clock apple tcp/80 no",
        "clock apple udp/80 yes",
    ];
    hold(&[("anp", "a", &old)], &expected);
    hold(&[("admin", "a", &new)], &expected);
}

#[test]
fn nodes_and_networks_are_destinations() {
    let egress = format!(
        "{ORCHARD}, egress: [{{action: ALLOW, to: [{{nodes: {{matchLabels: {{zone: a}}}}}}], PORTS}}, \
         {{action: ALLOW, to: [{{networks: [192.0.2.0/29, \"2001:db8::/32\"]}}]}}, {{action: Deny, to: [{{networks: [0.0.0.0/0]}}]}}]"
    );
    let old = egress
        .replace("ALLOW", "Allow")
        .replace("PORTS", "ports: [{portNumber: {protocol: TCP, port: 6443}}]");
    let new = egress
        .replace("ALLOW", "Accept")
        .replace("PORTS", "protocols: [{tcp: {destinationPort: {number: 6443}}}]");
    // A network of everything holds pods as well.
    let expected = [
        "apple node tcp/6443 yes",
        "apple node tcp/22 no",
        "apple abroad udp/53 yes",
        "apple clock tcp/80 no",
        "clock node tcp/22 yes",
        "clock apple tcp/80 yes",
    ];
    hold(&[("anp", "a", &format!("priority: 3, {old}"))], &expected);
    hold(&[("banp", "default", &old)], &expected);
    hold(&[("admin", "a", &format!("priority: 3, {new}"))], &expected);
    hold(&[("baseline", "a", &format!("priority: 3, {new}"))], &expected);
}

#[test]
fn what_the_api_refuses_is_refused() {
    let rule = |text: &str| format!("priority: 1, {ORCHARD}, ingress: [{text}]");
    let everyone = "from: [{namespaces: {}}]";
    let many = |count: usize| vec![format!("{{action: Deny, {everyone}}}"); count].join(", ");
    let resort = |text: &str| format!("{ORCHARD}, ingress: [{text}]");
    let cases = [
        (
            "anp",
            "a",
            rule(&format!("{{action: Accept, {everyone}}}")),
            "one of `Allow`, `Deny`, `Pass`, and not `Accept`",
        ),
        (
            "admin",
            "a",
            rule(&format!("{{action: Allow, {everyone}}}")),
            "one of `Accept`, `Deny`, `Pass`, and not `Allow`",
        ),
        (
            "banp",
            "default",
            resort(&format!("{{action: Pass, {everyone}}}")),
            "one of `Allow`, `Deny`, and not `Pass`",
        ),
        ("banp", "other", resort(&format!("{{action: Deny, {everyone}}}")), "called `default`"),
        ("banp", "default", rule(&format!("{{action: Deny, {everyone}}}")), "has no `priority`"),
        ("anp", "a", rule(&many(101)), "`ingress` has 101 entries, and the API takes no more than 100"),
        ("admin", "a", rule(&many(26)), "`ingress` has 26 entries, and the API takes no more than 25"),
        (
            "anp",
            "a",
            rule("{action: Deny, from: [{namespaces: {}, pods: {podSelector: {}}}]}"),
            "a peer has one field",
        ),
        ("anp", "a", rule("{action: Deny, from: []}"), "at least one peer"),
        ("anp", "a", rule("{action: Deny, from: [{nodes: {}}]}"), "of egress rules"),
        (
            "admin",
            "a",
            rule(&format!(
                "{{action: Deny, {everyone}, protocols: [{{tcp: {{destinationPort: {{number: 1, range: {{start: 1, end: 2}}}}}}}}]}}"
            )),
            "either a `number` or a `range`",
        ),
        ("admin", "a", format!("priority: 1001, {ORCHARD}"), "a number from 0 to 1000"),
        ("admin", "a", "priority: 1, subject: {}".to_owned(), "either `namespaces` or `pods`"),
    ];
    for (kind, name, spec, told) in cases {
        let text = document(kind, name, &spec);
        let errors = network_policies(&[Source::new("p.yaml", text.clone())], None).expect_err(&text);
        assert!(errors.iter().any(|error| error.message.contains(told)), "{}\n{text}", errors[0]);
    }
    hold(&[("anp", "a", &rule(&many(100)))], &["clock apple tcp/80 no", "clock crane tcp/80 yes"]);
    hold(&[("admin", "a", &rule(&many(25)))], &["clock apple tcp/80 no"]);
}
