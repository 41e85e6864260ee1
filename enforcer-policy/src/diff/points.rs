//! The endpoints of two sets side by side.

use super::names::of_block;
use crate::compile::{Compiled, Places, Standing, is_multicast_block};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// IPv4, IPv6: endpoints without a family in common have no flows.
const V4: u8 = 1;
const V6: u8 = 2;

/// Endpoints that stand alike in the old set and alike in the new one.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) old: Option<Standing>,
    pub(super) new: Option<Standing>,
    pub(super) families: u8,
    /// Names of workloads and groups, `host`, `world`, blocks.
    pub(super) names: BTreeSet<String>,
}

/// Families by standing before and after.
type States = BTreeMap<(Option<Standing>, Option<Standing>), u8>;

type Key = (Option<Standing>, Option<Standing>, u8);

/// Every endpoint of either set.
pub(super) fn points(old: Option<&Compiled>, new: &Compiled) -> Vec<Point> {
    let mut by_name: BTreeMap<String, States> = BTreeMap::new();
    let mut add = |name: String, old: Option<Standing>, new: Option<Standing>, families: u8| {
        if old.is_some() || new.is_some() {
            *by_name.entry(name).or_default().entry((old, new)).or_default() |= families;
        }
    };

    let of = |set: Option<&Compiled>| -> BTreeMap<String, Places> {
        let named = |set: &Compiled| {
            set.standing_workloads()
                .into_iter()
                .map(|(name, at)| (name.to_owned(), at))
                .collect::<BTreeMap<_, _>>()
        };
        let mut all = set.map(named).unwrap_or_default();
        if let Some(set) = set {
            let host: Places =
                set.standing_host().into_iter().map(|(at, standing)| (Some(at), standing)).collect();
            // A workload's name can't hold a blank, so this is nobody's.
            all.insert("host ".to_owned(), host);
        }
        all
    };
    let (before, mut after) = (of(old), of(Some(new)));
    let nothing = Places::new();
    for (name, was) in &before {
        let is = after.remove(name).unwrap_or_default();
        moved(name.trim_end(), was, &is, &mut add);
    }
    for (name, is) in &after {
        moved(name.trim_end(), &nothing, is, &mut add);
    }

    let mut blocks: BTreeSet<IpNet> = new.blocks().collect();
    blocks.extend(old.into_iter().flat_map(Compiled::blocks));
    for block in &blocks {
        let multicast = is_multicast_block(block);
        let (_, is) = new.standing_block(block, multicast);
        let was = old.and_then(|old| old.standing_block(block, multicast).1);
        let families = if block.addr().is_ipv4() { V4 } else { V6 };
        add(of_block(old, new, block), was, is, families);
    }
    add("world".to_owned(), old.and_then(Compiled::standing_world), new.standing_world(), V4 | V6);

    let mut joined: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
    for (name, states) in by_name {
        for ((old, new), families) in states {
            joined.entry((old, new, families)).or_default().insert(name.clone());
        }
    }
    joined.into_iter().map(|((old, new, families), names)| Point { old, new, families, names }).collect()
}

/// An identity at its addresses before and after. An address that only one of the sets has is held against the other set's first
/// of that family, if the identity is there: moving isn't news.
fn moved(
    name: &str,
    was: &[(Option<IpAddr>, Standing)],
    is: &[(Option<IpAddr>, Standing)],
    add: &mut impl FnMut(String, Option<Standing>, Option<Standing>, u8),
) {
    let family = |at: Option<IpAddr>| at.map_or(V4 | V6, |at| if at.is_ipv4() { V4 } else { V6 });
    let beside = |list: &[(Option<IpAddr>, Standing)], at: Option<IpAddr>| {
        let same = list.iter().find(|(other, _)| *other == at);
        let near = || list.iter().find(|(other, _)| family(*other) & family(at) != 0);
        same.or_else(near).map(|(_, standing)| *standing)
    };
    for (at, standing) in is {
        add(name.to_owned(), beside(was, *at), Some(*standing), family(*at));
    }
    for (at, standing) in was.iter().filter(|(at, _)| !is.iter().any(|(other, _)| other == at)) {
        let now = beside(is, *at);
        // Where the identity went on, its present addresses tell.
        if now.is_none() {
            add(name.to_owned(), Some(*standing), None, family(*at));
        }
    }
}
