//! Clusters of realistic shape and growing size: how much is written for them, and that it still means the same.

use crate::cluster::*;
use crate::evaluate::{Connection, End};
use crate::judged::judged;
use crate::text;
use enforcer_import::inventory::Inventory;
use enforcer_import::rules::{Imported, network_policies};
use enforcer_policy::source::Source;
use std::net::IpAddr;

/// Namespaces that all teams have to do with: names are resolved there, requests come from there, metrics go there.
const SHARED: [&[(&str, &str)]; 3] = [&[], &[("role", "ingress")], &[("role", "monitoring")]];
const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
const APPS: [&str; 4] = ["web", "api", "db", "worker"];

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn with(pairs: &[(&str, &str)]) -> Selector {
    Selector { labels: labels(pairs), expressions: Vec::new() }
}

fn pods(pairs: &[(&str, &str)]) -> Peer {
    Peer::Labels { pods: Some(with(pairs)), namespaces: None }
}

fn elsewhere(namespaces: &[(&str, &str)], of: Option<&[(&str, &str)]>) -> Peer {
    Peer::Labels { pods: of.map(with), namespaces: Some(with(namespaces)) }
}

fn port(protocol: &str, number: u16) -> Port {
    Port { protocol: Some(protocol.to_owned()), port: Some(PortName::Number(number)), end: None }
}

fn rule(peers: Vec<Peer>, ports: Vec<Port>) -> Rule {
    let some = |any: bool| any.then_some(());
    Rule { peers: some(!peers.is_empty()).map(|()| peers), ports: some(!ports.is_empty()).map(|()| ports) }
}

fn policy(
    namespace: usize,
    of: Selector,
    ways: &[&str],
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
) -> NetworkPolicy {
    let types = Some(ways.iter().map(|way| (*way).to_owned()).collect());
    let some = |rules: Vec<Rule>| if rules.is_empty() { None } else { Some(rules) };
    NetworkPolicy { namespace, pods: of, types, ingress: some(ingress), egress: some(egress) }
}

/// Namespaces and pods; no policies yet. Each team has a namespace with two pods of each kind.
fn cluster(teams: usize) -> Cluster {
    let mut namespaces: Vec<Labels> = SHARED.iter().map(|pairs| labels(pairs)).collect();
    let mut pods = Vec::new();
    let mut put = |namespace: usize, of: Labels, ports: &[(&str, &str, u16)]| {
        let number = pods.len() as u32 + 1;
        let [_, a, b, c] = number.to_be_bytes();
        let ports =
            ports.iter().map(|(name, kind, port)| ((*name).to_owned(), (*kind).to_owned(), *port)).collect();
        pods.push(Pod { namespace, labels: of, addresses: vec![IpAddr::from([10, a, b, c])], ports });
    };
    put(0, labels(&[("app", "dns")]), &[("dns", "UDP", 53)]);
    put(1, labels(&[("app", "controller")]), &[]);
    put(2, labels(&[("app", "prometheus")]), &[]);
    put(2, labels(&[("app", "other")]), &[]);
    for team in 0..teams {
        namespaces.push(labels(&[("team", &format!("t{}", team % 10))]));
        for app in APPS.into_iter().cycle().take(8) {
            put(SHARED.len() + team, labels(&[("app", app)]), &[("http", "TCP", 8080)]);
        }
    }
    let nodes = vec![Node { labels: labels(&[("zone", "a")]), address: "192.168.1.1".parse().unwrap() }];
    Cluster { namespaces, pods, nodes, policies: Vec::new(), cluster_policies: Vec::new() }
}

