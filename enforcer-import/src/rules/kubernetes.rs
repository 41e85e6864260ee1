//! A cluster's policies: which objects there are, and how the kinds work together.

use super::admin::{Admin, Ordered, assemble};
use super::model::{Model, Rule};
use super::parts::Parts;
use super::reader::{Findings, Reader, beginning};
use super::{Imported, cluster, lower, network_policy, selector};
use crate::algebra::{Block, Condition, Conjunction, PortSet, Rect, Who};
use crate::inventory::{Inventory, Kind, labels};
use enforcer_policy::diagnostic::{Diagnostic, shown};
use enforcer_policy::model::{
    Action, Entity, FlowEntry, FlowPolicy, Origin, PolicyMode, PortSpec, Selector, Tier,
};
use enforcer_policy::source::{Source, Span};
use enforcer_policy::yaml::{Node, Value, documents};
use std::collections::{BTreeMap, BTreeSet};

/// Everything read so far.
pub(super) struct Cluster<'i> {
    pub(super) inventory: Option<&'i Inventory>,
    pub(super) rules: Vec<Rule>,
    /// Pods that a NetworkPolicy isolates, for ingress and for egress.
    pub(super) isolated: [Vec<Conjunction>; 2],
    /// What NetworkPolicies allow, ingress and egress.
    pub(super) allowed: [Vec<Rect>; 2],
    /// Rules of an administrator, ingress and egress.
    pub(super) admin: [Vec<Ordered>; 2],
    /// Rules of last resort, ingress and egress.
    pub(super) baseline: [Vec<Ordered>; 2],
    names: BTreeSet<(String, String)>,
    /// Named ports of the inventory's pods, by label key: the values that there are.
    ports: BTreeMap<&'i str, BTreeSet<&'i str>>,
    /// Kinds of other systems, by name and group: the first of each, and how many there are.
    foreign: BTreeMap<(String, String), (Source, Span, usize)>,
    read: usize,
}

/// Groups of the Kubernetes API without policies for networks: pods, workloads, roles, and so on.
const SILENT: [&str; 8] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "discovery.k8s.io",
    "events.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
];

/// Which end a rule speaks for; an index into pairs.
pub(super) const INGRESS: usize = 0;
pub(super) const EGRESS: usize = 1;

/// A policy object: who it is, and where.
pub(super) struct Object<'n, 's> {
    pub(super) base: String,
    pub(super) shown: String,
    pub(super) place: String,
    pub(super) at: (Source, Span),
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) spec: &'n Node<'s>,
    /// `kubernetes.io/description`, where the author gave one.
    pub(super) words: Option<String>,
}

pub(super) fn import(sources: &[Source], inventory: Option<&Inventory>) -> Result<Imported, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let mut cluster = Cluster {
        inventory,
        rules: Vec::new(),
        isolated: Default::default(),
        allowed: Default::default(),
        admin: Default::default(),
        baseline: Default::default(),
        names: BTreeSet::new(),
        ports: BTreeMap::new(),
        foreign: BTreeMap::new(),
        read: 0,
    };
    let labels =
        inventory.into_iter().flat_map(|inventory| &inventory.entries).flat_map(|entry| &entry.labels);
    for (key, value) in labels.filter(|(key, _)| key.starts_with(labels::PORT)) {
        cluster.ports.entry(key).or_default().insert(value);
    }
    let parts = Parts::of(sources);
    for source in parts.sources() {
        let before = cluster.read;
        let mut reader = Reader { source, findings: &mut findings };
        let broken = documents(source, |root, _| object(&mut reader, &mut cluster, &root, None));
        findings.errors.extend(broken);
        if cluster.read == before && findings.errors.is_empty() {
            let message =
                "no NetworkPolicy, ClusterNetworkPolicy or (Baseline)AdminNetworkPolicy stands here";
            findings.errors.push(
                Diagnostic::error(source, beginning(), message)
                    .help("for example, from `kubectl get networkpolicies -A -o yaml`"),
            );
        }
    }
    if !findings.errors.is_empty() {
        return Err(parts.whole(findings.errors));
    }
    findings.losses.extend(cluster.strangers());
    findings.losses.sort_by(|a, b| place(a).cmp(&place(b)));
    let model = match model(cluster) {
        Ok(model) => Model { v6: findings.v6, ..model },
        Err(rule) => {
            let place = rule.at.or_else(|| Some((sources.first()?.clone(), beginning())));
            let message =
                format!("{} leaves more pieces of other rules than can be written down", rule.object);
            let help = "import fewer policies at a time, or with fewer rules that deny or pass before others";
            let told = |(source, span)| Diagnostic::error(&source, span, message).help(help);
            return Err(parts.whole(place.map(told).into_iter().collect()));
        }
    };
    if model.rules.iter().any(|rule| rule.object.starts_with("ClusterNetworkPolicy")) {
        findings.notes.push(
            "policies of one tier with the same priority are taken in the order in which they were read"
                .to_owned(),
        );
    }
    findings
        .notes
        .push("pods and their node reach each other whatever policies say, as in Kubernetes".to_owned());
    let mut imported = lower::lower(&model, inventory, findings);
    imported.losses = parts.whole(imported.losses);
    imported.policies.push(own_node());
    Ok(imported)
}

