//! `AdminNetworkPolicy` and `BaselineAdminNetworkPolicy` of `policy.networking.k8s.io/v1alpha1`, and `ClusterNetworkPolicy` of
//! `v1alpha2`, which says the same in other words.
//!
//! Where part of a rule can't be carried over, an allowing rule matches less, and a denying or passing one denies everything,
//! as the API asks of implementations that don't understand a field.

use super::admin::{Effect, Ordered};
use super::kubernetes::{Cluster, EGRESS, INGRESS, Object};
use super::network_policy::{everywhere, named, rect};
use super::reader::Reader;
use super::selector;
use crate::algebra::{Block, Conjunction, PortSet, Who};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::yaml::Node;

type Ports = Vec<(Option<Conjunction>, PortSet)>;

pub(super) fn read(
    reader: &mut Reader<'_>,
    cluster: &mut Cluster<'_>,
    object: &Object<'_, '_>,
    kind: &str,
) -> Option<()> {
    let spec = reader.fields(object.spec, "`spec`", &["subject", "priority", "tier", "ingress", "egress"])?;
    let baseline = match (kind, spec.get("tier").and_then(Node::text)) {
        ("ClusterNetworkPolicy", Some("Admin")) | ("AdminNetworkPolicy", None) => false,
        ("ClusterNetworkPolicy", Some("Baseline")) | ("BaselineAdminNetworkPolicy", None) => true,
        _ => {
            reader.error(
                object.spec,
                "a ClusterNetworkPolicy has the `tier` `Admin` or `Baseline`, the others have none",
            );
            return None;
        }
    };
    let priority = match (kind, spec.get("priority")) {
        ("BaselineAdminNetworkPolicy", None) => 0,
        ("BaselineAdminNetworkPolicy", Some(node)) => {
            reader.error(node, "a BaselineAdminNetworkPolicy has no `priority`");
            return None;
        }
        (_, Some(node)) => {
            let number =
                node.text().and_then(|text| text.parse::<u32>().ok()).filter(|number| *number <= 1000);
            if number.is_none() {
                reader.error(node, "`priority` is a number from 0 to 1000");
            }
            number?
        }
        (_, None) => {
            reader.error(object.spec, format!("`{}` has no `priority`", shown(&object.name)));
            return None;
        }
    };
    let Some(subject) = spec.get("subject") else {
        reader.error(object.spec, "`subject` is missing");
        return None;
    };
    let fields = reader.fields(subject, "`subject`", &["namespaces", "pods"])?;
    if fields.strange {
        reader.error(subject, "this subject has a field that isn't known, so whom it means isn't either");
        return None;
    }
    let subject = match (fields.get("namespaces"), fields.get("pods")) {
        (Some(node), None) => selector::read(reader, node, selector::pods(), true)?,
        (None, Some(node)) => pods(reader, node)?,
        _ => {
            reader.error(subject, "`subject` has either `namespaces` or `pods`");
            return None;
        }
    }?;
    for (way, (section, peers)) in [("ingress", "from"), ("egress", "to")].into_iter().enumerate() {
        let rules = spec.get(section).map_or(Some(&[][..]), |node| reader.list(node, section))?;
        for (index, node) in rules.iter().enumerate() {
            let rule = rule(reader, cluster, object, node, (section, peers, index), &subject, way);
            if let Some((effect, rects)) = rule {
                let ordered = Ordered { priority, effect, rects };
                if baseline { cluster.baseline[way].push(ordered) } else { cluster.admin[way].push(ordered) }
            }
        }
    }
    Some(())
}

fn rule(
    reader: &mut Reader<'_>,
    cluster: &mut Cluster<'_>,
    object: &Object<'_, '_>,
    node: &Node<'_>,
    (section, peers, index): (&str, &str, usize),
    subject: &Conjunction,
    way: usize,
) -> Option<(Effect, Vec<crate::algebra::Rect>)> {
    let fields = reader.fields(node, "a rule", &["name", "action", peers, "ports", "protocols"])?;
    let action = fields.get("action").and_then(Node::text).unwrap_or_default();
    let mut effect = match action {
        "Allow" | "Accept" => Effect::Allow,
        "Deny" => Effect::Deny,
        "Pass" => Effect::Pass,
        other => {
            reader.error(node, format!("`{}` is no `action` that is known", shown(other)));
            return None;
        }
    };
    let name = fields.get("name").and_then(Node::text).map(|name| format!(" {}", shown(name)));
    let number = cluster.rule(object, format!("{section}[{index}]{}", name.unwrap_or_default()));
    let mut whole = !fields.strange;
    let mut whom = Vec::new();
    let items = fields.get(peers).map_or(Some(&[][..]), |node| reader.list(node, peers))?;
    if items.is_empty() {
        reader.error(node, format!("`{peers}` names at least one peer"));
        return None;
    }
    for item in items {
        match peer(reader, cluster, item, way) {
            Some(found) => whom.extend(found),
            None => whole = false,
        }
    }
    let mut ports: Ports = Vec::new();
    let listed = fields.get("ports").or(fields.get("protocols"));
    let items = listed.map_or(Some(&[][..]), |node| reader.list(node, "`ports`"))?;
    if items.is_empty() {
        ports.push((None, PortSet::all()));
    }
    for item in items {
        match port(reader, cluster, item) {
            Some(found) => ports.extend(found),
            None => whole = false,
        }
    }
    if !whole {
        if effect == Effect::Allow {
            if fields.strange {
                return None;
            }
        } else {
            effect = Effect::Deny;
            whom = vec![Who::member(selector::pods()), Who::outside()];
            ports = vec![(None, PortSet::all())];
        }
    }
    let mut rects = Vec::new();
    for peer in &whom {
        for (condition, set) in &ports {
            rects.extend(rect(subject, peer, condition.as_ref(), set, number, way == INGRESS));
        }
    }
    Some((effect, rects))
}