/// Nothing in and nothing out, but: names, the way from the ingress controller through the team's own tiers, metrics, the internet,
/// and one other team.
fn usual(teams: usize) -> Cluster {
    let mut cluster = cluster(teams);
    for team in 0..teams {
        let own = SHARED.len() + team;
        let name = namespace_name(0);
        let names = elsewhere(&[("kubernetes.io/metadata.name", &name)], Some(&[("app", "dns")]));
        let internet = Peer::Block {
            cidr: "0.0.0.0/0".to_owned(),
            except: PRIVATE.iter().map(|net| (*net).to_owned()).collect(),
        };
        let http = Port { protocol: None, port: Some(PortName::Name("http".to_owned())), end: None };
        let friend = format!("t{}", (team + 1) % 10);
        let in_out = &["Ingress", "Egress"][..];
        let db = Selector {
            labels: Labels::new(),
            expressions: vec![(
                "app".to_owned(),
                "In".to_owned(),
                vec!["api".to_owned(), "worker".to_owned()],
            )],
        };
        cluster.policies.extend([
            policy(own, with(&[]), in_out, Vec::new(), Vec::new()),
            policy(
                own,
                with(&[]),
                &["Egress"],
                Vec::new(),
                vec![rule(vec![names], vec![port("UDP", 53), port("TCP", 53)])],
            ),
            policy(
                own,
                with(&[("app", "worker")]),
                &["Egress"],
                Vec::new(),
                vec![rule(vec![internet], vec![port("TCP", 443)])],
            ),
            policy(
                own,
                with(&[("app", "web")]),
                &["Ingress"],
                vec![rule(vec![elsewhere(&[("role", "ingress")], None)], vec![http])],
                Vec::new(),
            ),
            policy(
                own,
                with(&[]),
                &["Ingress"],
                vec![rule(
                    vec![elsewhere(&[("role", "monitoring")], Some(&[("app", "prometheus")]))],
                    vec![port("TCP", 9090)],
                )],
                Vec::new(),
            ),
            policy(
                own,
                with(&[("app", "web")]),
                &["Egress"],
                Vec::new(),
                vec![rule(vec![pods(&[("app", "api")])], vec![port("TCP", 8080)])],
            ),
            policy(
                own,
                with(&[("app", "api")]),
                &["Ingress"],
                vec![rule(vec![pods(&[("app", "web")])], vec![port("TCP", 8080)])],
                Vec::new(),
            ),
            policy(
                own,
                with(&[("app", "api")]),
                &["Ingress"],
                vec![rule(vec![elsewhere(&[("team", &friend)], None)], vec![port("TCP", 80)])],
                Vec::new(),
            ),
            policy(
                own,
                with(&[("app", "worker")]),
                &["Egress"],
                Vec::new(),
                vec![rule(vec![elsewhere(&[], Some(&[("app", "api")]))], vec![port("TCP", 80)])],
            ),
            policy(
                own,
                db,
                &["Egress"],
                Vec::new(),
                vec![rule(vec![pods(&[("app", "db")])], vec![port("TCP", 5432)])],
            ),
            policy(
                own,
                with(&[("app", "db")]),
                &["Ingress"],
                vec![rule(vec![pods(&[])], vec![port("TCP", 5432)])],
                Vec::new(),
            ),
        ]);
    }
    cluster
}

/// Everybody lets everybody in, and some pods of each namespace may reach everything: each rule meets each.
fn open(teams: usize) -> Cluster {
    let mut cluster = cluster(teams);
    for own in SHARED.len()..SHARED.len() + teams {
        cluster.policies.extend([
            policy(own, with(&[]), &["Ingress"], vec![rule(Vec::new(), vec![port("TCP", 8080)])], Vec::new()),
            policy(own, with(&[("app", "web")]), &["Egress"], Vec::new(), vec![rule(Vec::new(), Vec::new())]),
            policy(
                own,
                with(&[("app", "db")]),
                &["Egress"],
                Vec::new(),
                vec![rule(vec![elsewhere(&[], None)], vec![port("TCP", 8080)])],
            ),
        ]);
    }
    cluster
}

/// No two namespaces use the same words, and each rule meets each: nothing can be put together.
fn babel(teams: usize) -> Cluster {
    let mut cluster = cluster(teams);
    for (team, own) in (SHARED.len()..SHARED.len() + teams).enumerate() {
        let key = format!("key-{team}");
        let peer = || vec![elsewhere(&[], Some(&[(&*key, "x")]))];
        cluster.policies.push(policy(
            own,
            with(&[(&*key, "y")]),
            &["Ingress", "Egress"],
            vec![rule(peer(), Vec::new())],
            vec![rule(peer(), Vec::new())],
        ));
    }
    cluster
}

