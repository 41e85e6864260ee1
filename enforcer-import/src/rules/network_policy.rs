//! `NetworkPolicy` of `networking.k8s.io/v1`.

use super::kubernetes::{Cluster, EGRESS, INGRESS, Object};
use super::reader::Reader;
use super::selector;
use crate::algebra::{Block, Condition, Conjunction, PortSet, Rect, Who, without_whole_families};
use crate::inventory::labels;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::yaml::Node;

/// Ports of a rule: what the destination must fulfil, and the numbers.
type Ports = Vec<(Option<Conjunction>, PortSet)>;

pub(super) fn read(
    reader: &mut Reader<'_>,
    cluster: &mut Cluster<'_>,
    object: &Object<'_, '_>,
) -> Option<()> {
    let known = ["podSelector", "policyTypes", "ingress", "egress"];
    let spec = reader.fields(object.spec, "`spec`", &known)?;
    let namespace = Conjunction::of(labels::NAMESPACE, Condition::is(&object.namespace));
    let subject = match spec.get("podSelector") {
        Some(node) => selector::read(reader, node, namespace.clone(), false)?,
        None => Some(namespace.clone()),
    };
    let sections = [("ingress", "from"), ("egress", "to")].map(|(name, peers)| (name, peers, spec.get(name)));
    let mut types = [true, false];
    let mut written = false;
    if let Some(node) = spec.get("policyTypes") {
        let items = reader.list(node, "`policyTypes`")?;
        written = !items.is_empty();
        if written {
            types = [false, false];
        }
        for item in items {
            match reader.text(item, "a policy type")? {
                "Ingress" => types[INGRESS] = true,
                "Egress" => types[EGRESS] = true,
                other => reader.error(item, format!("`{}` is neither `Ingress` nor `Egress`", shown(other))),
            }
        }
    }
    if !written && let Some(node) = sections[EGRESS].2 {
        types[EGRESS] = !reader.list(node, "`egress`")?.is_empty();
    }
    // Nothing can carry contradictory labels: such a policy selects nobody.
    let subject = subject?;
    for (way, (name, peers, section)) in sections.into_iter().enumerate() {
        if !types[way] {
            continue;
        }
        cluster.isolated[way].push(subject.clone());
        let rules = section.map_or(Some(&[][..]), |node| reader.list(node, name))?;
        for (index, node) in rules.iter().enumerate() {
            let number = cluster.rule(object, format!("{name}[{index}]"));
            let rule = Reading { namespace: &namespace, subject: &subject, number, way };
            if let Some(rects) = rule.rule(reader, cluster, node, peers) {
                cluster.allowed[way].extend(rects);
            }
        }
    }
    Some(())
}

struct Reading<'a> {
    namespace: &'a Conjunction,
    subject: &'a Conjunction,
    number: usize,
    way: usize,
}

impl Reading<'_> {
    /// What one rule allows. Where part of it can't be carried over, less: never more.
    fn rule(
        &self,
        reader: &mut Reader<'_>,
        cluster: &Cluster<'_>,
        node: &Node<'_>,
        peers: &str,
    ) -> Option<Vec<Rect>> {
        let fields = reader.fields(node, "a rule", &[peers, "ports"])?;
        if fields.strange {
            return None;
        }
        let list = |reader: &mut Reader<'_>, name: &str| {
            fields
                .get(name)
                .map_or(Some(Vec::new()), |node| Some(reader.list(node, name)?.iter().collect::<Vec<_>>()))
        };
        let (peer_nodes, port_nodes) = (list(reader, peers)?, list(reader, "ports")?);
        let mut whom = Vec::new();
        if peer_nodes.is_empty() {
            whom = vec![Who::member(selector::pods()), Who::outside()];
        }
        for node in peer_nodes {
            whom.extend(self.peer(reader, node).unwrap_or_default());
        }
        let whom = without_whole_families(whom);
        let mut ports: Ports = Vec::new();
        if port_nodes.is_empty() {
            ports.push((None, PortSet::all()));
        }
        let mut numbers = PortSet::default();
        for node in port_nodes {
            for (condition, set) in port(reader, cluster, node).unwrap_or_default() {
                match condition {
                    None => numbers = numbers.or(&set),
                    Some(_) => ports.push((condition, set)),
                }
            }
        }
        if !numbers.is_empty() {
            ports.push((None, numbers));
        }
        let mut rects = Vec::new();
        for peer in &whom {
            for (condition, set) in &ports {
                rects.extend(rect(
                    self.subject,
                    peer,
                    condition.as_ref(),
                    set,
                    self.number,
                    self.way == INGRESS,
                ));
            }
        }
        Some(rects)
    }

    fn peer(&self, reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<Who>> {
        let fields = reader.fields(node, "a peer", &["podSelector", "namespaceSelector", "ipBlock"])?;
        if fields.strange {
            return None;
        }
        let (pods, namespaces) = (fields.get("podSelector"), fields.get("namespaceSelector"));
        match (pods, namespaces, fields.get("ipBlock")) {
            (None, None, Some(block)) => ip_block(reader, block),
            (pods, namespaces, None) if pods.is_some() || namespaces.is_some() => {
                let mut asked = match namespaces {
                    Some(node) => selector::read(reader, node, selector::pods(), true)?,
                    None => Some(self.namespace.clone()),
                };
                if let (Some(base), Some(node)) = (asked.clone(), pods) {
                    asked = selector::read(reader, node, base, false)?;
                }
                Some(asked.map(Who::member).into_iter().collect())
            }
            _ => {
                reader.error(
                    node,
                    "a peer has either an `ipBlock`, or a `podSelector`, a `namespaceSelector` or both",
                );
                None
            }
        }
    }
}

