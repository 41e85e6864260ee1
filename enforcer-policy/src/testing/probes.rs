//! Random questions to the rules: who, to whom, by which protocol and port, when.

use super::ground::{Aim, Aimed, Ground, aim};
use super::pools::{EXPIRIES, ICMP_TYPES, ICMPV6_TYPES, NOW, PORTS, PROTOCOLS};
use super::scene::{Scene, scene};
use crate::reference::{Family, is_multicast};
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::net::IpAddr;

/// A new flow, as a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Source; never multicast nor martian.
    pub from: IpAddr,
    /// Destination, of the same family.
    pub to: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, `type * 256 + code` for ICMP and ICMPv6, 0 for protocols without ports.
    pub port: u16,
    /// When.
    pub at: Timestamp,
}

/// A probe before it meets its scene.
#[derive(Clone, Debug)]
struct RawProbe {
    v6: bool,
    aim: Option<Aim>,
    from: Pick,
    to: Pick,
    flow: RawFlow,
    at: Option<(i64, i64)>,
}

/// An address before it meets its scene.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    of_workloads: bool,
    index: Index,
}

/// A protocol and port before they meet their scene.
#[derive(Clone, Debug)]
pub(super) struct RawFlow {
    of_rules: bool,
    index: Index,
    protocol: u8,
    port: u16,
    kind: Index,
    code: u8,
}

/// A scene with some probes, which lean towards where its answers change.
pub fn scene_and_probes(
    count: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = (Scene, Vec<Probe>)> {
    (scene(), vec(raw_probe(), count)).prop_map(|(scene, raw)| {
        let ground = Ground::of(&scene);
        let probes = raw.iter().map(|raw| raw.meet(&ground)).collect();
        (scene, probes)
    })
}

fn raw_probe() -> impl Strategy<Value = RawProbe> {
    // Mostly at the present instant; else at an expiry, or a second or a nanosecond beside it.
    let beside = select(vec![0i64, -1, 1, -1_000_000_000, 1_000_000_000]);
    let at = option::weighted(0.3, (select(&EXPIRIES[..]), beside));
    let aim = option::weighted(0.6, aim());
    (prop::bool::weighted(0.3), aim, pick(), pick(), raw_flow(), at)
        .prop_map(|(v6, aim, from, to, flow, at)| RawProbe { v6, aim, from, to, flow, at })
}

pub(super) fn pick() -> impl Strategy<Value = Pick> {
    (prop::bool::weighted(0.6), any::<Index>()).prop_map(|(of_workloads, index)| Pick { of_workloads, index })
}

pub(super) fn raw_flow() -> impl Strategy<Value = RawFlow> {
    (
        prop::bool::weighted(0.8),
        any::<Index>(),
        select(&PROTOCOLS[..]),
        prop_oneof![4 => select(&PORTS[..]), 1 => any::<u16>()],
        any::<Index>(),
        select(vec![0u8, 0, 0, 1, 4]),
    )
        .prop_map(|(of_rules, index, protocol, port, kind, code)| RawFlow {
            of_rules,
            index,
            protocol,
            port,
            kind,
            code,
        })
}

impl Pick {
    /// An address of `family`, and no multicast unless `groups`.
    pub(super) fn meet(&self, ground: &Ground<'_>, family: Family, groups: bool) -> IpAddr {
        let named = ground.scene.set.workloads.iter().flat_map(|workload| workload.addresses.clone());
        let named: Vec<IpAddr> = named.filter(|address| Family::of(*address) == family).collect();
        if self.of_workloads && !named.is_empty() {
            return *self.index.get(&named);
        }
        let mut all = ground.addresses(family).to_vec();
        all.retain(|address| groups || !is_multicast(*address));
        *self.index.get(&all)
    }
}

impl RawFlow {
    /// A protocol and port that can be on the wire of `family`.
    pub(super) fn meet(&self, ground: &Ground<'_>, family: Family) -> (u8, u16) {
        let (icmp, other, kinds) = match family {
            Family::V4 => (1, 58, &ICMP_TYPES[..]),
            Family::V6 => (58, 1, &ICMPV6_TYPES[..]),
        };
        let mut of_rules = ground.ports.clone();
        of_rules.retain(|(protocol, _)| *protocol != other);
        if self.of_rules && !of_rules.is_empty() {
            return *self.index.get(&of_rules);
        }
        match self.protocol {
            1 | 58 => (icmp, u16::from_be_bytes([*self.kind.get(kinds), self.code])),
            6 | 17 | 132 => (self.protocol, self.port),
            _ => (self.protocol, 0),
        }
    }
}

impl RawProbe {
    fn meet(&self, ground: &Ground<'_>) -> Probe {
        let family = if self.v6 { Family::V6 } else { Family::V4 };
        let at = match self.at {
            Some((seconds, nanoseconds)) => {
                NOW + SignedDuration::from_secs(seconds) + SignedDuration::from_nanos(nanoseconds)
            }
            None => NOW,
        };
        let aimed = self.aim.as_ref().and_then(|aim| ground.hit(aim, family, |_| true, |_| true));
        if let Some(Aimed { from, to, protocol, port }) = aimed {
            return Probe { from, to, protocol, port, at };
        }
        let (protocol, port) = self.flow.meet(ground, family);
        let from = self.from.meet(ground, family, false);
        let to = self.to.meet(ground, family, true);
        Probe { from, to, protocol, port, at }
    }
}
