//! A small cluster with its policies.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) namespaces: Vec<Labels>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) cluster_policies: Vec<ClusterPolicy>,
}

/// The namespace by index: `ns-0`, `ns-1`, …
pub(crate) fn namespace_name(index: usize) -> String {
    format!("ns-{index}")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) namespace: usize,
    pub(crate) labels: Labels,
    pub(crate) addresses: Vec<IpAddr>,
    /// Name, `TCP` or `UDP`, number.
    pub(crate) ports: Vec<(String, String, u16)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) labels: Labels,
    pub(crate) address: IpAddr,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Selector {
    pub(crate) labels: Labels,
    /// Key, operator, values.
    pub(crate) expressions: Vec<(String, String, Vec<String>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NetworkPolicy {
    pub(crate) namespace: usize,
    pub(crate) pods: Selector,
    pub(crate) types: Option<Vec<String>>,
    pub(crate) ingress: Option<Vec<Rule>>,
    pub(crate) egress: Option<Vec<Rule>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) peers: Option<Vec<Peer>>,
    pub(crate) ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Peer {
    Block { cidr: String, except: Vec<String> },
    Labels { pods: Option<Selector>, namespaces: Option<Selector> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) protocol: Option<String>,
    pub(crate) port: Option<PortName>,
    pub(crate) end: Option<u16>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PortName {
    Number(u16),
    Name(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterPolicy {
    pub(crate) admin: bool,
    /// Written as the older kinds.
    pub(crate) old: bool,
    pub(crate) subject: Group,
    pub(crate) ingress: Vec<AdminRule>,
    pub(crate) egress: Vec<AdminRule>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Group {
    Namespaces(Selector),
    Pods(Selector, Selector),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum AdminPeer {
    Group(Group),
    Nodes(Selector),
    Networks(Vec<String>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum AdminPort {
    Number(String, u16),
    Range(String, u16, u16),
    Name(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdminRule {
    /// `Accept`, `Deny` or `Pass`.
    pub(crate) action: String,
    pub(crate) peers: Vec<AdminPeer>,
    pub(crate) ports: Option<Vec<AdminPort>>,
}
