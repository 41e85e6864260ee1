//! Sets that don't fit the kernel's tables are refused with the figure and the limit; sets that tempt into products fit.

use enforcer_common::maps::limits;
use enforcer_policy::compile::{Clock, CompileError, Compiled, Inputs, Numbers, compile};
use enforcer_policy::model::{
    Action, AddressGroup, Entity, FlowEntry, FlowPolicy, InterfacePattern, LabelSelector, Labels, Origin,
    PolicyMode, PolicySet, PortSpec, SegmentMode, Selector, Tier, Workload, WorkloadMatch,
};
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

fn origin() -> Origin {
    Origin { file: "limits.yaml".into(), line: 1, column: 1 }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn select(pairs: &[(&str, &str)]) -> Selector {
    Selector::Labels(LabelSelector { labels: labels(pairs), expressions: vec![] })
}

fn workload(number: u32, labels: Labels) -> Workload {
    let name = format!("w{number}");
    let pattern = InterfacePattern { text: name.clone(), glob: false };
    let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    let matches = vec![WorkloadMatch::Interface(pattern)];
    Workload { name, origin: origin(), labels, matches, addresses: vec![address], lease: None }
}

fn rule(from: Selector, to: Selector, port: u16) -> FlowEntry {
    FlowEntry {
        origin: origin(),
        action: Action::Allow,
        from: vec![from],
        to: vec![to],
        ports: vec![PortSpec::Ports { protocol: 6, first: port, last: port }],
        why: None,
    }
}

fn policy(tier: Tier, flows: Vec<FlowEntry>) -> FlowPolicy {
    let name = format!("{tier:?}").to_lowercase();
    FlowPolicy { name, origin: origin(), tier, mode: PolicyMode::Enforce, expires: None, flows }
}

fn try_compile(set: &PolicySet) -> Result<Compiled, CompileError> {
    let clock = Clock { now: Timestamp::UNIX_EPOCH, boot_ns: 0 };
    let inputs = Inputs { set, host: &[], default_mode: SegmentMode::Enforce, clock };
    compile(&inputs, &mut Numbers::default())
}

fn refused(set: &PolicySet) -> (&'static str, u64, u64) {
    match try_compile(set) {
        Err(CompileError::Limit { table, figure, limit }) => (table, figure, limit),
        Err(other) => panic!("refused otherwise: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn e93_addresses_beyond_the_table() {
    let block = |number: u32| format!("{}/32", Ipv4Addr::from_bits(0x0a00_0000 + number)).parse().unwrap();
    let mut group = AddressGroup {
        name: "many".to_owned(),
        origin: origin(),
        labels: labels(&[("zone", "many")]),
        cidrs: (0..limits::ADDRESSES).map(block).collect(),
    };
    // Addresses that no rule tells from the world still have an identity of their own.
    let mut set = PolicySet { groups: vec![group.clone()], ..PolicySet::default() };
    assert_eq!(try_compile(&set).unwrap().image.addresses4.len(), limits::ADDRESSES as usize);
    group.cidrs.push(block(limits::ADDRESSES));
    set.groups = vec![group];
    assert_eq!(refused(&set), ("IPv4 addresses", 262_145, 262_144));
}

#[test]
fn e93_prefixes_beyond_the_table() {
    let block =
        |number: u32| format!("{}/31", Ipv4Addr::from_bits(0x0a00_0000 + number * 2)).parse().unwrap();
    let group = AddressGroup {
        name: "many".to_owned(),
        origin: origin(),
        labels: labels(&[("zone", "many")]),
        cidrs: (0..=limits::PREFIXES / 2).map(block).collect(),
    };
    let set = PolicySet { groups: vec![group], ..PolicySet::default() };
    assert_eq!(refused(&set), ("IPv4 prefixes", 131_073, 131_072));
}

#[test]
fn e93_rules_beyond_their_counters() {
    let one = rule(Selector::Entity(Entity::All), Selector::Entity(Entity::All), 80);
    let flows = vec![one; limits::RULES as usize + 1];
    let set = PolicySet { policies: vec![policy(Tier::Application, flows)], ..PolicySet::default() };
    assert_eq!(refused(&set), ("rules", 65_537, 65_536));
}

/// Two thousand workloads that all differ in eleven labels, and rules by two of them: no cut between narrow and broad helps.
#[test]
fn e93_pairs_beyond_the_table() {
    let bits = |number: u32| {
        (0..11).map(|bit| (format!("b{bit}"), (number >> bit & 1).to_string())).collect::<Labels>()
    };
    let workloads: Vec<_> = (0..2_048).map(|number| workload(number, bits(number))).collect();
    let by = |key: &str| rule(select(&[(key, "1")]), select(&[(key, "1")]), 80);
    let flows = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10"].map(by).to_vec();
    let set =
        PolicySet { workloads, policies: vec![policy(Tier::Application, flows)], ..PolicySet::default() };
    let (table, figure, limit) = refused(&set);
    // Pairs that have a common bit: all less those that have none, both ways.
    assert_eq!((table, limit), ("pairs of endpoint classes", 1_048_576));
    assert_eq!(figure, 2 * (2_048_u64.pow(2) - 3_u64.pow(11)));
}

/// A rule for everything, thousands of rules of one pair each, rules from one to all and from all to one: no product of them.
#[test]
fn broad_rules_beside_narrow_ones_stay_apart() {
    let apps: Vec<String> = (0..2_000).map(|number| format!("a{number}")).collect();
    let workloads = (0..)
        .zip(&apps)
        .map(|(number, app)| workload(number, labels(&[("app", app.as_str()), ("env", "prod")])))
        .collect();
    let all = || Selector::Entity(Entity::All);
    let app = |number: usize| select(&[("app", apps[number % apps.len()].as_str())]);
    let mut flows = Vec::new();
    for number in 0..apps.len() {
        flows.push(rule(app(number), app(number + 1), 443));
        flows.push(rule(app(number), Selector::Entity(Entity::Workloads), 80));
        flows.push(rule(select(&[("env", "prod")]), app(number), 9100));
    }
    let guardrail = vec![FlowEntry { action: Action::Deny, ..rule(all(), all(), 23) }];
    let policies = vec![policy(Tier::Application, flows), policy(Tier::Guardrail, guardrail)];
    let set = PolicySet { workloads, policies, ..PolicySet::default() };
    let compiled = try_compile(&set).unwrap();
    let pairs = compiled.image.pairs.len();
    assert!(pairs < 8 * apps.len(), "{pairs} pairs for {} rules", compiled.rules.len());
}

#[test]
fn two_owners_of_one_thing_are_named() {
    let mut other = workload(1, labels(&[("app", "b")]));
    other.addresses = vec!["10.0.0.0".parse().unwrap()];
    let workloads = vec![workload(0, labels(&[("app", "a")])), other];
    let error = try_compile(&PolicySet { workloads, ..PolicySet::default() }).unwrap_err();
    assert_eq!(error.to_string(), "the workloads `w0` and `w1` both claim `10.0.0.0`");
    let group = |name: &str| AddressGroup {
        name: name.to_owned(),
        origin: origin(),
        labels: labels(&[("zone", "a")]),
        cidrs: vec!["192.0.2.0/24".parse().unwrap()],
    };
    let set = PolicySet { groups: vec![group("a"), group("b")], ..PolicySet::default() };
    assert_eq!(
        try_compile(&set).unwrap_err().to_string(),
        "the address groups `a` and `b` both claim `192.0.2.0/24`"
    );
}
