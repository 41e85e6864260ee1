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
use crate::algebra::{Block, Conjunction, PortSet, Who, without_whole_families};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::yaml::Node;

type Ports = Vec<(Option<Conjunction>, PortSet)>;

/// What tells the kinds apart.
#[derive(Clone, Copy)]
struct Version {
    /// What lets flows through, and what leaves them to others; the last only where there are others.
    actions: &'static [(&'static str, Effect)],
    /// Where ports stand.
    ports: &'static str,
    /// Fields of an entry of `ports`.
    port: &'static [&'static str],
    /// Most rules of a section.
    rules: usize,
}

const ALPHA1: &[&str] = &["portNumber", "portRange", "namedPort"];
const ADMIN: Version = Version {
    actions: &[("Allow", Effect::Allow), ("Deny", Effect::Deny), ("Pass", Effect::Pass)],
    ports: "ports",
    port: ALPHA1,
    rules: 100,
};
const BASELINE: Version = Version {
    actions: &[("Allow", Effect::Allow), ("Deny", Effect::Deny)],
    ports: "ports",
    port: ALPHA1,
    rules: 100,
};
const ALPHA2: Version = Version {
    actions: &[("Accept", Effect::Allow), ("Deny", Effect::Deny), ("Pass", Effect::Pass)],
    ports: "protocols",
    port: &["tcp", "udp", "sctp", "destinationNamedPort"],
    rules: 25,
};
/// Most peers of a rule, and most blocks or names of a peer.
const PEERS: usize = 100;
const BLOCKS: usize = 25;

pub(super) fn read(
    reader: &mut Reader<'_>,
    cluster: &mut Cluster<'_>,
    object: &Object<'_, '_>,
    kind: &str,
) -> Option<()> {
    let spec = reader.fields(object.spec, "`spec`", &["subject", "priority", "tier", "ingress", "egress"])?;
    let version = match kind {
        "AdminNetworkPolicy" => ADMIN,
        "BaselineAdminNetworkPolicy" => BASELINE,
        _ => ALPHA2,
    };
    if kind == "BaselineAdminNetworkPolicy" && object.name != "default" {
        reader
            .error(object.spec, "the one BaselineAdminNetworkPolicy that a cluster has is called `default`");
        return None;
    }
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
        let rules =
            spec.get(section).map_or(Some(&[][..]), |node| bounded(reader, node, section, version.rules))?;
        for (index, node) in rules.iter().enumerate() {
            let at = At { version, section, peers, index, way };
            let rule = rule(reader, cluster, object, node, at, &subject);
            if let Some((effect, rects)) = rule {
                let ordered = Ordered { priority, effect, rects };
                if baseline { cluster.baseline[way].push(ordered) } else { cluster.admin[way].push(ordered) }
            }
        }
    }
    Some(())
}

/// Where a rule stands.
#[derive(Clone, Copy)]
struct At {
    version: Version,
    section: &'static str,
    peers: &'static str,
    index: usize,
    way: usize,
}

/// A list that the API bounds.
fn bounded<'n, 's>(
    reader: &mut Reader<'_>,
    node: &'n Node<'s>,
    what: &str,
    most: usize,
) -> Option<&'n [Node<'s>]> {
    let items = reader.list(node, what)?;
    if items.len() > most {
        reader.error(
            node,
            format!("`{what}` has {} entries, and the API takes no more than {most}", items.len()),
        );
        return None;
    }
    Some(items)
}

fn rule(
    reader: &mut Reader<'_>,
    cluster: &mut Cluster<'_>,
    object: &Object<'_, '_>,
    node: &Node<'_>,
    at: At,
    subject: &Conjunction,
) -> Option<(Effect, Vec<crate::algebra::Rect>)> {
    let At { version, section, peers, index, way } = at;
    let fields = reader.fields(node, "a rule", &["name", "action", peers, version.ports])?;
    let action = fields.get("action").and_then(Node::text).unwrap_or_default();
    let Some((_, effect)) = version.actions.iter().find(|(word, _)| *word == action) else {
        let words: Vec<String> = version.actions.iter().map(|(word, _)| format!("`{word}`")).collect();
        let place = fields.get("action").unwrap_or(node);
        reader
            .error(place, format!("an `action` is one of {}, and not `{}`", words.join(", "), shown(action)));
        return None;
    };
    let mut effect = *effect;
    let name = fields.get("name").and_then(Node::text).map(|name| format!(" {}", shown(name)));
    let number = cluster.rule(object, format!("{section}[{index}]{}", name.unwrap_or_default()));
    let mut whole = !fields.strange;
    let mut whom = Vec::new();
    let items = fields.get(peers).map_or(Some(&[][..]), |node| bounded(reader, node, peers, PEERS))?;
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
    let items = fields
        .get(version.ports)
        .map_or(Some(&[][..]), |node| bounded(reader, node, version.ports, PEERS))?;
    if items.is_empty() {
        ports.push((None, PortSet::all()));
    }
    for item in items {
        match port(reader, cluster, item, version) {
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
    let whom = without_whole_families(whom);
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
    if fields.count() > 1 {
        reader.error(node, "a peer has one field: who is meant by several is written as several peers");
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
        for item in bounded(reader, node, "networks", BLOCKS)? {
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

fn port(reader: &mut Reader<'_>, cluster: &Cluster<'_>, node: &Node<'_>, version: Version) -> Option<Ports> {
    let fields = reader.fields(node, "a port", version.port)?;
    if fields.strange {
        return None;
    }
    if fields.count() > 1 {
        reader.error(node, "an entry of ports has one field: several are written as several entries");
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
        let known: Vec<String> = version.port.iter().map(|field| format!("`{field}`")).collect();
        reader.error(node, format!("an entry of `{}` has one of {}", version.ports, known.join(", ")));
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
