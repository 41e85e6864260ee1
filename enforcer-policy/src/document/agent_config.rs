//! `AgentConfig`.

use super::reader::Reader;
use super::{address, labels, ports, records, workload};
use crate::diagnostic::shown;
use crate::model::{AgentConfig, ContainerSource, ExtraLabel, Failsafe, Origin, Sources};
use crate::yaml::Node;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

const FIELDS: [&str; 12] = [
    "policies",
    "defaultMode",
    "identityLabels",
    "socket",
    "socketGroup",
    "bpffs",
    "cgroupRoot",
    "state",
    "metrics",
    "records",
    "failsafe",
    "sources",
];
const SOURCES: [&str; 4] = ["docker", "containerd", "kubernetes", "etcd"];
const EXTRA_LABELS: [(&str, ExtraLabel); 2] =
    [(ExtraLabel::Image.word(), ExtraLabel::Image), (ExtraLabel::Name.word(), ExtraLabel::Name)];
const DIRECTIONS: [(&str, bool); 2] = [("ingress", true), ("egress", false)];

/// Every field is optional, and so is `spec` itself.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node<'_>>,
    name: String,
    origin: Origin,
) -> Option<AgentConfig> {
    let mut config = AgentConfig { name, origin: Some(origin), ..AgentConfig::default() };
    let Some(node) = node.filter(|node| !node.is_null()) else { return Some(config) };
    let fields = reader.fields(node, "an AgentConfig's `spec`", &FIELDS)?;
    // What cannot be read is reported and left out here; a document with an error is dropped as a whole.
    config.policies = fields
        .get("policies")
        .and_then(|node| each(reader, node, "policies", |reader, item| path(reader, item, "policies")));
    config.default_mode =
        fields.get("defaultMode").and_then(|node| reader.word(node, "defaultMode", &workload::MODES));
    config.identity_labels =
        fields.get("identityLabels").and_then(|node| each(reader, node, "identityLabels", labels::key));
    config.socket = fields.get("socket").and_then(|node| path(reader, node, "socket"));
    config.socket_group = fields.get("socketGroup").and_then(|node| group(reader, node));
    config.bpffs = fields.get("bpffs").and_then(|node| path(reader, node, "bpffs"));
    config.cgroup_root = fields
        .get("cgroupRoot")
        .and_then(|node| path(reader, node, "cgroupRoot"))
        .and_then(|path| path.into_os_string().into_string().ok());
    config.state = fields.get("state").and_then(|node| path(reader, node, "state"));
    config.metrics =
        fields.get("metrics").filter(|node| !node.is_null()).and_then(|node| metrics(reader, node));
    config.records = fields
        .get("records")
        .filter(|node| !node.is_null())
        .and_then(|node| records::read(reader, node))
        .map(Box::new);
    config.failsafe = fields.get("failsafe").and_then(|node| each(reader, node, "failsafe", failsafe));
    config.sources = fields.get("sources").map(|node| sources(reader, node)).unwrap_or_default();
    Some(config)
}

/// A list that may be empty.
fn each<T>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    what: &str,
    mut read: impl FnMut(&mut Reader<'_>, &Node<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = reader.maybe_empty_list(node, what)?;
    Some(items.iter().filter_map(|item| read(reader, item)).collect())
}

pub(super) fn path(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<PathBuf> {
    let text = reader.text(node, what)?;
    if text.is_empty() || text.contains('\0') {
        reader.error(node.span, format!("`{what}` is not a path: `{}`", shown(text)));
        return None;
    }
    Some(PathBuf::from(text))
}

/// A name as `/etc/group` has it, or a number.
fn group(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    const LONGEST: usize = 32;
    let text = match node.text() {
        Some(text) if !node.is_null() => text,
        _ => reader.text(node, "socketGroup")?,
    };
    let is_name = |text: &str| {
        !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-$".contains(c))
    };
    if text.is_empty() || text.len() > LONGEST || !is_name(text) {
        let message = format!("`{}` is no name of a group", shown(text));
        reader.error_help(node.span, message, "a name as in /etc/group, or a group's number");
        return None;
    }
    Some(text.to_owned())
}

fn metrics(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<SocketAddr> {
    // A bare port number is read as well, only to say what is missing from it.
    let text = match node.text() {
        Some(text) => text,
        None => reader.text(node, "metrics")?,
    };
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message = format!("`{}` is not an address with a port", shown(text));
        reader.error_help(node.span, message, "for example `127.0.0.1:9469` or `\"[::1]:9469\"`");
    }
    parsed
}

fn failsafe(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Failsafe> {
    const HELP: &str = "for example `{direction: ingress, ports: [tcp/22], cidr: [192.0.2.0/24]}`";
    let fields = reader.fields(node, "an entry of `failsafe`", &["direction", "ports", "cidr"])?;
    let direction = reader.required(&fields, "direction", HELP);
    let ingress = direction.and_then(|node| reader.word(node, "direction", &DIRECTIONS));
    let ports = reader.required(&fields, "ports", HELP).and_then(|node| ports::ports(reader, node));
    let cidr = reader.required(&fields, "cidr", HELP).and_then(|node| address::cidrs(reader, node, "cidr"));
    Some(Failsafe { ingress: ingress?, ports: ports?, cidr: cidr? })
}

fn sources(reader: &mut Reader<'_>, node: &Node<'_>) -> Sources {
    let mut sources = Sources::default();
    let Some(fields) = reader.fields(node, "sources", &SOURCES) else { return sources };
    sources.docker = fields
        .get("docker")
        .and_then(|node| container_source(reader, node, "docker", &["socket", "extraLabels"]));
    sources.containerd = fields.get("containerd").and_then(|node| {
        container_source(reader, node, "containerd", &["socket", "namespaces", "extraLabels"])
    });
    for kind in ["kubernetes", "etcd"] {
        let Some(node) = fields.get(kind) else { continue };
        let Some(entries) = reader.mapping(node, kind) else { continue };
        let mut settings = BTreeMap::new();
        for entry in entries {
            let key = entry.key.text().unwrap_or_default();
            match entry.value.text() {
                Some(value) if !entry.value.is_null() => {
                    settings.insert(key.to_owned(), value.to_owned());
                }
                _ => reader.wrong_type(&entry.value, &shown(key), "text, a number or a boolean"),
            }
        }
        sources.others.insert(kind.to_owned(), settings);
    }
    sources
}

fn container_source(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kind: &str,
    known: &[&str],
) -> Option<ContainerSource> {
    let fields = reader.fields(node, kind, known)?;
    let socket = fields.get("socket").and_then(|node| path(reader, node, "socket"));
    let namespaces = fields.get("namespaces").and_then(|node| {
        let help = "take the field away to have all of them, or name one, such as `default`";
        let items = reader.list(node, "namespaces", help)?;
        let names = items.iter().filter_map(|item| reader.text(item, "namespaces").map(str::to_owned));
        Some(names.collect())
    });
    let extra_labels = fields.get("extraLabels").and_then(|node| {
        each(reader, node, "extraLabels", |reader, item| reader.word(item, "extraLabels", &EXTRA_LABELS))
    });
    Some(ContainerSource { socket, namespaces, extra_labels })
}
