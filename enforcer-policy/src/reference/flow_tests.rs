//! FlowTest documents, judged by the reference.

use super::{End, Family, Identity, PathVerdict, Place, Word, World};
use crate::model::{Endpoint, Entity, Expectation, FlowCase, PortSpec};
use std::net::IpAddr;

/// What came of one case of one FlowTest.
#[derive(Clone, Debug)]
pub struct TestOutcome<'a> {
    /// `metadata.name` of the FlowTest.
    pub test: &'a str,
    /// Which of its cases, from 0.
    pub index: usize,
    /// The case.
    pub case: &'a FlowCase,
    /// Every pair of ends that the case stands for, with its verdict; empty where an end names nothing.
    pub paths: Vec<(End<'a>, End<'a>, PathVerdict<'a>)>,
}

impl<'a> TestOutcome<'a> {
    /// The first path that isn't as expected.
    pub fn failing(&self) -> Option<&(End<'a>, End<'a>, PathVerdict<'a>)> {
        self.paths.iter().find(|(_, _, path)| !as_expected(self.case.expect, path))
    }

    /// Whether all that the case stands for is as expected.
    pub fn holds(&self) -> bool {
        !self.paths.is_empty() && self.failing().is_none()
    }
}

fn as_expected(expect: Expectation, path: &PathVerdict<'_>) -> bool {
    path.verdict.word
        == match expect {
            Expectation::Allow => Word::Allowed,
            Expectation::Deny => Word::Denied,
            Expectation::Audit => Word::Audited,
        }
}

/// Runs every case of every FlowTest in the set.
pub fn run_flow_tests<'a>(world: &World<'a>) -> Vec<TestOutcome<'a>> {
    let mut outcomes = Vec::new();
    for test in &world.set.tests {
        for (index, case) in test.cases.iter().enumerate() {
            let (protocol, port) = case_port(&case.port);
            let paths = pairs(&ends(world, &case.from), &ends(world, &case.to), protocol)
                .into_iter()
                .map(|(from, to)| (from, to, world.judge_path(&from, &to, protocol, port)))
                .collect();
            outcomes.push(TestOutcome { test: &test.name, index, case, paths });
        }
    }
    outcomes
}

/// The one protocol and port a case asks about.
fn case_port(spec: &PortSpec) -> (u8, u16) {
    match *spec {
        // The parser refuses `any` in a case; TCP's port 0 is what a whole protocol would mean.
        PortSpec::Any => (6, 0),
        PortSpec::Protocol(protocol) => (protocol, 0),
        PortSpec::Ports { protocol, first, .. } => (protocol, first),
        PortSpec::Icmp { protocol, kind, code } => (protocol, u16::from_be_bytes([kind, code.unwrap_or(0)])),
    }
}

/// All endpoints that one end of a case stands for.
fn ends<'a>(world: &World<'a>, endpoint: &'a Endpoint) -> Vec<End<'a>> {
    let mut ends = Vec::new();
    match endpoint {
        Endpoint::Address(address) => ends.push(world.end(*address)),
        Endpoint::Entity(Entity::Host) => ends.push(unplaced(Identity::Host)),
        Endpoint::Entity(Entity::World) => ends.push(unplaced(Identity::World)),
        // These two name no single endpoint; the parser refuses them.
        Endpoint::Entity(Entity::Workloads | Entity::All) => {}
        Endpoint::Workload(name) => add_named(world, &mut ends, |of, _| of == name),
        Endpoint::Labels(labels) => {
            add_named(world, &mut ends, |_, of| of == labels);
            if ends.is_empty() {
                ends.push(unplaced(Identity::Labelled(labels)));
            }
        }
    }
    ends
}

fn unplaced(identity: Identity<'_>) -> End<'_> {
    End { identity, place: Place::Somewhere(None) }
}

/// Every Workload and AddressGroup that is `wanted` by its name and labels: a Workload at each of its addresses, a
/// group at the first address of each of its blocks that is the group's, either of them nowhere where it has none.
fn add_named<'a>(
    world: &World<'a>,
    ends: &mut Vec<End<'a>>,
    wanted: impl Fn(&str, &crate::model::Labels) -> bool,
) {
    for workload in &world.set.workloads {
        let mut labels = workload.labels.clone();
        labels.retain(|key, _| Identity::Workload(workload).label(key, world.now).is_some());
        if wanted(&workload.name, &labels) {
            add(ends, Identity::Workload(workload), workload.addresses.clone());
        }
    }
    for group in &world.set.groups {
        if wanted(&group.name, &group.labels) {
            let identity = Identity::Group(group);
            let firsts = group.cidrs.iter().map(|block| block.network());
            add(ends, identity, firsts.filter(|first| world.identify(*first) == identity).collect());
        }
    }
}

fn add<'a>(ends: &mut Vec<End<'a>>, identity: Identity<'a>, addresses: Vec<IpAddr>) {
    if addresses.is_empty() {
        ends.push(unplaced(identity));
    }
    ends.extend(addresses.into_iter().map(|address| End { identity, place: Place::At(address) }));
}

/// Every pair that can speak to each other: one family, and ICMP's own for ICMP.
fn pairs<'a>(from: &[End<'a>], to: &[End<'a>], protocol: u8) -> Vec<(End<'a>, End<'a>)> {
    let wanted = match protocol {
        1 => Some(Family::V4),
        58 => Some(Family::V6),
        _ => None,
    };
    let mut pairs = Vec::new();
    for from in from {
        for to in to {
            if let Some((from, to)) = pair(from, to, wanted) {
                pairs.push((from, to));
            }
        }
    }
    if pairs.is_empty() {
        // No address of one end can speak to one of the other: the identities are judged without them.
        for from in from {
            for to in to {
                let place = Place::Somewhere(wanted);
                pairs.push((End { place, ..*from }, End { place, ..*to }));
            }
        }
    }
    pairs
}

/// The pair with the family of its unplaced ends settled; `None` where families differ.
fn pair<'a>(from: &End<'a>, to: &End<'a>, wanted: Option<Family>) -> Option<(End<'a>, End<'a>)> {
    let mut family = wanted;
    for end in [from, to] {
        if let Place::At(address) = end.place {
            let own = Family::of(address);
            if family.is_some_and(|family| family != own) {
                return None;
            }
            family = Some(own);
        }
    }
    let settle = |end: &End<'a>| match end.place {
        Place::At(_) => *end,
        Place::Somewhere(_) => End { place: Place::Somewhere(family), ..*end },
    };
    Some((settle(from), settle(to)))
}
