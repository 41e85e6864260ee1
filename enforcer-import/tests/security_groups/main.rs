//! Verdicts after the import of security groups, held against an evaluator that knows only what AWS documents.

mod evaluate;
mod generate;

use enforcer_import::inventory::{Hooks, Inventory};
use enforcer_import::rules::security_groups;
use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::explain::Explainer;
use enforcer_policy::model::{Endpoint, SegmentMode};
use enforcer_policy::reference::World;
use enforcer_policy::source::Source;
use enforcer_policy::testing::hold;
use evaluate::Vpc;
use jiff::Timestamp;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use std::cell::Cell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const OTHERS: [&str; 5] = ["192.0.2.1", "203.0.113.9", "10.0.1.200", "2001:db8::1", "fd00::ffff"];
/// Protocol number; port, or type and code of ICMP.
const PROBES: [(u8, u16); 9] = [
    (6, 80),
    (6, 443),
    (6, 8080),
    (17, 53),
    (17, 443),
    (132, 80),
    (1, 8 << 8),
    (1, (3 << 8) + 1),
    (58, 128 << 8),
];

fn groups(vpc: &Vpc) -> String {
    let permission = |rule: &evaluate::Rule| {
        let (mut v4, mut v6, mut lists, mut pairs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for peer in &rule.peers {
            match peer {
                evaluate::Peer::Block(block) if block.contains(':') => v6.push(json!({"CidrIpv6": block})),
                evaluate::Peer::Block(block) => {
                    v4.push(json!({"CidrIp": block, "Description": "a: \"b\"\n# c"}))
                }
                evaluate::Peer::List => lists.push(json!({"PrefixListId": "pl-0a1b"})),
                evaluate::Peer::Group(group) => {
                    pairs.push(json!({"GroupId": format!("sg-{group}"), "UserId": "1"}))
                }
            }
        }
        let mut out = json!({"IpProtocol": rule.protocol, "UserIdGroupPairs": pairs, "IpRanges": v4,
            "Ipv6Ranges": v6, "PrefixListIds": lists});
        if let Some((from, to)) = rule.ports {
            out["FromPort"] = json!(from);
            out["ToPort"] = json!(to);
        }
        out
    };
    let list = |rules: &[evaluate::Rule]| Value::Array(rules.iter().map(permission).collect());
    let groups: Vec<Value> = vpc
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            json!({"GroupId": format!("sg-{index}"), "GroupName": format!("group {index}"), "VpcId": "vpc-1",
                "IpPermissions": list(&group.ingress), "IpPermissionsEgress": list(&group.egress)})
        })
        .collect();
    serde_json::to_string_pretty(&json!({"SecurityGroups": groups})).unwrap()
}

fn instances(vpc: &Vpc) -> String {
    let instances: Vec<Value> = vpc
        .members
        .iter()
        .enumerate()
        .map(|(index, member)| {
            let groups: Vec<Value> =
                member.groups.iter().map(|group| json!({"GroupId": format!("sg-{group}")})).collect();
            let of = |v4: bool, key: &str| -> Vec<Value> {
                let addresses = member.addresses.iter().filter(|address| address.is_ipv4() == v4);
                addresses.map(|address| json!({key: address})).collect()
            };
            json!({"InstanceId": format!("i-{index}"), "NetworkInterfaces": [{"NetworkInterfaceId": format!("eni-{index}"),
                "Groups": groups, "PrivateIpAddresses": of(true, "PrivateIpAddress"), "Ipv6Addresses": of(false, "Ipv6Address")}]})
        })
        .collect();
    json!({"Reservations": [{"Instances": instances}]}).to_string()
}