/// `pods`: a selector on namespaces and one on pods. The inner `None`: nothing fulfils both.
fn pods(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Option<Conjunction>> {
    let fields = reader.fields(node, "`pods`", &["namespaceSelector", "podSelector"])?;
    if fields.strange {
        reader.error(node, "this has a field that isn't known, so which pods it means isn't either");
        return None;
    }
    let mut asked = Some(selector::pods());
    for (name, namespaces) in [("namespaceSelector", true), ("podSelector", false)] {
        if let (Some(base), Some(node)) = (asked.clone(), fields.get(name)) {
            asked = selector::read(reader, node, base, namespaces)?;
        }
    }
    Some(asked)
}

fn peer(reader: &mut Reader<'_>, cluster: &Cluster<'_>, node: &Node<'_>, way: usize) -> Option<Vec<Who>> {
    let fields =
        reader.fields(node, "a peer", &["namespaces", "pods", "nodes", "networks", "domainNames"])?;
    if fields.strange {
        return None;
    }
    let member = |asked: Option<Conjunction>| asked.map(Who::member).into_iter().collect();
    if let Some(node) = fields.get("namespaces") {
        return Some(member(selector::read(reader, node, selector::pods(), true)?));
    }
    if let Some(node) = fields.get("pods") {
        return Some(member(pods(reader, node)?));
    }
    if way == EGRESS
        && let Some(node) = fields.get("networks")
    {
        let mut whom = Vec::new();
        for item in reader.list(node, "`networks`")? {
            whom.extend(Block::new(reader.block(item, "a network")?, []).map(everywhere).unwrap_or_default());
        }
        return Some(whom);
    }
    if way == EGRESS
        && let Some(node) = fields.get("nodes")
    {
        let wanted = selector::read(reader, node, Conjunction::default(), false)?;
        let found = wanted.map_or(Some(Vec::new()), |wanted| cluster.nodes(&wanted));
        if found.is_none() {
            let help = "give `--inventory` with `kubectl get pods,nodes,namespaces -A -o json`";
            reader.loss(node, "which addresses these nodes have isn't known", help);
        }
        return Some(found?.into_iter().map(|block| Who::outside().at(block)).collect());
    }
    if way == EGRESS
        && let Some(node) = fields.get("domainNames")
    {
        reader.loss(
            node,
            "names of domains can't be carried over",
            "name their addresses in an AddressGroup",
        );
        return None;
    }
    reader.error(node, "a peer is `namespaces` or `pods`; of egress rules, `nodes` or `networks` as well");
    None
}

fn port(reader: &mut Reader<'_>, cluster: &Cluster<'_>, node: &Node<'_>) -> Option<Ports> {
    let known = ["portNumber", "portRange", "namedPort", "tcp", "udp", "sctp", "destinationNamedPort"];
    let fields = reader.fields(node, "a port", &known)?;
    if fields.strange {
        return None;
    }
    for (name, protocol) in [("tcp", 6), ("udp", 17), ("sctp", 132)] {
        let Some(node) = fields.get(name) else { continue };
        let inner = reader.fields(node, name, &["destinationPort"])?;
        if inner.strange {
            return None;
        }
        let Some(node) = inner.get("destinationPort") else {
            return Some(vec![(None, PortSet::protocol(protocol))]);
        };
        let inner = reader.fields(node, "`destinationPort`", &["number", "range"])?;
        return match (inner.get("number"), inner.get("range")) {
            (Some(number), None) => {
                let port = reader.port(number, "`number`")?;
                Some(vec![(None, PortSet::range(protocol, port, port))])
            }
            (None, Some(range)) => span(reader, range, Some(protocol)),
            _ => {
                reader.error(node, "`destinationPort` has either a `number` or a `range`");
                None
            }
        };
    }
    if let Some(node) = fields.get("namedPort").or(fields.get("destinationNamedPort")) {
        let name = reader.text(node, "a port's name")?;
        return named(reader, cluster, node, name, None);
    }
    if let Some(node) = fields.get("portRange") {
        return span(reader, node, None);
    }
    let Some(node) = fields.get("portNumber") else {
        reader.error(node, "a port is a number, a range or a name");
        return None;
    };
    let inner = reader.fields(node, "`portNumber`", &["protocol", "port"])?;
    let protocol = reader.protocol(inner.get("protocol"))?;
    let Some(number) = inner.get("port") else {
        reader.error(node, "`portNumber` has a `port`");
        return None;
    };
    let port = reader.port(number, "`port`")?;
    Some(vec![(None, PortSet::range(protocol, port, port))])
}

fn span(reader: &mut Reader<'_>, node: &Node<'_>, protocol: Option<u8>) -> Option<Ports> {
    let fields = reader.fields(node, "a range of ports", &["protocol", "start", "end"])?;
    let protocol = match protocol {
        Some(protocol) => protocol,
        None => reader.protocol(fields.get("protocol"))?,
    };
    let (Some(start), Some(end)) = (fields.get("start"), fields.get("end")) else {
        reader.error(node, "a range has a `start` and an `end`");
        return None;
    };
    let (first, last) = (reader.port(start, "`start`")?, reader.port(end, "`end`")?);
    if last < first {
        reader.error(node, format!("the range {first} to {last} runs backwards"));
        return None;
    }
    Some(vec![(None, PortSet::range(protocol, first, last))])
}
