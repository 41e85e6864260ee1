//! Random clusters, small enough that everything meets everything.

use crate::cluster::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::net::IpAddr;

fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(words).prop_map(str::to_owned)
}

fn labels(keys: &'static [&'static str]) -> impl Strategy<Value = Labels> {
    btree_map(words(keys), words(&["x", "y", "z"]), 0..3)
}

fn selector(keys: &'static [&'static str]) -> impl Strategy<Value = Selector> {
    let values = || vec(words(&["x", "y", "z"]), 1..3);
    let expression = prop_oneof![
        (words(keys), words(&["In", "NotIn"]), values()),
        (words(keys), words(&["Exists", "DoesNotExist"]), Just(Vec::new())),
    ];
    let some = (labels(keys), vec(expression, 0..3));
    prop_oneof![
        1 => Just(Selector::default()),
        3 => some.prop_map(|(labels, expressions)| Selector { labels, expressions }),
    ]
}

fn of_pods() -> impl Strategy<Value = Selector> {
    selector(&["app", "tier"])
}

fn of_namespaces() -> impl Strategy<Value = Selector> {
    let named = (0..3usize).prop_map(|index| Selector {
        labels: Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace_name(index))]),
        expressions: Vec::new(),
    });
    prop_oneof![3 => selector(&["team", "env"]), 1 => named]
}

