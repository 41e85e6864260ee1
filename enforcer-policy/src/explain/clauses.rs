//! The clauses of a rule, one by one: which of them a flow meets, and how far it is from meeting the others.

use super::ends::{End, Place, Who, pairs};
use crate::compile::is_multicast_block;
use crate::compile::ports::ranges;
use crate::diagnostic::shown;
use crate::model::{Entity, Expression, FlowEntry, LabelSelector, Operator, PortSpec, Selector};
use ipnet::IpNet;
use std::net::IpAddr;

/// Whether any selector of a list matches an end.
pub fn selects(selectors: &[Selector], end: &End<'_>) -> bool {
    selectors.iter().any(|selector| match selector {
        Selector::Labels(wanted) => end.labels().is_some_and(|_| missing(wanted, end) == 0),
        Selector::Cidr { cidrs, except } => {
            let holds = |blocks: &[IpNet]| blocks.iter().any(|block| contains(block, end));
            // A block that is wider than multicast space names no group; one taken out takes out whatever it holds.
            let multicast = end.who == Who::Multicast;
            let named =
                cidrs.iter().any(|block| (!multicast || is_multicast_block(block)) && contains(block, end));
            named && !holds(except)
        }
        Selector::Entity(entity) => match (entity, end.who) {
            (_, Who::Multicast) => false,
            (Entity::All, _) | (Entity::Host, Who::Host) | (Entity::World, Who::World) => true,
            (Entity::Workloads, _) => end.labels().is_some(),
            (Entity::Host | Entity::World, _) => false,
        },
    })
}

fn contains(block: &IpNet, end: &End<'_>) -> bool {
    match end.place {
        Place::At(address) => block.contains(&address),
        Place::Anywhere(None) => block.prefix_len() == 0,
        Place::Anywhere(Some(v4)) => block.prefix_len() == 0 && block.addr().is_ipv4() == v4,
    }
}

/// How many conditions of a label selector don't hold.
fn missing(wanted: &LabelSelector, end: &End<'_>) -> usize {
    unmet(wanted, end).len()
}

/// The conditions that don't hold, as text.
fn unmet(wanted: &LabelSelector, end: &End<'_>) -> Vec<String> {
    let value = |key: &str| end.labels().and_then(|labels| labels.get(key)).map(String::as_str);
    let mut unmet = Vec::new();
    for (key, wanted) in &wanted.labels {
        if value(key) != Some(wanted) {
            unmet.push(format!("{}={}", shown(key), shown(wanted)));
        }
    }
    for Expression { key, operator } in &wanted.expressions {
        let has = value(key);
        let listed = |values: &[String]| has.is_some_and(|has| values.iter().any(|value| value == has));
        let list = |values: &[String]| values.iter().take(4).map(|v| shown(v)).collect::<Vec<_>>().join(", ");
        let key = shown(key);
        match operator {
            Operator::In(values) if !listed(values) => unmet.push(format!("{key} in [{}]", list(values))),
            Operator::NotIn(values) if listed(values) => {
                unmet.push(format!("{key} not in [{}]", list(values)))
            }
            Operator::Exists(true) if has.is_none() => unmet.push(format!("{key} present")),
            Operator::Exists(false) if has.is_some() => unmet.push(format!("{key} absent")),
            Operator::In(_) | Operator::NotIn(_) | Operator::Exists(_) => {}
        }
    }
    unmet
}

/// A rule's `ports` as ranges of `protocol << 16 | port`, the last included: sorted, none touching another.
pub fn port_ranges(ports: &[PortSpec]) -> Vec<(u32, u32)> {
    ranges(ports)
}

/// Whether a rule's `ports` name a flow.
pub(super) fn names_port(entry: &FlowEntry, protocol: u8, port: u16) -> bool {
    let key = u32::from(protocol) << 16 | u32::from(port);
    ranges(&entry.ports).iter().any(|(first, last)| (*first..=*last).contains(&key))
}

