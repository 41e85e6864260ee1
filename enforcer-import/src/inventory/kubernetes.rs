//! Pods, nodes and namespaces, as `kubectl get -o json` or `-o yaml` prints them.

use super::read::Reading;
use super::{Entry, Held, Kind, NamedPort, Time, labels};
use enforcer_policy::diagnostic::shown;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Pod {
    metadata: Metadata,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    host_network: Option<bool>,
    node_name: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
    restart_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    start_time: Option<Timestamp>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    state: Option<State>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    finished_at: Option<Timestamp>,
}

/// An instant in nanoseconds; the few that don't fit are as far away as can be.
pub(super) fn nanoseconds(at: Timestamp) -> Time {
    Time::try_from(at.as_nanosecond()).unwrap_or(if at.as_nanosecond() < 0 { Time::MIN } else { Time::MAX })
}

/// Number of a protocol as Kubernetes names it. Nothing means TCP.
pub(crate) fn protocol(name: Option<&str>) -> Option<u8> {
    match name {
        None | Some("TCP") => Some(6),
        Some("UDP") => Some(17),
        Some("SCTP") => Some(132),
        Some(_) => None,
    }
}

pub(super) fn pod(reading: &mut Reading, pod: Pod) {
    let Pod { metadata, spec, status } = pod;
    let namespace = metadata.namespace.unwrap_or_else(|| "default".to_owned());
    let name = metadata.name;
    let full = format!("{namespace}/{name}");
    let mut own = reading.labels(&full, metadata.labels.unwrap_or_default());
    reading.label(&full, &mut own, labels::NAMESPACE, &namespace);
    let host = spec.host_network == Some(true);
    let ports = ports(reading, &full, &spec);
    let mut by_name: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for port in &ports {
        let protocol = match port.protocol {
            6 => "tcp",
            17 => "udp",
            _ => "sctp",
        };
        by_name.entry(&port.name).or_default().insert(format!("{protocol}-{}", port.port));
    }
    for (port, numbers) in by_name {
        let value = numbers.into_iter().collect::<Vec<_>>().join("_");
        reading.label(&full, &mut own, &labels::of_port(port), &value);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    let texts = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip).chain(status.pod_ip);
    for text in texts {
        if let Some(address) = reading.address(&full, &text)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    if let (Some(node), Some(text)) = (spec.node_name, status.host_ip)
        && let Some(address) = reading.address(&full, &text)
    {
        let source = Arc::clone(&reading.source);
        reading.machines.push((node, address, source));
    }
    let from = status.start_time.map(nanoseconds);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let finished = status.container_statuses.unwrap_or_default().into_iter();
    let finished = finished.filter_map(|status| status.state?.terminated?.finished_at).max().map(nanoseconds);
    let until = finished.filter(|_| ended);
    if ended && until.is_none() {
        // Its address may be another's by now, and since when isn't known.
        addresses.clear();
    }
    let addresses = addresses.into_iter().map(|address| Held { address, from, until }).collect();
    let kind = if host { Kind::HostPod } else { Kind::Pod };
    let document = format!("{namespace}.{name}");
    let source = Arc::clone(&reading.source);
    let entry =
        Entry { kind, name, namespace: Some(namespace), document, labels: own, addresses, ports, source };
    reading.inventory.entries.push(entry);
}

fn ports(reading: &mut Reading, of: &str, spec: &PodSpec) -> Vec<NamedPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut ports = BTreeSet::new();
    for port in spec
        .containers
        .iter()
        .flatten()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
    {
        let Some(name) = port.name.clone().filter(|name| !name.is_empty()) else { continue };
        match protocol(port.protocol.as_deref()) {
            Some(protocol) => {
                ports.insert(NamedPort { name, protocol, port: port.container_port });
            }
            None => reading.problem(format!(
                "`{}`: the port `{}` has an unknown protocol and is left out",
                shown(of),
                shown(&name)
            )),
        }
    }
    ports.into_iter().collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    metadata: Metadata,
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

pub(super) fn node(reading: &mut Reading, node: Node) {
    let name = node.metadata.name;
    let mut own = reading.labels(&name, node.metadata.labels.unwrap_or_default());
    reading.label(&name, &mut own, labels::NODE, &name);
    let mut addresses = Vec::new();
    for at in node.status.addresses.unwrap_or_default() {
        if matches!(at.kind.as_str(), "InternalIP" | "ExternalIP")
            && let Some(address) = reading.address(&name, &at.address)
        {
            let held = Held { address, from: None, until: None };
            if !addresses.contains(&held) {
                addresses.push(held);
            }
        }
    }
    let source = Arc::clone(&reading.source);
    let document = format!("node.{name}");
    reading.inventory.entries.push(Entry {
        kind: Kind::Node,
        name,
        namespace: None,
        document,
        labels: own,
        addresses,
        ports: Vec::new(),
        source,
    });
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Namespace {
    metadata: Metadata,
}

pub(super) fn namespace(reading: &mut Reading, namespace: Namespace) {
    let labels = namespace.metadata.labels.unwrap_or_default();
    reading.inventory.namespaces.insert(namespace.metadata.name, labels.into());
}
