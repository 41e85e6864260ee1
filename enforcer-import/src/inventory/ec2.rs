//! Instances and network interfaces, as `aws ec2 describe-instances` and `describe-network-interfaces` print them.
//!
//! Security groups belong to interfaces: an instance whose interfaces have different groups becomes an entry for each.
//! Private addresses only, because that is what groups are matched by and what flow logs show.

use super::kubernetes::nanoseconds;
use super::read::Reading;
use super::{Entry, Held, Kind, labels};
use enforcer_policy::model::Labels;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Instance {
    instance_id: String,
    vpc_id: Option<String>,
    state: Option<State>,
    private_ip_address: Option<String>,
    security_groups: Option<Vec<Group>>,
    tags: Option<Vec<Tag>>,
    network_interfaces: Option<Vec<Interface>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    name: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Group {
    group_id: String,
    group_name: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    key: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Interface {
    network_interface_id: String,
    interface_type: Option<String>,
    vpc_id: Option<String>,
    groups: Option<Vec<Group>>,
    attachment: Option<Attachment>,
    private_ip_address: Option<String>,
    private_ip_addresses: Option<Vec<Private>>,
    ipv6_addresses: Option<Vec<V6>>,
    ipv4_prefixes: Option<Vec<serde_json::Value>>,
    ipv6_prefixes: Option<Vec<serde_json::Value>>,
    tag_set: Option<Vec<Tag>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    attach_time: Option<Timestamp>,
    instance_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Private {
    private_ip_address: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct V6 {
    ipv6_address: String,
}

pub(super) fn instance(reading: &mut Reading, instance: Instance) {
    // It is listed for an hour after its end, and its addresses may be another's by then.
    if instance.state.and_then(|state| state.name).as_deref() == Some("terminated") {
        return;
    }
    let id = instance.instance_id;
    let mut base = tags(reading, &id, instance.tags.unwrap_or_default());
    if let Some(vpc) = &instance.vpc_id {
        reading.label(&id, &mut base, "ec2.vpc", vpc);
    }
    reading.label(&id, &mut base, "ec2.type", "instance");
    let mut parts: BTreeMap<Labels, (Vec<Held>, String)> = BTreeMap::new();
    for interface in instance.network_interfaces.unwrap_or_default() {
        let mut own = base.clone();
        groups(reading, &id, &mut own, interface.groups.clone().unwrap_or_default());
        let name = interface.network_interface_id.clone();
        reading.interfaces.insert(name.clone());
        let held = held(reading, &id, interface);
        parts.entry(own).or_insert((Vec::new(), name)).0.extend(held);
    }
    if parts.is_empty() {
        groups(reading, &id, &mut base, instance.security_groups.unwrap_or_default());
        let address = reading.address(&id, &instance.private_ip_address.unwrap_or_default());
        let held = address.map(|address| Held { address, from: None, until: None });
        parts.insert(base, (held.into_iter().collect(), String::new()));
    }
    let several = parts.len() > 1;
    for (labels, (addresses, interface)) in parts {
        let document = if several { format!("{id}.{interface}") } else { id.clone() };
        let entry = entry(reading, Kind::Instance, document, labels, addresses);
        reading.inventory.entries.push(entry);
    }
}

pub(super) fn interface(reading: &mut Reading, mut interface: Interface) {
    let id = interface.network_interface_id.clone();
    let mut own = tags(reading, &id, interface.tag_set.take().unwrap_or_default());
    if let Some(vpc) = interface.vpc_id.take() {
        reading.label(&id, &mut own, "ec2.vpc", &vpc);
    }
    let instance = interface.attachment.as_ref().and_then(|attachment| attachment.instance_id.clone());
    let kind = if instance.is_some() { Kind::Instance } else { Kind::Interface };
    let what = interface.interface_type.clone().unwrap_or_else(|| "interface".to_owned());
    reading.label(&id, &mut own, "ec2.type", if instance.is_some() { "instance" } else { &what });
    groups(reading, &id, &mut own, interface.groups.clone().unwrap_or_default());
    let addresses = held(reading, &id, interface);
    let name = instance.map_or_else(|| id.clone(), |instance| format!("{instance}.{id}"));
    let entry = entry(reading, kind, name, own, addresses);
    reading.loose.push((id, entry));
}

fn entry(reading: &Reading, kind: Kind, name: String, labels: Labels, addresses: Vec<Held>) -> Entry {
    let (document, source) = (name.clone(), Arc::clone(&reading.source));
    Entry { kind, name, namespace: None, document, labels, addresses, ports: Vec::new(), source }
}

fn tags(reading: &mut Reading, of: &str, tags: Vec<Tag>) -> Labels {
    reading.labels(of, tags.into_iter().map(|tag| (labels::tag_key(&tag.key), tag.value)))
}

fn groups(reading: &mut Reading, of: &str, own: &mut Labels, groups: Vec<Group>) {
    if !groups.is_empty() {
        reading.label(of, own, labels::GROUPS, &groups.len().to_string());
    }
    for group in groups {
        let key = labels::of_group(&group.group_id);
        let name = group.group_name.filter(|name| labels::insert(&mut Labels::new(), &key, name).is_ok());
        reading.label(of, own, &key, name.as_deref().filter(|name| !name.is_empty()).unwrap_or("member"));
    }
}

fn held(reading: &mut Reading, of: &str, interface: Interface) -> Vec<Held> {
    let from = interface.attachment.and_then(|attachment| attachment.attach_time).map(nanoseconds);
    let delegated =
        interface.ipv4_prefixes.iter().chain(&interface.ipv6_prefixes).any(|list| !list.is_empty());
    if delegated {
        let id = enforcer_policy::diagnostic::shown(&interface.network_interface_id);
        reading.problem(format!("`{id}`: prefixes delegated to the interface are left out"));
    }
    let texts =
        interface.private_ip_addresses.unwrap_or_default().into_iter().map(|at| at.private_ip_address);
    let texts = texts.chain(interface.private_ip_address);
    let texts =
        texts.chain(interface.ipv6_addresses.unwrap_or_default().into_iter().map(|at| at.ipv6_address));
    let mut held: Vec<Held> = Vec::new();
    for text in texts.collect::<Vec<_>>() {
        if let Some(address) = reading.address(of, &text)
            && !held.iter().any(|other| other.address == address)
        {
            held.push(Held { address, from, until: None });
        }
    }
    held
}
