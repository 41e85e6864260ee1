//! Short ways to write documents down.

use crate::model::*;
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::IpAddr;

/// The instant at which everything is judged unless a test says otherwise.
pub(super) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn blocks(text: &str) -> Vec<IpNet> {
    text.split_whitespace().map(|block| block.parse().unwrap()).collect()
}

pub(super) fn origin(line: u32) -> Origin {
    Origin { file: "test.yaml".into(), line, column: 1 }
}

/// `app=web,env=prod`.
pub(super) fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// A workload with a hook.
pub(super) fn workload(name: &str, labels_text: &str, addresses: &str) -> Workload {
    let interface = InterfacePattern { text: format!("veth-{name}"), glob: false };
    Workload { matches: vec![WorkloadMatch::Interface(interface)], ..remote(name, labels_text, addresses) }
}

/// A workload that runs elsewhere.
pub(super) fn remote(name: &str, labels_text: &str, addresses: &str) -> Workload {
    Workload {
        name: name.into(),
        origin: origin(1),
        labels: labels(labels_text),
        matches: vec![],
        addresses: addresses.split_whitespace().map(ip).collect(),
        lease: None,
    }
}

pub(super) fn group(name: &str, labels_text: &str, cidrs: &str) -> AddressGroup {
    AddressGroup { name: name.into(), origin: origin(1), labels: labels(labels_text), cidrs: blocks(cidrs) }
}

pub(super) fn by_label(text: &str) -> Selector {
    Selector::Labels(LabelSelector { labels: labels(text), expressions: vec![] })
}

pub(super) fn by_expression(key: &str, operator: Operator) -> Selector {
    let expression = Expression { key: key.into(), operator };
    Selector::Labels(LabelSelector { labels: Labels::new(), expressions: vec![expression] })
}

pub(super) fn by_cidr(cidrs: &str, except: &str) -> Selector {
    Selector::Cidr { cidrs: blocks(cidrs), except: blocks(except) }
}

pub(super) fn by_entity(entity: Entity) -> Selector {
    Selector::Entity(entity)
}

pub(super) fn values(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub(super) fn tcp(port: u16) -> PortSpec {
    PortSpec::Ports { protocol: 6, first: port, last: port }
}

pub(super) fn udp(port: u16) -> PortSpec {
    PortSpec::Ports { protocol: 17, first: port, last: port }
}

pub(super) fn icmp(protocol: u8, kind: u8, code: Option<u8>) -> PortSpec {
    PortSpec::Icmp { protocol, kind, code }
}

/// An allow rule in the application tier, in force.
pub(super) fn allow(name: &str, from: Selector, to: Selector, port: PortSpec) -> FlowPolicy {
    FlowPolicy {
        name: name.into(),
        origin: origin(1),
        tier: Tier::Application,
        mode: PolicyMode::Enforce,
        expires: None,
        flows: vec![FlowEntry {
            origin: origin(2),
            action: Action::Allow,
            from: vec![from],
            to: vec![to],
            ports: vec![port],
            why: None,
        }],
    }
}

/// The same with `deny`.
pub(super) fn deny(name: &str, from: Selector, to: Selector, port: PortSpec) -> FlowPolicy {
    let mut policy = allow(name, from, to, port);
    policy.flows[0].action = Action::Deny;
    policy
}

/// An allow or deny of everything from anything to anything.
pub(super) fn anything(name: &str, action: Action, tier: Tier) -> FlowPolicy {
    let all = by_entity(Entity::All);
    let mut policy = allow(name, all.clone(), all, PortSpec::Any);
    policy.flows[0].action = action;
    FlowPolicy { tier, ..policy }
}

pub(super) fn audited(policy: FlowPolicy) -> FlowPolicy {
    FlowPolicy { mode: PolicyMode::Audit, ..policy }
}

pub(super) fn segment(name: &str, select: Selector, mode: SegmentMode) -> Segment {
    Segment {
        name: name.into(),
        origin: origin(1),
        select: vec![select],
        mode,
        on_deny: OnDeny::Drop,
        quarantine: None,
        on_stale_identity: OnStaleIdentity::Keep,
    }
}

/// web (10.0.0.1, fd00::1), db (10.0.0.2, fd00::2), both with hooks; peer (10.0.0.3) without; office 192.0.2.0/24.
pub(super) fn shop(policies: Vec<FlowPolicy>) -> PolicySet {
    PolicySet {
        workloads: vec![
            workload("web", "app=web,env=prod", "10.0.0.1 fd00::1"),
            workload("db", "app=db,env=prod", "10.0.0.2 fd00::2"),
            remote("peer", "app=peer", "10.0.0.3"),
        ],
        groups: vec![group("office", "zone=office", "192.0.2.0/24")],
        policies,
        ..PolicySet::default()
    }
}
