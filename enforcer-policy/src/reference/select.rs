//! Whether a selector means an endpoint.

use super::{End, Family, Identity, Place, is_multicast};
use crate::model::{Entity, LabelSelector, Operator, Selector};
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether any entry of a `from`, `to` or `select` list means `end` at an instant.
pub fn selects(list: &[Selector], end: &End<'_>, now: Timestamp) -> bool {
    list.iter().any(|selector| match selector {
        Selector::Labels(wanted) => {
            end.identity.labels().is_some() && labels_match(wanted, |key| end.identity.label(key, now))
        }
        Selector::Cidr { cidrs, except } => cidr_matches(cidrs, except, end.place),
        Selector::Entity(entity) => entity_matches(*entity, &end.identity),
    })
}

fn labels_match<'a>(wanted: &LabelSelector, label: impl Fn(&str) -> Option<&'a String>) -> bool {
    let pairs = wanted.labels.iter().all(|(key, value)| label(key) == Some(value));
    let expressions = wanted.expressions.iter().all(|expression| {
        let value = label(&expression.key);
        match &expression.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists(wanted) => value.is_some() == *wanted,
        }
    });
    pairs && expressions
}

fn cidr_matches(cidrs: &[IpNet], except: &[IpNet], place: Place) -> bool {
    match place {
        Place::At(address) => {
            let held = cidrs
                .iter()
                .any(|block| block.contains(&address) && (!is_multicast(address) || inside_multicast(block)));
            held && !except.iter().any(|block| block.contains(&address))
        }
        Place::Somewhere(family) => {
            let everything = |block: &IpNet| {
                block.prefix_len() == 0 && family.is_none_or(|family| family == Family::of(block.addr()))
            };
            cidrs.iter().any(everything) && !except.iter().any(everything)
        }
    }
}

/// Whether all of `block` is multicast or broadcast space.
fn inside_multicast(block: &IpNet) -> bool {
    let spaces = [
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
        (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    ];
    spaces
        .into_iter()
        .any(|(first, length)| IpNet::new(first, length).is_ok_and(|space| space.contains(block)))
}

fn entity_matches(entity: Entity, identity: &Identity<'_>) -> bool {
    match entity {
        Entity::Host => *identity == Identity::Host,
        Entity::World => *identity == Identity::World,
        Entity::Workloads => identity.labels().is_some(),
        Entity::All => *identity != Identity::Multicast,
    }
}