/// What would make a selector list match an end, by the entry that comes closest.
pub(super) fn mend_side(field: &str, selectors: &[Selector], end: &End<'_>) -> String {
    let closest = selectors
        .iter()
        .filter_map(|selector| match selector {
            Selector::Labels(wanted) if end.labels().is_some() => Some(unmet(wanted, end)),
            Selector::Labels(_) | Selector::Cidr { .. } | Selector::Entity(_) => None,
        })
        .min_by_key(Vec::len);
    let have = end
        .labels()
        .map_or_else(|| "it has no labels".to_owned(), |labels| format!("it has {}", pairs(labels)));
    match closest {
        Some(unmet) => format!("`{field}` doesn't select {end}: it wants {}", unmet.join(" and ")),
        None => {
            let wanted: Vec<String> = selectors.iter().take(4).map(selector_text).collect();
            format!("`{field}` doesn't select {end}: it wants {}; {have}", wanted.join(" or "))
        }
    }
}

fn selector_text(selector: &Selector) -> String {
    match selector {
        Selector::Labels(wanted) => {
            let nobody = End { who: Who::World, place: Place::Anywhere(None) };
            // Of an end without labels, every condition that requires something is unmet.
            let conditions = unmet(wanted, &nobody);
            if conditions.is_empty() { "labels".to_owned() } else { conditions.join(" and ") }
        }
        Selector::Cidr { cidrs, except } => {
            let list = |blocks: &[IpNet]| {
                blocks.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let but = if except.is_empty() { String::new() } else { format!(" except {}", list(except)) };
            format!("an address in {}{but}", list(cidrs))
        }
        Selector::Entity(Entity::Host) => "the host".to_owned(),
        Selector::Entity(Entity::World) => "the world".to_owned(),
        Selector::Entity(Entity::Workloads) => "something with labels".to_owned(),
        Selector::Entity(Entity::All) => "anything but multicast".to_owned(),
    }
}

/// What would make a rule's `ports` name a flow.
pub(super) fn mend_ports(entry: &FlowEntry, protocol: u8, port: u16) -> String {
    let named: Vec<String> = entry.ports.iter().take(6).map(ToString::to_string).collect();
    let more = if entry.ports.len() > 6 { ", …" } else { "" };
    format!("`ports` has {}{more}: add `{}`", named.join(", "), port_text(protocol, port))
}

/// A flow's port as a `ports` entry.
pub fn port_text(protocol: u8, port: u16) -> String {
    let [kind, code] = port.to_be_bytes();
    let spec = match protocol {
        6 | 17 | 132 => PortSpec::Ports { protocol, first: port, last: port },
        1 | 58 => PortSpec::Icmp { protocol, kind, code: (code != 0).then_some(code) },
        _ => PortSpec::Protocol(protocol),
    };
    spec.to_string()
}

/// The protocol and port that a single `ports` entry asks about; `None` for one that names several.
pub fn single_port(port: &PortSpec) -> Option<(u8, u16)> {
    match *port {
        PortSpec::Any => None,
        PortSpec::Protocol(protocol) => Some((protocol, 0)),
        PortSpec::Ports { protocol, first, last } => (first == last).then_some((protocol, first)),
        PortSpec::Icmp { protocol, kind, code } => {
            Some((protocol, u16::from_be_bytes([kind, code.unwrap_or(0)])))
        }
    }
}

/// Whether the opening packet of such a flow is one that the verdict function puts to the rules: answers, redirects, router and
/// neighbour discovery are judged otherwise, and some numbers are no protocol of their own on IPv6.
pub(super) fn opens(at: IpAddr, protocol: u8, port: u16) -> bool {
    let [kind, _] = port.to_be_bytes();
    match (protocol, at.is_ipv4()) {
        (1, true) => !matches!(kind, 0 | 5 | 9 | 10 | 14 | 16 | 18),
        (58, false) => !matches!(kind, 129 | 133..=137),
        (0 | 43 | 44 | 51 | 59 | 60 | 135 | 139 | 140 | 253 | 254, false) => false,
        _ => true,
    }
}