fn block() -> impl Strategy<Value = (String, Vec<String>)> {
    let blocks: &'static [(&'static str, &'static [&'static str])] = &[
        ("0.0.0.0/0", &["10.0.0.0/8", "192.0.2.128/25"]),
        ("10.0.0.0/16", &["10.0.1.0/24", "10.0.0.0/30"]),
        ("10.0.0.0/30", &["10.0.0.2/32"]),
        ("192.0.2.0/24", &["192.0.2.128/25"]),
        ("172.16.0.1/32", &[]),
        ("::/0", &["fd00::/64"]),
        ("fd00::/64", &["fd00::4/126"]),
    ];
    select(blocks).prop_flat_map(|(cidr, except)| {
        let except: Vec<String> = except.iter().map(|text| (*text).to_owned()).collect();
        let count = except.len();
        (Just(cidr.to_owned()), subsequence(except, 0..=count))
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let labelled = (option::of(of_pods()), option::of(of_namespaces())).prop_map(|(pods, namespaces)| {
        let pods = if namespaces.is_none() { Some(pods.unwrap_or_default()) } else { pods };
        Peer::Labels { pods, namespaces }
    });
    prop_oneof![2 => labelled, 1 => block().prop_map(|(cidr, except)| Peer::Block { cidr, except })]
}

fn port() -> impl Strategy<Value = Port> {
    let protocol = option::of(words(&["TCP", "UDP", "SCTP"]));
    let number = prop_oneof![
        Just(None),
        select(&[80u16, 443, 8080][..]).prop_map(|port| Some(PortName::Number(port)))
    ];
    let numbered = (protocol.clone(), number, option::of(Just(8080))).prop_map(|(protocol, port, end)| {
        let end = if port.is_some() { end } else { None };
        Port { protocol, port, end }
    });
    let named = (protocol, words(&["http", "dns"])).prop_map(|(protocol, name)| Port {
        protocol,
        port: Some(PortName::Name(name)),
        end: None,
    });
    prop_oneof![2 => numbered, 1 => named]
}

fn rule() -> impl Strategy<Value = Rule> {
    (option::of(vec(peer(), 0..3)), option::of(vec(port(), 0..3)))
        .prop_map(|(peers, ports)| Rule { peers, ports })
}

fn network_policy() -> impl Strategy<Value = NetworkPolicy> {
    let types = option::of(subsequence(vec!["Ingress".to_owned(), "Egress".to_owned()], 0..=2));
    (0..3usize, of_pods(), types, option::of(vec(rule(), 0..3)), option::of(vec(rule(), 0..3))).prop_map(
        |(namespace, pods, types, ingress, egress)| NetworkPolicy { namespace, pods, types, ingress, egress },
    )
}

fn group() -> impl Strategy<Value = Group> {
    prop_oneof![
        of_namespaces().prop_map(Group::Namespaces),
        (of_namespaces(), of_pods()).prop_map(|(namespaces, pods)| Group::Pods(namespaces, pods)),
    ]
}

fn admin_rule(egress: bool) -> impl Strategy<Value = AdminRule> {
    let inside = group().prop_map(AdminPeer::Group);
    let peer = if egress {
        let networks = vec(block().prop_map(|(cidr, _)| cidr), 1..3).prop_map(AdminPeer::Networks);
        let nodes = selector(&["zone"]).prop_map(AdminPeer::Nodes);
        prop_oneof![3 => inside, 1 => networks, 1 => nodes].boxed()
    } else {
        inside.boxed()
    };
    let protocol = || words(&["TCP", "UDP", "SCTP"]);
    let port = prop_oneof![
        3 => (protocol(), select(&[80u16, 443, 53][..])).prop_map(|(protocol, port)| AdminPort::Number(protocol, port)),
        2 => protocol().prop_map(|protocol| AdminPort::Range(protocol, 80, 8080)),
        1 => words(&["http", "dns"]).prop_map(AdminPort::Name),
    ];
    (words(&["Accept", "Deny", "Pass"]), vec(peer, 1..3), option::of(vec(port, 1..3)))
        .prop_map(|(action, peers, ports)| AdminRule { action, peers, ports })
}

fn cluster_policy() -> impl Strategy<Value = ClusterPolicy> {
    let rules = |egress| vec(admin_rule(egress), 0..3);
    (any::<bool>(), any::<bool>(), group(), rules(false), rules(true)).prop_map(
        |(admin, old, subject, ingress, egress)| ClusterPolicy {
            admin,
            old: old && admin,
            subject,
            ingress,
            egress,
        },
    )
}

/// Leaves one policy of last resort, in the older words: of these a cluster has one, which can't pass.
fn one_baseline(policies: &mut Vec<ClusterPolicy>) {
    let mut first = true;
    policies.retain_mut(|policy| {
        if policy.admin {
            return true;
        }
        policy.old = true;
        for rules in [&mut policy.ingress, &mut policy.egress] {
            rules.retain(|rule| rule.action != "Pass");
        }
        std::mem::take(&mut first)
    });
}

fn pods() -> impl Strategy<Value = Vec<Pod>> {
    let port = prop_oneof![
        select(&[80u16, 8080][..]).prop_map(|port| ("http".to_owned(), "TCP".to_owned(), port)),
        words(&["TCP", "UDP"]).prop_map(|protocol| ("dns".to_owned(), protocol, 53)),
    ];
    vec((0..3usize, labels(&["app", "tier"]), 0..3u8, any::<bool>(), vec(port, 0..3)), 1..7).prop_map(
        |pods| {
            let number = |(index, (namespace, labels, families, high, ports)): (
                usize,
                (usize, Labels, u8, bool, Vec<_>),
            )| {
                let index = index as u8 + 1;
                let v4 = IpAddr::from([10, 0, u8::from(high), index]);
                let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(index)]);
                let addresses = match families {
                    0 => vec![v4],
                    1 => vec![v4, v6],
                    _ => vec![v6],
                };
                Pod { namespace, labels, addresses, ports }
            };
            pods.into_iter().enumerate().map(number).collect()
        },
    )
}

pub(crate) fn clusters(administrators: bool) -> impl Strategy<Value = Cluster> {
    let nodes = vec(labels(&["zone"]), 2).prop_map(|nodes| {
        let node = |(index, labels): (usize, Labels)| {
            let labels =
                if labels.is_empty() { Labels::from([("zone".to_owned(), "w".to_owned())]) } else { labels };
            Node { labels, address: IpAddr::from([172, 16, 0, index as u8 + 1]) }
        };
        nodes.into_iter().enumerate().map(node).collect()
    });
    let most = if administrators { 4 } else { 0 };
    (
        vec(labels(&["team", "env"]), 3),
        pods(),
        nodes,
        vec(network_policy(), 0..5),
        vec(cluster_policy(), 0..=most),
        any::<bool>(),
    )
        .prop_map(|(namespaces, pods, nodes, policies, mut cluster_policies, old)| {
            if old {
                one_baseline(&mut cluster_policies);
            }
            Cluster { namespaces, pods, nodes, policies, cluster_policies }
        })
}
