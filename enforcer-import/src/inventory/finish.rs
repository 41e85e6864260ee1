//! What only all sources together can tell: labels of namespaces, machines that only pods name, names of documents, and two
//! things with one address.

use super::names::Names;
use super::read::Reading;
use super::{Entry, Held, Kind, Time, labels};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// Names longer than this are cut.
const NAME: usize = 253;

pub(super) fn finish(reading: &mut Reading) {
    for (id, entry) in std::mem::take(&mut reading.loose) {
        if !reading.interfaces.contains(&id) {
            reading.inventory.entries.push(entry);
        }
    }
    machines(reading);
    once(reading);
    namespaces(reading);
    let mut names = Names::default();
    for entry in &mut reading.inventory.entries {
        entry.document = names.give(&entry.document);
        entry.name = entry.name.chars().take(NAME).collect();
    }
    conflicts(reading);
}

/// Nodes that no source describes, from the pods that run on them.
fn machines(reading: &mut Reading) {
    let known: BTreeSet<String> = (reading.inventory.entries.iter())
        .filter(|entry| entry.kind == Kind::Node)
        .map(|entry| entry.name.clone())
        .collect();
    let mut unknown: BTreeMap<String, (BTreeSet<IpAddr>, Arc<str>)> = BTreeMap::new();
    for (name, address, source) in std::mem::take(&mut reading.machines) {
        if !known.contains(&name) {
            unknown.entry(name).or_insert((BTreeSet::new(), source)).0.insert(address);
        }
    }
    for (name, (addresses, source)) in unknown {
        let mut own = Labels::new();
        reading.label(&name, &mut own, labels::NODE, &name);
        let addresses =
            addresses.into_iter().map(|address| Held { address, from: None, until: None }).collect();
        reading.inventory.entries.push(Entry {
            kind: Kind::Node,
            document: format!("node.{name}"),
            name,
            namespace: None,
            labels: own,
            addresses,
            ports: Vec::new(),
            source,
        });
    }
}

/// The same thing in two dumps is one thing. Without a label nothing is an identity.
fn once(reading: &mut Reading) {
    let mut seen = BTreeSet::new();
    let mut nameless = Vec::new();
    reading.inventory.entries.retain(|entry| {
        if entry.labels.is_empty() {
            nameless.push(entry.name.clone());
            return false;
        }
        let addresses: Vec<_> = entry.addresses.iter().map(|held| (held.address, held.from)).collect();
        seen.insert((entry.kind, entry.namespace.clone(), entry.document.clone(), addresses))
    });
    for name in nameless {
        reading.problem(format!("`{}` is left out: it has no label", shown(&name)));
    }
}

fn namespaces(reading: &mut Reading) {
    let mut carried: BTreeMap<String, Labels> = BTreeMap::new();
    let known = reading.inventory.namespaces.clone();
    for (name, own) in &known {
        let mut prefixed = Labels::new();
        for (key, value) in own {
            reading.label(name, &mut prefixed, &labels::of_namespace(key), value);
        }
        carried.insert(name.clone(), prefixed);
    }
    let mut unknown = BTreeSet::new();
    for entry in &mut reading.inventory.entries {
        let Some(namespace) = &entry.namespace else { continue };
        match carried.get(namespace) {
            Some(prefixed) => entry.labels.extend(prefixed.clone()),
            None => {
                unknown.insert(namespace.clone());
            }
        }
        // The API server puts this on every namespace.
        let own = labels::of_namespace("kubernetes.io/metadata.name");
        if labels::insert(&mut Labels::new(), &own, namespace).is_ok() {
            entry.labels.insert(own, namespace.clone());
        }
    }
    for name in unknown {
        reading.problem(format!(
            "the namespace `{}` is in no source: its own labels aren't known",
            shown(&name)
        ));
    }
}

/// Two things that have one address at one time.
fn conflicts(reading: &mut Reading) {
    let mut holders: HashMap<IpAddr, Vec<(Held, usize)>> = HashMap::new();
    for (index, entry) in
        reading.inventory.entries.iter().enumerate().filter(|(_, entry)| entry.is_identity())
    {
        let moments = |held: &&Held| held.until.is_none_or(|until| held.from.is_none_or(|from| from < until));
        for held in entry.addresses.iter().filter(moments) {
            holders.entry(held.address).or_default().push((*held, index));
        }
    }
    let mut found = Vec::new();
    for (address, mut list) in holders {
        list.sort_by_key(|(held, index)| (held.from.unwrap_or(Time::MIN), *index));
        for pair in list.windows(2) {
            let [(first, a), (second, b)] = pair else { continue };
            let overlap = first.until.is_none_or(|until| second.from.unwrap_or(Time::MIN) < until);
            if overlap && a != b {
                found.push((*b, address, *a));
            }
        }
    }
    found.sort_unstable();
    for (later, address, earlier) in found {
        let entries = &reading.inventory.entries;
        let (first, second) = (shown(&entries[earlier].document), shown(&entries[later].document));
        let source = Arc::clone(&entries[later].source);
        let message = format!("`{first}` and `{second}` have the address `{address}` at the same time");
        reading.source = source;
        reading.problem(message);
    }
}
