//! Random changes of a policy set that is in force. Workloads stay, with their names and hooks.

use super::documents::{groups, policy, segments};
use super::selectors::{labels, lease};
use crate::model::{AddressGroup, FlowPolicy, Labels, Lease, PolicyMode, PolicySet, Segment};
use proptest::prelude::*;
use proptest::sample::Index;

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    DropPolicy(Index),
    AddPolicy(FlowPolicy),
    FlipMode(Index),
    Relabel(Index, Labels),
    Lease(Index, Option<Lease>),
    DropAddress(Index),
    Groups(Vec<AddressGroup>),
    Segments(Vec<Segment>),
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any::<Index>().prop_map(Change::DropPolicy),
        3 => policy().prop_map(Change::AddPolicy),
        1 => any::<Index>().prop_map(Change::FlipMode),
        1 => (any::<Index>(), labels()).prop_map(|(index, labels)| Change::Relabel(index, labels)),
        2 => (any::<Index>(), lease()).prop_map(|(index, lease)| Change::Lease(index, lease)),
        1 => any::<Index>().prop_map(Change::DropAddress),
        1 => groups().prop_map(Change::Groups),
        1 => segments().prop_map(Change::Segments),
    ]
}

impl Change {
    /// Changes `set`; `number` keeps the names of added policies apart.
    pub(super) fn apply(self, set: &mut PolicySet, number: usize) {
        match self {
            Change::DropPolicy(index) => {
                if !set.policies.is_empty() {
                    set.policies.remove(index.index(set.policies.len()));
                }
            }
            Change::AddPolicy(policy) => {
                set.policies.push(FlowPolicy { name: format!("added{number}"), ..policy });
            }
            Change::FlipMode(index) => {
                if !set.policies.is_empty() {
                    let number = index.index(set.policies.len());
                    let mode = &mut set.policies[number].mode;
                    *mode = match *mode {
                        PolicyMode::Enforce => PolicyMode::Audit,
                        PolicyMode::Audit => PolicyMode::Enforce,
                    };
                }
            }
            Change::Relabel(index, labels) => {
                if !set.workloads.is_empty() {
                    let number = index.index(set.workloads.len());
                    let lease = set.workloads[number].lease.take();
                    set.workloads[number].labels = labels;
                    set.workloads[number].set_lease(lease);
                }
            }
            Change::Lease(index, lease) => {
                if !set.workloads.is_empty() {
                    let number = index.index(set.workloads.len());
                    set.workloads[number].set_lease(lease);
                }
            }
            Change::DropAddress(index) => {
                let mut several: Vec<_> =
                    set.workloads.iter_mut().filter(|workload| workload.addresses.len() > 1).collect();
                if !several.is_empty() {
                    let number = index.index(several.len());
                    several[number].addresses.pop();
                }
            }
            Change::Groups(groups) => set.groups = groups,
            Change::Segments(segments) => set.segments = segments,
        }
    }
}
