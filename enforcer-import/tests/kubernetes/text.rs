//! A cluster as `kubectl` prints it.

use crate::cluster::*;
use serde_json::{Map, Value, json};

fn selector(selector: &Selector) -> Value {
    let mut out = Map::new();
    if !selector.labels.is_empty() {
        out.insert("matchLabels".into(), json!(selector.labels));
    }
    if !selector.expressions.is_empty() {
        let expressions: Vec<Value> = selector
            .expressions
            .iter()
            .map(|(key, operator, values)| match values.is_empty() {
                true => json!({"key": key, "operator": operator}),
                false => json!({"key": key, "operator": operator, "values": values}),
            })
            .collect();
        out.insert("matchExpressions".into(), json!(expressions));
    }
    Value::Object(out)
}

fn put(into: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        into.insert(key.to_owned(), value);
    }
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(one).collect())
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::Block { cidr, except } if except.is_empty() => json!({"ipBlock": {"cidr": cidr}}),
        Peer::Block { cidr, except } => json!({"ipBlock": {"cidr": cidr, "except": except}}),
        Peer::Labels { pods, namespaces } => {
            let mut out = Map::new();
            put(&mut out, "podSelector", pods.as_ref().map(selector));
            put(&mut out, "namespaceSelector", namespaces.as_ref().map(selector));
            Value::Object(out)
        }
    }
}

fn port(port: &Port) -> Value {
    let mut out = Map::new();
    put(&mut out, "protocol", port.protocol.as_ref().map(|protocol| json!(protocol)));
    put(
        &mut out,
        "port",
        port.port.as_ref().map(|port| match port {
            PortName::Number(number) => json!(number),
            PortName::Name(name) => json!(name),
        }),
    );
    put(&mut out, "endPort", port.end.map(|end| json!(end)));
    Value::Object(out)
}

fn rule(rule: &Rule, peers: &str) -> Value {
    let mut out = Map::new();
    put(&mut out, peers, rule.peers.as_ref().map(|of| list(of, peer)));
    put(&mut out, "ports", rule.ports.as_ref().map(|of| list(of, port)));
    Value::Object(out)
}

fn network_policy(index: usize, policy: &NetworkPolicy) -> Value {
    let mut spec = Map::new();
    spec.insert("podSelector".into(), selector(&policy.pods));
    put(&mut spec, "policyTypes", policy.types.as_ref().map(|types| json!(types)));
    put(&mut spec, "ingress", policy.ingress.as_ref().map(|rules| list(rules, |one| rule(one, "from"))));
    put(&mut spec, "egress", policy.egress.as_ref().map(|rules| list(rules, |one| rule(one, "to"))));
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("policy-{index}"), "namespace": namespace_name(policy.namespace)}, "spec": spec})
}

fn group(group: &Group) -> Value {
    match group {
        Group::Namespaces(namespaces) => json!({"namespaces": selector(namespaces)}),
        Group::Pods(namespaces, pods) => {
            json!({"pods": {"namespaceSelector": selector(namespaces), "podSelector": selector(pods)}})
        }
    }
}

fn admin_peer(peer: &AdminPeer) -> Value {
    match peer {
        AdminPeer::Group(of) => group(of),
        AdminPeer::Nodes(nodes) => json!({"nodes": selector(nodes)}),
        AdminPeer::Networks(blocks) => json!({"networks": blocks}),
    }
}

fn admin_port(port: &AdminPort, old: bool) -> Value {
    match (port, old) {
        (AdminPort::Number(protocol, number), true) => {
            json!({"portNumber": {"protocol": protocol, "port": number}})
        }
        (AdminPort::Range(protocol, first, last), true) => {
            json!({"portRange": {"protocol": protocol, "start": first, "end": last}})
        }
        (AdminPort::Name(name), true) => json!({"namedPort": name}),
        (AdminPort::Number(protocol, number), false) => {
            json!({protocol.to_lowercase(): {"destinationPort": {"number": number}}})
        }
        (AdminPort::Range(protocol, first, last), false) => {
            json!({protocol.to_lowercase(): {"destinationPort": {"range": {"start": first, "end": last}}}})
        }
        (AdminPort::Name(name), false) => json!({"destinationNamedPort": name}),
    }
}

fn cluster_policy(index: usize, policy: &ClusterPolicy) -> Value {
    let rules = |rules: &[AdminRule], peers: &str| {
        list(rules, |rule| {
            let mut out = Map::new();
            let action = if policy.old && rule.action == "Accept" { "Allow" } else { &rule.action };
            out.insert("action".into(), json!(action));
            out.insert(peers.into(), list(&rule.peers, admin_peer));
            let ports = rule.ports.as_ref().map(|ports| list(ports, |port| admin_port(port, policy.old)));
            put(&mut out, if policy.old { "ports" } else { "protocols" }, ports);
            Value::Object(out)
        })
    };
    let mut spec = Map::new();
    spec.insert("subject".into(), group(&policy.subject));
    spec.insert("ingress".into(), rules(&policy.ingress, "from"));
    spec.insert("egress".into(), rules(&policy.egress, "to"));
    let (kind, version) = match (policy.old, policy.admin) {
        (false, _) => ("ClusterNetworkPolicy", "v1alpha2"),
        (true, true) => ("AdminNetworkPolicy", "v1alpha1"),
        (true, false) => ("BaselineAdminNetworkPolicy", "v1alpha1"),
    };
    if !policy.old {
        spec.insert("tier".into(), json!(if policy.admin { "Admin" } else { "Baseline" }));
    }
    if kind != "BaselineAdminNetworkPolicy" {
        // Of two with one number the first that is read goes before.
        spec.insert("priority".into(), json!(index / 2));
    }
    let name = if kind.starts_with("Baseline") { "default".to_owned() } else { format!("policy-{index}") };
    json!({"apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": kind,
        "metadata": {"name": name}, "spec": spec})
}

/// All policies in one list.
pub(crate) fn policies(cluster: &Cluster) -> String {
    let mut items: Vec<Value> =
        cluster.policies.iter().enumerate().map(|(index, policy)| network_policy(index, policy)).collect();
    let more = cluster.cluster_policies.iter().enumerate();
    items.extend(more.map(|(index, policy)| cluster_policy(index, policy)));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    serde_json::to_string_pretty(&list).unwrap()
}

/// `kubectl get pods,nodes,namespaces -o json`.
pub(crate) fn inventory(cluster: &Cluster) -> String {
    let mut items = Vec::new();
    for (index, pod) in cluster.pods.iter().enumerate() {
        let ports = list(
            &pod.ports,
            |(name, protocol, number)| json!({"name": name, "protocol": protocol, "containerPort": number}),
        );
        let ips: Vec<Value> = pod.addresses.iter().map(|address| json!({"ip": address})).collect();
        items.push(json!({"kind": "Pod",
            "metadata": {"name": format!("pod-{index}"), "namespace": namespace_name(pod.namespace), "labels": pod.labels},
            "spec": {"containers": [{"ports": ports}]}, "status": {"phase": "Running", "podIPs": ips}}));
    }
    for (index, node) in cluster.nodes.iter().enumerate() {
        items.push(
            json!({"kind": "Node", "metadata": {"name": format!("node-{index}"), "labels": node.labels},
            "status": {"addresses": [{"type": "InternalIP", "address": node.address}]}}),
        );
    }
    for (index, labels) in cluster.namespaces.iter().enumerate() {
        items.push(
            json!({"kind": "Namespace", "metadata": {"name": namespace_name(index), "labels": labels}}),
        );
    }
    json!({"kind": "List", "items": items}).to_string()
}