fn imported(cluster: &Cluster) -> (Inventory, Imported) {
    let inventory = Inventory::read(&[Source::new("inventory.json", text::inventory(cluster))]).unwrap();
    assert_eq!(inventory.problems, []);
    let policies = Source::new("policies.json", text::policies(cluster));
    let imported = network_policies(&[policies], Some(&inventory)).unwrap();
    (inventory, imported)
}

/// Rules, and bytes of the documents.
fn written(imported: &Imported) -> (usize, usize) {
    let rules = imported.policies.iter().map(|(_, policy)| policy.flows.len()).sum();
    (rules, imported.to_yaml("as").len())
}

/// Asks about some pairs of ends, the same in each run, and each port that tells rules apart. What passes, what doesn't, and on how many
/// more is allowed there than here.
fn sampled(
    cluster: &Cluster,
    inventory: &Inventory,
    imported: &Imported,
    pairs: usize,
) -> (usize, usize, usize) {
    let others = ["192.0.2.1", "192.168.1.1", "10.200.0.1"]
        .map(|text| End { address: text.parse().unwrap(), pod: None });
    let of_pods = cluster.pods.iter().map(|pod| End { address: pod.addresses[0], pod: Some(pod) });
    let ends: Vec<End<'_>> = of_pods.chain(others).collect();
    let ports = [
        ("TCP", 6, 8080),
        ("TCP", 6, 80),
        ("TCP", 6, 443),
        ("TCP", 6, 5432),
        ("TCP", 6, 9090),
        ("UDP", 17, 53),
    ];
    judged(imported, inventory, |passes| {
        let (mut yes, mut no, mut less) = (0, 0, 0);
        let mut state = 7u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for _ in 0..pairs {
            // Mostly within one namespace and its neighbours, where rules allow something.
            let first = below(ends.len());
            let second = if below(2) == 0 { below(ends.len()) } else { (first + below(16)) % ends.len() };
            let (from, to) = (ends[first], ends[second]);
            if from.address == to.address || (from.pod.is_none() && to.pod.is_none()) {
                continue;
            }
            for (name, protocol, port) in ports {
                let expected = cluster.allows(&Connection { from, to, protocol: name, port });
                let told = passes((from.address, to.address, protocol, port));
                assert_eq!(
                    told.0, told.1,
                    "reference and tables: {} -> {} {name}/{port}",
                    from.address, to.address
                );
                assert!(
                    expected || !told.0,
                    "{} -> {} {name}/{port} is allowed here only",
                    from.address,
                    to.address
                );
                less += usize::from(expected && !told.0);
                *(if told.0 { &mut yes } else { &mut no }) += 1;
            }
        }
        (yes, no, less)
    })
}

#[test]
fn twice_the_cluster_is_twice_the_documents() {
    for (what, make) in [("usual", usual as fn(usize) -> Cluster), ("open", open)] {
        let sizes = [20, 40, 80].map(|teams| {
            let (_, imported) = imported(&make(teams));
            assert!(imported.losses.is_empty(), "{}", imported.losses[0]);
            written(&imported)
        });
        println!("{what}: rules and bytes {sizes:?}");
        let [_, (rules, bytes), (twice, longer)] = sizes;
        assert!(twice <= 2 * rules, "{what}: {rules} rules became {twice}");
        // A list of all namespaces stands in a few rules, whatever their number.
        assert!(longer <= 2 * bytes + bytes / 4, "{what}: {bytes} bytes became {longer}");
    }
}

#[test]
fn a_large_cluster_means_the_same() {
    for make in [usual as fn(usize) -> Cluster, open] {
        let cluster = make(60);
        let (inventory, imported) = imported(&cluster);
        let (yes, no, less) = sampled(&cluster, &inventory, &imported, 4000);
        assert_eq!(less, 0);
        assert!(yes > 150 && no > 150, "{yes} allowed, {no} denied: of both, some");
    }
}

#[test]
fn what_is_cut_off_is_said_and_opens_nothing() {
    let cluster = babel(230);
    let (_, imported) = imported(&cluster);
    let told = "this meets more rules of the other end than can be written down";
    assert!(imported.losses.iter().any(|loss| loss.message.starts_with(told)), "{:?}", imported.losses.len());
    let (rules, _) = written(&imported);
    assert!(rules > 230, "{rules}");
}
