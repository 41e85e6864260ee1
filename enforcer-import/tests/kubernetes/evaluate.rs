//! What Kubernetes does, pod by pod and rule by rule, as its API documentation says. Shares nothing with the importer.

use crate::cluster::*;
use ipnet::IpNet;
use std::net::IpAddr;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) address: IpAddr,
    /// `None` for everything that isn't a pod.
    pub(crate) pod: Option<&'a Pod>,
}

/// A connection: protocol by name, destination port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    pub(crate) from: End<'a>,
    pub(crate) to: End<'a>,
    pub(crate) protocol: &'a str,
    pub(crate) port: u16,
}

fn selects(selector: &Selector, labels: &Labels) -> bool {
    for (key, value) in &selector.labels {
        if labels.get(key) != Some(value) {
            return false;
        }
    }
    for (key, operator, values) in &selector.expressions {
        let holds = match (operator.as_str(), labels.get(key)) {
            ("In", Some(value)) => values.contains(value),
            ("In", None) => false,
            ("NotIn", Some(value)) => !values.contains(value),
            ("NotIn", None) => true,
            ("Exists", value) => value.is_some(),
            ("DoesNotExist", value) => value.is_none(),
            _ => panic!("{operator}"),
        };
        if !holds {
            return false;
        }
    }
    true
}

fn in_block(cidr: &str, address: IpAddr) -> bool {
    cidr.parse::<IpNet>().unwrap().contains(&address)
}

impl Cluster {
    fn namespace_labels(&self, index: usize) -> Labels {
        let mut labels = self.namespaces[index].clone();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace_name(index));
        labels
    }

    /// Both ends have a say; whoever is no pod agrees to everything.
    pub(crate) fn allows(&self, connection: &Connection<'_>) -> bool {
        self.end_allows(connection, true) && self.end_allows(connection, false)
    }

    fn end_allows(&self, connection: &Connection<'_>, ingress: bool) -> bool {
        let (own, peer) =
            if ingress { (connection.to, connection.from) } else { (connection.from, connection.to) };
        let Some(pod) = own.pod else { return true };
        match self.cluster_verdict(connection, pod, peer, ingress, true) {
            Some("Accept") => return true,
            Some("Deny") => return false,
            _ => {}
        }
        let mut isolated = false;
        for policy in &self.policies {
            if policy.namespace != pod.namespace || !selects(&policy.pods, &pod.labels) {
                continue;
            }
            let word = if ingress { "Ingress" } else { "Egress" };
            let applies = match &policy.types {
                Some(types) if !types.is_empty() => types.iter().any(|kind| kind == word),
                _ => ingress || policy.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
            };
            if !applies {
                continue;
            }
            isolated = true;
            let rules = if ingress { &policy.ingress } else { &policy.egress };
            for rule in rules.iter().flatten() {
                if self.rule_allows(policy, rule, connection, peer) {
                    return true;
                }
            }
        }
        if isolated {
            return false;
        }
        self.cluster_verdict(connection, pod, peer, ingress, false) != Some("Deny")
    }

    fn rule_allows(
        &self,
        policy: &NetworkPolicy,
        rule: &Rule,
        connection: &Connection<'_>,
        peer: End<'_>,
    ) -> bool {
        let peers = rule.peers.as_deref().unwrap_or_default();
        let ports = rule.ports.as_deref().unwrap_or_default();
        (peers.is_empty() || peers.iter().any(|one| self.peer_matches(policy, one, peer)))
            && (ports.is_empty() || ports.iter().any(|one| port_matches(one, connection)))
    }

    fn peer_matches(&self, policy: &NetworkPolicy, peer: &Peer, end: End<'_>) -> bool {
        match peer {
            Peer::Block { cidr, except } => {
                in_block(cidr, end.address) && !except.iter().any(|out| in_block(out, end.address))
            }
            Peer::Labels { pods, namespaces } => {
                let Some(pod) = end.pod else { return false };
                let namespace = match namespaces {
                    Some(selector) => selects(selector, &self.namespace_labels(pod.namespace)),
                    None => pod.namespace == policy.namespace,
                };
                namespace && pods.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
            }
        }
    }

    /// The action of the first rule that matches, in order of priority (the policies' own order).
    fn cluster_verdict(
        &self,
        connection: &Connection<'_>,
        pod: &Pod,
        peer: End<'_>,
        ingress: bool,
        admin: bool,
    ) -> Option<&str> {
        for policy in self.cluster_policies.iter().filter(|policy| policy.admin == admin) {
            if !self.group_holds(&policy.subject, pod) {
                continue;
            }
            for rule in if ingress { &policy.ingress } else { &policy.egress } {
                let peers = rule.peers.iter().any(|one| match one {
                    AdminPeer::Group(group) => peer.pod.is_some_and(|pod| self.group_holds(group, pod)),
                    AdminPeer::Nodes(selector) => self
                        .nodes
                        .iter()
                        .any(|node| node.address == peer.address && selects(selector, &node.labels)),
                    AdminPeer::Networks(blocks) => blocks.iter().any(|block| in_block(block, peer.address)),
                });
                let ports = rule.ports.as_ref().is_none_or(|ports| {
                    ports.iter().any(|port| match port {
                        AdminPort::Number(protocol, number) => {
                            protocol == connection.protocol && *number == connection.port
                        }
                        AdminPort::Range(protocol, first, last) => {
                            protocol == connection.protocol && (*first..=*last).contains(&connection.port)
                        }
                        AdminPort::Name(name) => has_port(connection, name, connection.protocol),
                    })
                });
                if peers && ports {
                    return Some(&rule.action);
                }
            }
        }
        None
    }

    fn group_holds(&self, group: &Group, pod: &Pod) -> bool {
        let namespace = self.namespace_labels(pod.namespace);
        match group {
            Group::Namespaces(selector) => selects(selector, &namespace),
            Group::Pods(namespaces, pods) => selects(namespaces, &namespace) && selects(pods, &pod.labels),
        }
    }
}

/// Whether the destination is a pod with a port of this name, and the connection goes to it.
fn has_port(connection: &Connection<'_>, name: &str, protocol: &str) -> bool {
    connection.to.pod.is_some_and(|pod| {
        pod.ports
            .iter()
            .any(|(own, kind, number)| own == name && kind == protocol && *number == connection.port)
    })
}

fn port_matches(port: &Port, connection: &Connection<'_>) -> bool {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    if protocol != connection.protocol {
        return false;
    }
    match (&port.port, port.end) {
        (None, _) => true,
        (Some(PortName::Number(first)), end) => (*first..=end.unwrap_or(*first)).contains(&connection.port),
        (Some(PortName::Name(name)), _) => has_port(connection, name, protocol),
    }
}
