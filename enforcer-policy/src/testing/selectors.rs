//! Random labels, selectors and ports.

use super::pools::{
    EXPIRIES, ICMP_TYPES, ICMPV6_TYPES, KEYS, LEASED, NOW, PORTS, PROTOCOLS, VALUES, selector_blocks,
};
use crate::model::{Entity, Expression, LabelSelector, Labels, Lease, Operator, PortSpec, Selector};
use jiff::SignedDuration;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::ops::RangeInclusive;

fn key() -> impl Strategy<Value = String> {
    select(&KEYS[..]).prop_map(str::to_owned)
}

/// A key that a selector may name.
fn wanted_key() -> impl Strategy<Value = String> {
    prop_oneof![3 => key(), 1 => Just(LEASED.to_owned())]
}

/// Labels that hold for a time, past or yet to come.
pub(super) fn lease() -> impl Strategy<Value = Option<Lease>> {
    let lease = (value(), select(&EXPIRIES[..])).prop_map(|(value, seconds)| Lease {
        labels: Labels::from([(LEASED.to_owned(), value)]),
        until: NOW + SignedDuration::from_secs(seconds),
    });
    option::weighted(0.5, lease)
}

fn value() -> impl Strategy<Value = String> {
    select(&VALUES[..]).prop_map(str::to_owned)
}

fn values() -> impl Strategy<Value = Vec<String>> {
    subsequence(VALUES.to_vec(), 1..=2).prop_map(|values| values.into_iter().map(str::to_owned).collect())
}

/// One to three labels.
pub(super) fn labels() -> impl Strategy<Value = Labels> {
    btree_map(key(), value(), 1..=3).prop_map(Labels::from)
}

fn expression() -> impl Strategy<Value = Expression> {
    let operator = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        any::<bool>().prop_map(Operator::Exists),
    ];
    (wanted_key(), operator).prop_map(|(key, operator)| Expression { key, operator })
}

fn by_labels() -> impl Strategy<Value = Selector> {
    // Most entries ask for little, or they would match nobody.
    prop_oneof![4 => by_some_labels(0..=1, 0..=1), 1 => by_some_labels(0..=2, 0..=2)]
}

fn by_some_labels(
    labels: RangeInclusive<usize>,
    expressions: RangeInclusive<usize>,
) -> impl Strategy<Value = Selector> {
    let both = (btree_map(wanted_key(), value(), labels), vec(expression(), expressions));
    both.prop_filter("an entry says something", |(labels, expressions)| {
        !labels.is_empty() || !expressions.is_empty()
    })
    .prop_map(|(labels, expressions)| Selector::Labels(LabelSelector { labels: labels.into(), expressions }))
}

/// One or two blocks, with exceptions that lie inside them.
fn by_cidr() -> impl Strategy<Value = Selector> {
    (subsequence(selector_blocks(), 1..=2), vec(any::<Index>(), 0..=2)).prop_map(|(cidrs, picks)| {
        let inside: Vec<_> = selector_blocks()
            .into_iter()
            .filter(|block| cidrs.iter().any(|outer| outer.contains(block)) && !cidrs.contains(block))
            .collect();
        let mut except = Vec::new();
        for pick in picks {
            if !inside.is_empty() && !except.contains(pick.get(&inside)) {
                except.push(*pick.get(&inside));
            }
        }
        Selector::Cidr { cidrs, except }
    })
}

fn by_entity() -> impl Strategy<Value = Selector> {
    select(vec![Entity::All, Entity::Workloads, Entity::World, Entity::Host]).prop_map(Selector::Entity)
}

/// One entry of `from`, `to` or `select`.
pub(super) fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![5 => by_labels(), 4 => by_cidr(), 2 => by_entity()]
}

/// One entry of `ports`.
pub(super) fn port_spec() -> impl Strategy<Value = PortSpec> {
    let with_ports = || select(vec![6u8, 6, 6, 17, 17, 132]);
    let code = || option::weighted(0.5, select(vec![0u8, 1, 4]));
    let icmp = |protocol: u8, kinds: &'static [u8]| {
        (select(kinds), code()).prop_map(move |(kind, code)| PortSpec::Icmp { protocol, kind, code })
    };
    prop_oneof![
        3 => (with_ports(), select(&PORTS[..]))
            .prop_map(|(protocol, port)| PortSpec::Ports { protocol, first: port, last: port }),
        4 => (with_ports(), select(&PORTS[..]), select(&PORTS[..])).prop_map(|(protocol, one, other)| {
            PortSpec::Ports { protocol, first: one.min(other), last: one.max(other) }
        }),
        1 => select(vec![6u8, 17]).prop_map(PortSpec::Protocol),
        1 => select(&PROTOCOLS[..]).prop_map(PortSpec::Protocol),
        2 => icmp(1, &ICMP_TYPES),
        1 => icmp(58, &ICMPV6_TYPES),
        2 => Just(PortSpec::Any),
    ]
}
