//! Random documents: workloads, groups, policies, segments.

use super::pools::{EXPIRIES, NOW, addresses, group_blocks, origin};
use super::selectors::{labels, lease, port_spec, selector};
use crate::model::{
    Action, AddressGroup, FlowEntry, FlowPolicy, InterfacePattern, Labels, OnDeny, OnStaleIdentity,
    PolicyMode, Segment, SegmentMode, Tier, Workload, WorkloadMatch,
};
use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeSet;

/// How a random workload is found.
#[derive(Clone, Copy, Debug)]
enum Found {
    Interface,
    Elsewhere,
    Unit,
    Cgroup,
    Container,
}

impl Found {
    fn matches(self, name: &str) -> Vec<WorkloadMatch> {
        match self {
            Found::Interface => {
                let text = format!("ve-{name}");
                vec![WorkloadMatch::Interface(InterfacePattern { text, glob: false })]
            }
            Found::Elsewhere => vec![],
            Found::Unit => vec![WorkloadMatch::Unit(format!("{name}.service"))],
            Found::Cgroup => {
                vec![WorkloadMatch::Cgroup { path: format!("/random/{name}"), descendants: true }]
            }
            Found::Container => {
                let labels = Labels::from([("com.example.name".to_owned(), name.to_owned())]);
                vec![WorkloadMatch::Container { labels }]
            }
        }
    }
}

/// One to four workloads (`w0`…) that share no address; each has at least one.
pub(super) fn workloads() -> impl Strategy<Value = Vec<Workload>> {
    let found = prop_oneof![
        12 => Just(Found::Interface),
        4 => Just(Found::Elsewhere),
        1 => Just(Found::Unit),
        1 => Just(Found::Cgroup),
        1 => Just(Found::Container),
    ];
    let raw = (found, labels(), lease(), subsequence(addresses(), 1..=3));
    vec(raw, 1..=4).prop_map(|raw| {
        let mut taken = BTreeSet::new();
        let mut workloads = Vec::new();
        for (number, (found, labels, lease, mut addresses)) in raw.into_iter().enumerate() {
            addresses.retain(|address| taken.insert(*address));
            if addresses.is_empty() {
                continue;
            }
            let name = format!("w{number}");
            let matches = found.matches(&name);
            let mut workload = Workload { name, origin: origin(), labels, matches, addresses, lease: None };
            workload.set_lease(lease);
            workloads.push(workload);
        }
        workloads
    })
}

/// Up to four groups (`g0`…) that share no block; each has at least one.
pub(super) fn groups() -> impl Strategy<Value = Vec<AddressGroup>> {
    vec((labels(), subsequence(group_blocks(), 1..=3)), 0..=4).prop_map(|raw| {
        let mut taken = BTreeSet::new();
        let mut groups = Vec::new();
        for (number, (labels, mut cidrs)) in raw.into_iter().enumerate() {
            cidrs.retain(|block| taken.insert(*block));
            if !cidrs.is_empty() {
                groups.push(AddressGroup { name: format!("g{number}"), origin: origin(), labels, cidrs });
            }
        }
        groups
    })
}

fn flow_entry() -> impl Strategy<Value = FlowEntry> {
    let action = prop_oneof![2 => Just(Action::Allow), 1 => Just(Action::Deny)];
    (action, vec(selector(), 1..=2), vec(selector(), 1..=2), vec(port_spec(), 1..=3)).prop_map(
        |(action, from, to, ports)| FlowEntry { origin: origin(), action, from, to, ports, why: None },
    )
}

/// One policy, named by its caller.
pub(super) fn policy() -> impl Strategy<Value = FlowPolicy> {
    let tier =
        prop_oneof![4 => Just(Tier::Application), 2 => Just(Tier::Guardrail), 2 => Just(Tier::Baseline)];
    let mode = prop_oneof![3 => Just(PolicyMode::Enforce), 1 => Just(PolicyMode::Audit)];
    let expires = option::weighted(0.4, select(&EXPIRIES[..]));
    (tier, mode, expires, vec(flow_entry(), 1..=3)).prop_map(|(tier, mode, expires, flows)| FlowPolicy {
        name: String::new(),
        origin: origin(),
        tier,
        mode,
        expires: expires.map(|seconds| NOW + SignedDuration::from_secs(seconds)),
        flows,
    })
}

/// Up to six policies (`p0`…).
pub(super) fn policies() -> impl Strategy<Value = Vec<FlowPolicy>> {
    prop_oneof![9 => vec(policy(), 1..=6), 1 => Just(vec![])].prop_map(|mut policies| {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy.name = format!("p{number}");
        }
        policies
    })
}

/// Any of the three modes, `enforce` most often.
pub(super) fn mode() -> impl Strategy<Value = SegmentMode> {
    prop_oneof![4 => Just(SegmentMode::Enforce), 2 => Just(SegmentMode::Audit), 1 => Just(SegmentMode::Off)]
}

/// Up to three segments (`s0`…).
pub(super) fn segments() -> impl Strategy<Value = Vec<Segment>> {
    vec((vec(selector(), 1..=2), mode()), 0..=3).prop_map(|raw| {
        raw.into_iter()
            .enumerate()
            .map(|(number, (select, mode))| Segment {
                name: format!("s{number}"),
                origin: origin(),
                select,
                mode,
                on_deny: OnDeny::Drop,
                quarantine: None,
                on_stale_identity: OnStaleIdentity::Keep,
            })
            .collect()
    })
}
