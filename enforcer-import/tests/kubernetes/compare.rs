//! Both opinions on every connection that tells rules apart.

use crate::cluster::Cluster;
use crate::evaluate::{Connection, End};
use crate::text;
use enforcer_import::inventory::{Hooks, Inventory};
use enforcer_import::rules::network_policies;
use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::explain::Explainer;
use enforcer_policy::model::{Endpoint, PolicySet, SegmentMode};
use enforcer_policy::reference::World;
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Addresses that no pod has: outside, in the pods' own blocks, and the nodes'.
const OTHERS: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.200",
    "198.51.100.9",
    "10.0.1.200",
    "172.16.0.1",
    "172.16.0.2",
    "2001:db8::1",
    "fd00::ffff",
];

/// Protocol by name and number, and port.
const PROBES: [(&str, u8, u16); 8] = [
    ("TCP", 6, 80),
    ("TCP", 6, 8080),
    ("TCP", 6, 443),
    ("TCP", 6, 9000),
    ("UDP", 17, 53),
    ("UDP", 17, 80),
    ("SCTP", 132, 80),
    ("ICMP", 1, 8 << 8),
];

/// How many connections are allowed and denied; `Err` says on which the opinions differ.
pub(crate) fn compare(cluster: &Cluster) -> Result<(usize, usize), String> {
    let inventory = Inventory::read(&[Source::new("inventory.json", text::inventory(cluster))]).unwrap();
    assert_eq!(inventory.problems, []);
    let policies = text::policies(cluster);
    let imported = network_policies(&[Source::new("policies.json", policies)], Some(&inventory)).unwrap();
    let written = imported.to_yaml("imported");
    let now = Timestamp::UNIX_EPOCH;
    let checked = parse(&[Source::new("imported.yaml", written.clone())], now);
    if let Some(error) = checked.diagnostics.iter().find(|finding| finding.is_error()) {
        return Err(format!("what was written isn't valid: {error:?}\n{written}"));
    }
    let mut set: PolicySet = checked.set;
    inventory.merge(&mut set, None, Hooks::StandIn);
    let world = World { set: &set, hosts: &[], default_mode: SegmentMode::Enforce, now };
    let clock = Clock { now, boot_ns: 1_000_000_000 };
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    let mut explainer = Explainer::new(inputs, &compiled);
    let pods = cluster
        .pods
        .iter()
        .flat_map(|pod| pod.addresses.iter().map(move |address| End { address: *address, pod: Some(pod) }));
    let others = OTHERS.iter().map(|text| End { address: text.parse::<IpAddr>().unwrap(), pod: None });
    let ends: Vec<End<'_>> = pods.chain(others).collect();
    let points: Vec<Endpoint> = ends.iter().map(|end| Endpoint::Address(end.address)).collect();
    let (mut allowed, mut denied) = (0, 0);
    for (from, from_point) in ends.iter().zip(&points) {
        for (to, to_point) in ends.iter().zip(&points) {
            let same = from.address == to.address || from.address.is_ipv4() != to.address.is_ipv4();
            if same || (from.pod.is_none() && to.pod.is_none()) {
                continue;
            }
            for (name, protocol, port) in PROBES {
                let connection = Connection { from: *from, to: *to, protocol: name, port };
                let (protocol, port) =
                    if name == "ICMP" && from.address.is_ipv6() { (58, 128 << 8) } else { (protocol, port) };
                let expected = cluster.allows(&connection);
                let (source, destination) = (world.end(from.address), world.end(to.address));
                let reference = world.judge_path(&source, &destination, protocol, port).verdict.passes;
                let tables = explainer.paths(from_point, to_point, protocol, port);
                let tables = tables.iter().all(|path| path.verdict.passes);
                if (expected, expected) != (reference, tables) {
                    return Err(format!(
                        "{} -> {} {name}/{port}: Kubernetes {expected}, reference {reference}, tables {tables}\n{written}",
                        from.address, to.address
                    ));
                }
                *(if expected { &mut allowed } else { &mut denied }) += 1;
            }
        }
    }
    Ok((allowed, denied))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// Writes a failing cluster where every later run replays it. The last one written is the smallest.
pub(crate) fn keep(what: &str, cluster: &Cluster) -> String {
    let path = directory().join(format!("{what}.json"));
    std::fs::create_dir_all(directory()).unwrap();
    std::fs::write(&path, serde_json::to_string_pretty(cluster).unwrap() + "\n").unwrap();
    path.display().to_string()
}

/// The clusters that failed once.
pub(crate) fn kept() -> Vec<(String, Cluster)> {
    let entries = std::fs::read_dir(directory())
        .map(|entries| entries.flatten().collect())
        .unwrap_or_else(|_| Vec::new());
    let named = entries.into_iter().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("networkpolicy") && name.ends_with(".json")
    });
    named
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}
