//! Everything that can be an end of a flow in a compiled set, and which selectors match it.

use super::spans::{Spans, leftovers, number, of_block};
use crate::compile::{Compiled, Standing, is_multicast_block};
use crate::explain::{End, Place, Who, selects};
use crate::model::{PolicySet, Selector};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4, IPv6: ends without a family in common have no flows.
const V4: u8 = 1;
const V6: u8 = 2;

/// Where an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    At(IpAddr),
    /// A block, or the world where there is none, less what other ends stand for.
    Range {
        block: Option<IpNet>,
        v4: bool,
        left: Spans,
    },
    /// A workload without addresses.
    Nowhere,
}

/// Something that can be an end of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    who: Who<'a>,
    extent: Extent,
    pub(crate) standing: Standing,
    pub(crate) families: u8,
}

/// How much of an end some selectors match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Share {
    /// Nothing.
    None,
    /// A part of its addresses.
    Some,
    /// The whole.
    All,
}

/// Every end that the set tells apart.
pub(crate) fn nodes<'a>(set: &'a PolicySet, compiled: &'a Compiled) -> Vec<Node<'a>> {
    let workloads: HashMap<&str, _> = set.workloads.iter().map(|of| (of.name.as_str(), of)).collect();
    let mut nodes = Vec::new();
    let mut singles = Vec::new();
    for (name, places) in compiled.standing_workloads() {
        let Some(workload) = workloads.get(name) else { continue };
        for (at, standing) in places {
            singles.extend(at);
            let families = at.map_or(V4 | V6, family);
            let extent = at.map_or(Extent::Nowhere, Extent::At);
            nodes.push(Node { who: Who::Workload(workload), extent, standing, families });
        }
    }
    for (at, standing) in compiled.standing_host() {
        singles.push(at);
        nodes.push(Node { who: Who::Host, extent: Extent::At(at), standing, families: family(at) });
    }
    for v4 in [true, false] {
        ranges(v4, set, compiled, &singles, &mut nodes);
    }
    nodes
}

fn family(at: IpAddr) -> u8 {
    if at.is_ipv4() { V4 } else { V6 }
}

/// The blocks and the world of one family.
fn ranges<'a>(
    v4: bool,
    set: &'a PolicySet,
    compiled: &'a Compiled,
    singles: &[IpAddr],
    nodes: &mut Vec<Node<'a>>,
) {
    let groups: HashMap<&str, _> = set.groups.iter().map(|of| (of.name.as_str(), of)).collect();
    let (all, multicast, families) = match v4 {
        true => (
            IpNet::V4(Ipv4Net::default()),
            [
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
                IpNet::from(IpAddr::V4(Ipv4Addr::BROADCAST)),
            ],
            V4,
        ),
        false => {
            let space = Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
            (IpNet::V6(Ipv6Net::default()), [IpNet::V6(space); 2], V6)
        }
    };
    let blocks: Vec<IpNet> =
        compiled.blocks().filter(|block| block.addr().is_ipv4() == v4 && *block != all).collect();
    let spans: Vec<_> = blocks.iter().map(of_block).collect();
    let singles = singles.iter().filter(|at| at.is_ipv4() == v4).map(|at| number(*at));
    let mut left = leftovers(of_block(&all), &spans, singles).into_iter();
    let receivers = Spans::union(multicast.iter().map(of_block));
    let mut add = |who, block, left: Spans, standing| {
        if !left.is_empty() {
            nodes.push(Node { who, extent: Extent::Range { block, v4, left }, standing, families });
        }
    };
    let group = |name: Option<&str>| {
        name.and_then(|name| groups.get(name)).map_or(Who::World, |group| Who::Group(group))
    };
    if let (Some(left), (name, Some(standing))) = (left.next(), compiled.standing_block(&all, false)) {
        // A group may be as wide as its family.
        add(group(name), None, left.without(&receivers), standing);
    }
    for (block, left) in blocks.into_iter().zip(left) {
        let multicast = is_multicast_block(&block);
        let (name, Some(standing)) = compiled.standing_block(&block, multicast) else { continue };
        let left = if multicast { left } else { left.without(&receivers) };
        add(if multicast { Who::Multicast } else { group(name) }, Some(block), left, standing);
    }
}

impl Node<'_> {
    /// Name of the workload or group, `host`, `world`, or the block.
    pub(crate) fn name(&self) -> String {
        match (self.who, &self.extent) {
            (Who::Workload(workload), _) => workload.name.clone(),
            (Who::Group(group), _) => format!("group {}", group.name),
            (Who::Host, _) => "host".to_owned(),
            (_, Extent::Range { block: Some(block), .. }) => block.to_string(),
            (_, Extent::At(at)) => at.to_string(),
            (_, Extent::Range { block: None, .. } | Extent::Nowhere) => "world".to_owned(),
        }
    }

    /// Whether it only ever receives.
    pub(crate) fn is_multicast(&self) -> bool {
        self.who == Who::Multicast
    }

    /// Whether there is one of it, at one address: then a flow to itself leaves no device.
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.extent, Extent::At(_))
    }

    /// How much of it any of `selectors` matches.
    pub(crate) fn share(&self, selectors: &[Selector]) -> Share {
        match &self.extent {
            Extent::At(at) => self.whole(selectors, Place::At(*at)),
            Extent::Nowhere => self.whole(selectors, Place::Anywhere(None)),
            Extent::Range { v4, left, .. } => {
                let mut rest = left.clone();
                for selector in selectors {
                    match selector {
                        Selector::Cidr { cidrs, except } => {
                            rest = rest.without(&self.spans(cidrs, except, *v4));
                        }
                        Selector::Labels(_) | Selector::Entity(_) => {
                            let one = std::slice::from_ref(selector);
                            if self.whole(one, Place::Anywhere(None)) == Share::All {
                                return Share::All;
                            }
                        }
                    }
                }
                match (rest.is_empty(), rest == *left) {
                    (true, _) => Share::All,
                    (false, true) => Share::None,
                    (false, false) => Share::Some,
                }
            }
        }
    }

    fn whole(&self, selectors: &[Selector], place: Place) -> Share {
        if selects(selectors, &End { who: self.who, place }) { Share::All } else { Share::None }
    }

    /// The addresses of one family that a selector by address names.
    fn spans(&self, cidrs: &[IpNet], except: &[IpNet], v4: bool) -> Spans {
        let of = |blocks: &[IpNet], names: &dyn Fn(&IpNet) -> bool| {
            let ours = blocks.iter().filter(|block| block.addr().is_ipv4() == v4 && names(block));
            Spans::union(ours.map(of_block))
        };
        // A block that is wider than multicast space names no group of receivers.
        let names = |block: &IpNet| !self.is_multicast() || is_multicast_block(block);
        of(cidrs, &names).without(&of(except, &|_| true))
    }
}