fn place(found: &Diagnostic) -> (&str, u32, u32) {
    let span = found.primary.span;
    (&found.primary.source.name, span.line, span.column)
}

/// One object, or a list of them.
///
/// What a list says of its items' kind and version holds where they don't.
fn object(reader: &mut Reader<'_>, cluster: &mut Cluster<'_>, node: &Node<'_>, listed: Option<(&str, &str)>) {
    if let Value::Sequence(items) = &node.value {
        items.iter().for_each(|item| object(reader, cluster, item, listed));
        return;
    }
    let Value::Mapping(entries) = &node.value else {
        reader.error(node, format!("an object is a mapping, and this is {}", node.describe()));
        return;
    };
    let get = |name: &str| {
        entries
            .iter()
            .find(|entry| entry.key.text() == Some(name))
            .map(|entry| &entry.value)
            .filter(|node| !node.is_null())
    };
    let kind = get("kind").and_then(Node::text).or(listed.map(|(kind, _)| kind)).unwrap_or_default();
    let version =
        get("apiVersion").and_then(Node::text).or(listed.map(|(_, version)| version)).unwrap_or_default();
    if let Some(of) = kind.strip_suffix("List") {
        let items = get("items").map_or(Some(&[][..]), |items| reader.list(items, "`items`"));
        for item in items.unwrap_or_default() {
            object(reader, cluster, item, Some((of, version)).filter(|(of, _)| !of.is_empty()));
        }
        cluster.read += 1;
        return;
    }
    let (group, _) = version.split_once('/').unwrap_or(("", version));
    let short = match kind {
        "NetworkPolicy" => "networkpolicy",
        "AdminNetworkPolicy" => "adminnetworkpolicy",
        "BaselineAdminNetworkPolicy" => "baselineadminnetworkpolicy",
        "ClusterNetworkPolicy" => "clusternetworkpolicy",
        // What these groups hold says nothing of who may reach whom.
        _ if !version.is_empty() && SILENT.contains(&group) => return,
        other => {
            cluster.foreign(node, reader.source, other, group);
            return;
        }
    };
    let expected = if short == "networkpolicy" { "networking.k8s.io" } else { "policy.networking.k8s.io" };
    if !version.is_empty() && group != expected {
        cluster.foreign(node, reader.source, kind, group);
        return;
    }
    cluster.read += 1;
    let metadata = get("metadata");
    let (mut name, mut namespace, mut words) = (None, None, None);
    if let Some(Node { value: Value::Mapping(fields), .. }) = metadata {
        for entry in fields {
            match entry.key.text() {
                Some("name") => name = entry.value.text(),
                Some("namespace") => namespace = entry.value.text(),
                Some("annotations") => {
                    if let Value::Mapping(notes) = &entry.value.value {
                        let wanted = |key: Option<&str>| {
                            key.is_some_and(|key| key == "description" || key.ends_with("/description"))
                        };
                        let found = notes.iter().find(|note| wanted(note.key.text()));
                        words = found.and_then(|note| note.value.text()).map(str::to_owned);
                    }
                }
                _ => {}
            }
        }
    }
    let (Some(name), Some(spec)) = (name.filter(|name| !name.is_empty()), get("spec")) else {
        reader.error(node, format!("a {kind} has a `metadata.name` and a `spec`"));
        return;
    };
    let namespaced = short == "networkpolicy";
    let namespace = if namespaced { namespace.unwrap_or("default") } else { "" };
    let full = if namespaced { format!("{namespace}.{name}") } else { name.to_owned() };
    if !selector::valid(reader, metadata.unwrap_or(node), labels::NAMESPACE, namespace) {
        return;
    }
    if !cluster.names.insert((kind.to_owned(), full.clone())) {
        reader.error(node, format!("a {kind} `{}` was read before", shown(&full.replacen('.', "/", 1))));
        return;
    }
    let title = if namespaced { format!("{}/{}", shown(namespace), shown(name)) } else { shown(name) };
    let object = Object {
        base: format!("{short}.{full}"),
        shown: format!("{kind} {title}"),
        place: format!("{}:{}", shown(&reader.source.name), node.span.line),
        at: (reader.source.clone(), metadata.map_or(node.span, |node| node.span)),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        spec,
        words,
    };
    match short {
        "networkpolicy" => network_policy::read(reader, cluster, &object),
        _ => cluster::read(reader, cluster, &object, kind),
    };
}

