//! An inventory as `Workload` and `AddressGroup` documents, so that checks and the compiler see it.

use super::names::Names;
use super::{Entry, Inventory, Kind, Problem, Time};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{AddressGroup, InterfacePattern, Origin, PolicySet, Workload, WorkloadMatch};
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Whether managed workloads get a hook, as they would have where the enforcer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Documents to be kept: how a workload is found on its host isn't known.
    None,
    /// A match on an interface that can't exist, so that compiled tables judge at both ends. For dry runs only.
    StandIn,
}

/// What became of the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// For each entry of the inventory, the name of the document that it became.
    pub documents: Vec<Option<String>>,
    /// What was left out, because the set says otherwise.
    pub problems: Vec<Problem>,
}

impl Inventory {
    /// Adds what runs at `time`, or now, to `set`. Documents that are there already win: their addresses and names stay theirs.
    ///
    /// Nodes become AddressGroups with a block for each address, so that on its own machine a node is the `host`.
    pub fn merge(&self, set: &mut PolicySet, time: Option<Time>, hooks: Hooks) -> Merged {
        let mut merged = Merged::default();
        let mut names = Names::default();
        set.workloads.iter().for_each(|workload| names.reserve(&workload.name));
        set.groups.iter().for_each(|group| names.reserve(&group.name));
        let mut owners: HashMap<IpAddr, String> = HashMap::new();
        for workload in &set.workloads {
            owners.extend(workload.addresses.iter().map(|address| (*address, workload.name.clone())));
        }
        let blocks: HashSet<IpNet> =
            set.groups.iter().flat_map(|group| group.cidrs.iter().copied()).collect();
        for entry in &self.entries {
            let mut addresses = Vec::new();
            for address in entry.addresses_at(time).filter(|_| entry.is_identity()) {
                let taken = match owners.get(&address) {
                    Some(owner) => Some(owner.as_str()),
                    None if entry.kind == Kind::Node && blocks.contains(&IpNet::from(address)) => {
                        Some("an AddressGroup")
                    }
                    None => None,
                };
                match taken {
                    Some(owner) => merged.problems.push(Problem {
                        source: Arc::clone(&entry.source),
                        message: format!(
                            "`{address}` of `{}` is left out: `{}` claims it",
                            shown(&entry.name),
                            shown(owner)
                        ),
                    }),
                    None if addresses.contains(&address) => {}
                    None => addresses.push(address),
                }
            }
            if addresses.is_empty() {
                merged.documents.push(None);
                continue;
            }
            let name = names.give(&entry.document);
            owners.extend(addresses.iter().map(|address| (*address, name.clone())));
            merged.documents.push(Some(name.clone()));
            entry.put(set, name, addresses, hooks);
        }
        merged
    }
}

impl Entry {
    fn put(&self, set: &mut PolicySet, name: String, addresses: Vec<IpAddr>, hooks: Hooks) {
        let origin = Origin { file: Arc::clone(&self.source), line: 1, column: 1 };
        let labels = self.labels.clone();
        if self.kind == Kind::Node {
            let cidrs = addresses.into_iter().map(IpNet::from).collect();
            set.groups.push(AddressGroup { name, origin, labels, cidrs });
            return;
        }
        let mut matches = Vec::new();
        if hooks == Hooks::StandIn && self.managed() {
            // No interface's name has a slash.
            let text = format!("inventory/{name}");
            matches.push(WorkloadMatch::Interface(InterfacePattern { text, glob: false }));
        }
        set.workloads.push(Workload { name, origin, labels, matches, addresses, lease: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Held, Owners};
    use enforcer_policy::model::Labels;

    fn entry(kind: Kind, name: &str, addresses: &[(&str, Option<Time>, Option<Time>)]) -> Entry {
        Entry {
            kind,
            name: name.to_owned(),
            namespace: None,
            document: name.to_owned(),
            labels: Labels::from([("app".to_owned(), name.to_owned())]),
            addresses: addresses
                .iter()
                .map(|(address, from, until)| Held {
                    address: address.parse().unwrap(),
                    from: *from,
                    until: *until,
                })
                .collect(),
            ports: Vec::new(),
            source: "test".into(),
        }
    }

    fn inventory() -> Inventory {
        let entries = vec![
            entry(Kind::Pod, "old", &[("10.0.0.1", Some(10), Some(20))]),
            entry(Kind::Pod, "new", &[("10.0.0.1", Some(20), None), ("fd00::1", None, None)]),
            entry(Kind::Node, "node", &[("10.0.0.9", None, None)]),
            entry(Kind::HostPod, "proxy", &[("10.0.0.9", None, None)]),
        ];
        Inventory { entries, ..Inventory::default() }
    }

    #[test]
    fn addresses_change_hands() {
        let inventory = inventory();
        let owners = Owners::new(&inventory);
        assert!(owners.is_changing());
        let of = |address: &str, time| {
            owners.find(address.parse().unwrap(), time).map(|index| inventory.entries[index].name.as_str())
        };
        assert_eq!([of("10.0.0.1", Some(9)), of("10.0.0.1", Some(10))], [None, Some("old")]);
        assert_eq!([of("10.0.0.1", Some(20)), of("10.0.0.1", None)], [Some("new"), Some("new")]);
        assert_eq!(of("10.0.0.9", None), Some("node"));
        let mut set = PolicySet::default();
        let merged = inventory.merge(&mut set, Some(15), Hooks::StandIn);
        let old = Some("old".to_owned());
        assert_eq!(merged.documents, [old, Some("new".to_owned()), Some("node".to_owned()), None]);
        assert_eq!(set.workloads[0].addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(set.workloads[1].addresses, ["fd00::1".parse::<IpAddr>().unwrap()]);
        assert!(!set.workloads[0].matches.is_empty());
        assert_eq!(set.groups[0].cidrs, ["10.0.0.9/32".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn documents_that_are_there_win() {
        let mut set = PolicySet::default();
        inventory().merge(&mut set, None, Hooks::None);
        let before = set.clone();
        let merged = inventory().merge(&mut set, None, Hooks::None);
        assert_eq!((set.workloads, set.groups), (before.workloads, before.groups));
        assert_eq!(merged.problems.len(), 3);
        assert_eq!(merged.problems[0].to_string(), "test: `10.0.0.1` of `new` is left out: `new` claims it");
    }
}