/// A rectangle whose destination fulfils a condition; `None` where nothing can.
pub(super) fn rect(
    subject: &Conjunction,
    peer: &Who,
    condition: Option<&Conjunction>,
    ports: &PortSet,
    rule: usize,
    inward: bool,
) -> Option<Rect> {
    let (mut subject, mut peer) = (subject.clone(), peer.clone());
    if let Some(condition) = condition {
        if inward {
            subject = subject.and(condition)?;
        } else {
            // Only pods have named ports.
            peer.member = Some(peer.member?.and(condition)?);
        }
    }
    Some(Rect { subject, peer, ports: ports.clone(), rule })
}

/// Addresses name pods as well as everything else.
pub(super) fn everywhere(block: Block) -> Vec<Who> {
    vec![Who::member(selector::pods()).at(block.clone()), Who::outside().at(block)]
}

fn ip_block(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<Who>> {
    let fields = reader.fields(node, "`ipBlock`", &["cidr", "except"])?;
    if fields.strange {
        return None;
    }
    let Some(cidr) = fields.get("cidr") else {
        reader.error(node, "an `ipBlock` has a `cidr`");
        return None;
    };
    let net = reader.block(cidr, "`cidr`")?;
    let mut except = Vec::new();
    for item in fields.get("except").map_or(Some(&[][..]), |node| reader.list(node, "`except`"))? {
        let out = reader.block(item, "an entry of `except`")?;
        if !net.contains(&out) {
            reader.error(item, format!("`{out}` doesn't lie inside `{net}`"));
        }
        except.push(out);
    }
    Some(Block::new(net, except).map(everywhere).unwrap_or_default())
}

fn port(reader: &mut Reader<'_>, cluster: &Cluster<'_>, node: &Node<'_>) -> Option<Ports> {
    let fields = reader.fields(node, "a port", &["port", "endPort", "protocol"])?;
    if fields.strange {
        return None;
    }
    let protocol = reader.protocol(fields.get("protocol"))?;
    let end = fields.get("endPort");
    let Some(at) = fields.get("port") else {
        if let Some(end) = end {
            reader.error(end, "`endPort` needs a `port`");
        }
        return Some(vec![(None, PortSet::protocol(protocol))]);
    };
    let text = reader.text(at, "`port`")?;
    if text.bytes().any(|byte| !byte.is_ascii_digit()) {
        if let Some(end) = end {
            reader.error(end, "`endPort` needs a `port` that is a number");
            return None;
        }
        return named(reader, cluster, at, text, Some(protocol));
    }
    let first = reader.port(at, "`port`")?;
    let last = end.map_or(Some(first), |end| reader.port(end, "`endPort`"))?;
    if last < first {
        reader.error(node, format!("`endPort` {last} lies before `port` {first}"));
        return None;
    }
    Some(vec![(None, PortSet::range(protocol, first, last))])
}

/// A port by name: a loss where no inventory says what it stands for.
pub(super) fn named(
    reader: &mut Reader<'_>,
    cluster: &Cluster<'_>,
    node: &Node<'_>,
    name: &str,
    protocol: Option<u8>,
) -> Option<Ports> {
    let found = cluster.named(name, protocol);
    if found.is_none() {
        let (message, help) = match cluster.inventory {
            None => (
                format!("the port `{}` has a name: which number it stands for isn't known", shown(name)),
                "pods say so: give `--inventory` with `kubectl get pods,nodes,namespaces -A -o json`",
            ),
            Some(_) => (format!("no pod of the inventory has a port called `{}`", shown(name)), ""),
        };
        reader.loss(node, message, help);
    }
    if found.is_none() && cluster.inventory.is_some() {
        return Some(Vec::new());
    }
    Some(found?.into_iter().map(|(condition, ports)| (Some(condition), ports)).collect())
}