impl Cluster<'_> {
    /// An object of a kind that isn't known: there may be thousands, and one place is enough to find them.
    fn foreign(&mut self, node: &Node<'_>, source: &Source, kind: &str, group: &str) {
        let first = || (source.clone(), node.span, 0);
        self.foreign.entry((kind.to_owned(), group.to_owned())).or_insert_with(first).2 += 1;
    }

    /// What is said of those.
    fn strangers(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        self.foreign.iter().map(|((kind, group), (source, span, count))| {
            let of = if group.is_empty() { String::new() } else { format!(" of `{}`", shown(group)) };
            let message = match count {
                1 => format!("an object of the kind `{}`{of} is no policy that is known here", shown(kind)),
                _ => format!(
                    "{count} objects of the kind `{}`{of} are no policies that are known here",
                    shown(kind)
                ),
            };
            Diagnostic::warning(source, *span, message)
                .help("where it says who may reach whom, write that by hand")
        })
    }

    pub(super) fn rule(&mut self, object: &Object<'_, '_>, part: String) -> usize {
        self.rules.push(Rule {
            base: object.base.clone(),
            object: object.shown.clone(),
            part,
            place: object.place.clone(),
            at: Some(object.at.clone()),
            words: object.words.clone(),
        });
        self.rules.len() - 1
    }

    /// Pods with a port of this name, and the numbers it stands for: conditions on the destination.
    pub(super) fn named(&self, name: &str, protocol: Option<u8>) -> Option<Vec<(Conjunction, PortSet)>> {
        let key = labels::of_port(name);
        let values = self.ports.get(&*key)?;
        let mut by_ports: Vec<(PortSet, BTreeSet<String>)> = Vec::new();
        for value in values {
            let mut ports = PortSet::default();
            for (word, number) in value.split('_').filter_map(|part| part.split_once('-')) {
                let of = match word {
                    "tcp" => 6,
                    "udp" => 17,
                    _ => 132,
                };
                if let Ok(port) = number.parse()
                    && protocol.is_none_or(|protocol| protocol == of)
                {
                    ports = ports.or(&PortSet::range(of, port, port));
                }
            }
            match by_ports.iter_mut().find(|(known, _)| *known == ports) {
                Some((_, values)) => {
                    values.insert((*value).to_owned());
                }
                None if ports.is_empty() => {}
                None => by_ports.push((ports, BTreeSet::from([(*value).to_owned()]))),
            }
        }
        let condition = |values| Conjunction::of(&*key, Condition::In(values));
        Some(by_ports.into_iter().map(|(ports, values)| (condition(values), ports)).collect())
    }

    /// The addresses of the nodes that a selector means; nothing without an inventory that knows nodes.
    pub(super) fn nodes(&self, wanted: &Conjunction) -> Option<Vec<Block>> {
        let nodes = self.inventory?.entries.iter().filter(|entry| entry.kind == Kind::Node);
        let nodes: Vec<_> = nodes.collect();
        if nodes.is_empty() {
            return None;
        }
        let fitting = nodes.into_iter().filter(|node| wanted.fits(&node.labels));
        Some(
            fitting
                .flat_map(|node| node.addresses_at(None))
                .filter_map(|at| Block::new(at.into(), []))
                .collect(),
        )
    }
}

/// `Err` is the rule that comes apart into too many pieces.
fn model(cluster: Cluster<'_>) -> Result<Model, Box<Rule>> {
    let Cluster { mut rules, isolated, allowed, admin, baseline, .. } = cluster;
    let everyone = [Who::member(selector::pods()), Who::outside()];
    let mut model = Model {
        members: vec![selector::pods()],
        wall: "pods-only-as-allowed".to_owned(),
        called: "pods",
        ..Model::default()
    };
    let directions = isolated.into_iter().zip(allowed).zip(admin).zip(baseline);
    for (way, (((isolated, allowed), admin), baseline)) in directions.enumerate() {
        rules.push(Rule {
            base: "pods-not-isolated".to_owned(),
            object: "pods that no policy isolates".to_owned(),
            part: if way == INGRESS { "for ingress" } else { "for egress" }.to_owned(),
            place: String::new(),
            at: None,
            words: None,
        });
        let open = rules.len() - 1;
        let found = assemble(Admin { isolated, allowed, admin, baseline, everyone: &everyone, open })
            .map_err(|rule| Box::new(rules[rule].clone()))?;
        model.guardrails.extend(found.guardrails.into_iter().map(|rect| (rect, way == INGRESS)));
        if way == INGRESS { model.ingress = found.passes } else { model.egress = found.passes }
    }
    model.rules = rules;
    Ok(model)
}

/// What Kubernetes promises to kubelets: traffic between a pod and its own node.
fn own_node() -> (Vec<String>, FlowPolicy) {
    let origin = Origin { file: "import".into(), line: 1, column: 1 };
    let host = vec![Selector::Entity(Entity::Host)];
    let pods = vec![selector::pods().selector()];
    let entry = |from: &Vec<Selector>, to: &Vec<Selector>| FlowEntry {
        origin: origin.clone(),
        action: Action::Allow,
        from: from.clone(),
        to: to.clone(),
        ports: vec![PortSpec::Any],
        why: Some("a pod and the node it runs on: probes, and what the node serves".to_owned()),
    };
    let flows = vec![entry(&host, &pods), entry(&pods, &host)];
    let line = "Kubernetes lets a pod and its own node reach each other whatever policies say.".to_owned();
    let name = "pods-and-their-node".to_owned();
    let (tier, mode, expires) = (Tier::Application, PolicyMode::Enforce, None);
    (vec![line], FlowPolicy { name, origin: origin.clone(), tier, mode, expires, flows })
}