/// The first connection on which the opinions differ, and how many of them there were of each kind.
fn disagreement(vpc: &Vpc) -> Result<(usize, usize), String> {
    let inventory = Inventory::read(&[Source::new("instances.json", instances(vpc))]).unwrap();
    assert_eq!(inventory.problems, []);
    let entries = json!({"Entries": evaluate::LIST.map(|block| json!({"Cidr": block}))}).to_string();
    let sources = [Source::new("groups.json", groups(vpc)), Source::new("lists/pl-0a1b.json", entries)];
    let imported = security_groups(&sources, Some(&inventory)).unwrap();
    assert_eq!(imported.losses, []);
    let written = imported.to_yaml("imported");
    let now = Timestamp::UNIX_EPOCH;
    let checked = parse(&[Source::new("imported.yaml", written.clone())], now);
    if let Some(error) = checked.diagnostics.iter().find(|finding| finding.is_error()) {
        return Err(format!("what was written isn't valid: {error:?}\n{written}"));
    }
    let mut set = checked.set;
    inventory.merge(&mut set, None, Hooks::StandIn);
    let world = World { set: &set, hosts: &[], default_mode: SegmentMode::Enforce, now };
    let clock = Clock { now, boot_ns: 1_000_000_000 };
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
    let compiled = compile(&inputs, &mut Numbers::default()).unwrap();
    let mut explainer = Explainer::new(inputs, &compiled);
    let members = vpc.members.iter().flat_map(|member| member.addresses.iter().copied());
    let ends: Vec<IpAddr> = members.chain(OTHERS.map(|text| text.parse().unwrap())).collect();
    let points: Vec<Endpoint> = ends.iter().map(|end| Endpoint::Address(*end)).collect();
    let (mut allowed, mut denied) = (0, 0);
    for (from, from_point) in ends.iter().zip(&points) {
        for (to, to_point) in ends.iter().zip(&points) {
            let outside = vpc.member(*from).is_none() && vpc.member(*to).is_none();
            if from == to || from.is_ipv4() != to.is_ipv4() || outside {
                continue;
            }
            for (protocol, port) in PROBES {
                if (protocol == 1 && from.is_ipv6()) || (protocol == 58 && from.is_ipv4()) {
                    continue;
                }
                let expected = vpc.allows(*from, *to, protocol, port);
                let (source, destination) = (world.end(*from), world.end(*to));
                let reference = world.judge_path(&source, &destination, protocol, port).verdict.passes;
                let tables = explainer.paths(from_point, to_point, protocol, port);
                let tables = tables.iter().all(|path| path.verdict.passes);
                if (expected, expected) != (reference, tables) {
                    return Err(format!(
                        "{from} -> {to} {protocol}/{port}: AWS {expected}, reference {reference}, tables {tables}\n{written}"
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

/// What a set counts for among the cases of a run: it asks about each pair of its instances and each port.
const QUESTIONS: u64 = 200;

#[test]
fn security_groups_mean_the_same_after_import() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (seed, cases) =
        (number("ENFORCER_SEED", 7), (number("ENFORCER_CASES", 300 * QUESTIONS) / QUESTIONS).max(1) as u32);
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    hold(seed, cases, &generate::vpcs(), |vpc| match disagreement(&vpc) {
        Ok((yes, no)) => {
            allowed.set(allowed.get() + yes);
            denied.set(denied.get() + no);
            Ok(())
        }
        Err(difference) => {
            let path = directory().join("securitygroups.json");
            std::fs::write(&path, serde_json::to_string_pretty(&vpc).unwrap() + "\n").unwrap();
            Err(TestCaseError::fail(format!("{difference}\nkept in {}", path.display())))
        }
    });
    let (allowed, denied) = (allowed.get(), denied.get());
    assert!(
        allowed > denied / 50 && denied > allowed / 50,
        "{allowed} allowed, {denied} denied: of both, some"
    );
}

#[test]
fn kept_cases_hold() {
    let entries = std::fs::read_dir(directory())
        .map(|entries| entries.flatten().collect())
        .unwrap_or_else(|_| Vec::new());
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("securitygroups")) {
            let vpc: Vpc = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            disagreement(&vpc).unwrap_or_else(|difference| panic!("{}: {difference}", path.display()));
        }
    }
}
