//! Where a scene's answers change: the addresses, protocols and ports worth asking about.

use super::pools::{NOW, addresses, multicast_groups};
use super::scene::Scene;
use crate::model::{FlowEntry, PortSpec, Selector, Workload};
use crate::reference::{End, Family, has_hook, is_martian, is_multicast, selects};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::Index;
use std::net::IpAddr;

/// A scene with what is worth asking about it.
pub(super) struct Ground<'a> {
    pub(super) scene: &'a Scene,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    /// The same addresses, as ends.
    ends: Vec<(IpAddr, End<'a>)>,
    rules: Vec<&'a FlowEntry>,
    /// Protocols and ports at which answers may change.
    pub(super) ports: Vec<(u8, u16)>,
}

/// A flow that is aimed at a rule, before it meets its scene.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    rule: Index,
    from: Index,
    to: Index,
    port: Index,
}

pub(super) fn aim() -> impl Strategy<Value = Aim> {
    (any::<Index>(), any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(rule, from, to, port)| Aim {
        rule,
        from,
        to,
        port,
    })
}

/// A flow that some rule matches (another one may decide it).
pub(super) struct Aimed {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) protocol: u8,
    pub(super) port: u16,
}

impl<'a> Ground<'a> {
    pub(super) fn of(scene: &'a Scene) -> Ground<'a> {
        let mut all = addresses();
        all.extend(multicast_groups());
        all.extend(scene.set.workloads.iter().flat_map(|workload| &workload.addresses));
        all.extend(&scene.hosts);
        for block in blocks(scene) {
            let (first, last) = (block.network(), block.broadcast());
            all.extend([before(first), Some(first), Some(last), after(last)].into_iter().flatten());
        }
        all.retain(|address| !is_martian(*address));
        all.sort();
        all.dedup();
        let world = scene.world(NOW);
        let ends = all.iter().map(|address| (*address, world.end(*address))).collect();
        let (v4, v6) = all.into_iter().partition(IpAddr::is_ipv4);
        let rules = rules(scene);
        let ports = rules.iter().flat_map(|rule| &rule.ports).flat_map(around).collect();
        Ground { scene, v4, v6, ends, rules, ports }
    }

    /// Addresses of one family at which answers may change: those of workloads and the host, the ends of every
    /// block with their neighbours, strangers, multicast.
    pub(super) fn addresses(&self, family: Family) -> &[IpAddr] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Workloads with a hook.
    pub(super) fn hooked(&self) -> Vec<&'a Workload> {
        self.scene.set.workloads.iter().filter(|workload| has_hook(workload)).collect()
    }

    /// A flow that the aimed-at rule matches, or the first after it that can, with ends among those that `from` and
    /// `to` let through; `None` where no rule can.
    pub(super) fn hit(
        &self,
        aim: &Aim,
        family: Family,
        from: impl Fn(IpAddr) -> bool,
        to: impl Fn(IpAddr) -> bool,
    ) -> Option<Aimed> {
        let first = if self.rules.is_empty() { 0 } else { aim.rule.index(self.rules.len()) };
        let (before, after) = self.rules.split_at(first);
        after.iter().chain(before).find_map(|rule| self.hit_rule(rule, aim, family, &from, &to))
    }

    fn hit_rule(
        &self,
        rule: &FlowEntry,
        aim: &Aim,
        family: Family,
        from: &impl Fn(IpAddr) -> bool,
        to: &impl Fn(IpAddr) -> bool,
    ) -> Option<Aimed> {
        let other_icmp = if family == Family::V4 { 58 } else { 1 };
        let mut ports: Vec<(u8, u16)> = rule.ports.iter().flat_map(inside).collect();
        ports.retain(|(protocol, _)| *protocol != other_icmp);
        let (protocol, port) = *pick(aim.port, &ports)?;
        let meant = |list: &[Selector], wanted: &dyn Fn(IpAddr) -> bool| -> Vec<IpAddr> {
            let all =
                self.ends.iter().filter(|(address, _)| Family::of(*address) == family && wanted(*address));
            all.filter(|(_, end)| selects(list, end, NOW)).map(|(address, _)| *address).collect()
        };
        let sources = meant(&rule.from, &|address| !is_multicast(address) && from(address));
        let from = *pick(aim.from, &sources)?;
        let to = *pick(aim.to, &meant(&rule.to, to))?;
        Some(Aimed { from, to, protocol, port })
    }
}

fn pick<T>(index: Index, from: &[T]) -> Option<&T> {
    if from.is_empty() { None } else { Some(index.get(from)) }
}

fn rules(scene: &Scene) -> Vec<&FlowEntry> {
    scene.set.policies.iter().flat_map(|policy| &policy.flows).collect()
}

fn blocks(scene: &Scene) -> Vec<IpNet> {
    let mut blocks: Vec<IpNet> = scene.set.groups.iter().flat_map(|group| group.cidrs.clone()).collect();
    for selector in rules(scene).into_iter().flat_map(|rule| rule.from.iter().chain(&rule.to)) {
        if let Selector::Cidr { cidrs, except } = selector {
            blocks.extend(cidrs.iter().chain(except));
        }
    }
    blocks
}

/// Protocols and ports that `spec` means.
fn inside(spec: &PortSpec) -> Vec<(u8, u16)> {
    match *spec {
        PortSpec::Any => vec![(6, 0), (6, 8080), (17, 65535), (1, 0x0800), (58, 0x8000), (132, 1), (50, 0)],
        PortSpec::Protocol(protocol @ (6 | 17 | 132)) => vec![(protocol, 0), (protocol, 65535)],
        PortSpec::Protocol(1) => vec![(1, 0x0800), (1, 0x0d00), (1, 0x0304)],
        PortSpec::Protocol(58) => vec![(58, 0x8000), (58, 0x0200)],
        PortSpec::Protocol(protocol) => vec![(protocol, 0)],
        PortSpec::Ports { protocol, first, last } => {
            vec![(protocol, first), (protocol, first + (last - first) / 2), (protocol, last)]
        }
        PortSpec::Icmp { protocol, kind, code } => {
            vec![(protocol, u16::from_be_bytes([kind, code.unwrap_or(0)]))]
        }
    }
}

/// The same, with what lies just outside.
fn around(spec: &PortSpec) -> Vec<(u8, u16)> {
    let mut all = inside(spec);
    match *spec {
        PortSpec::Any => all.push((47, 0)),
        PortSpec::Ports { protocol, first, last } => {
            let beside = [first.checked_sub(1), last.checked_add(1)];
            all.extend(beside.into_iter().flatten().map(|port| (protocol, port)));
        }
        PortSpec::Icmp { protocol, kind, code } => {
            all.push((protocol, u16::from_be_bytes([kind, code.unwrap_or(6) + 1])));
        }
        PortSpec::Protocol(_) => {}
    }
    all
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|number| IpAddr::V4(number.into())),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|number| IpAddr::V6(number.into())),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|number| IpAddr::V4(number.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|number| IpAddr::V6(number.into())),
    }
}
