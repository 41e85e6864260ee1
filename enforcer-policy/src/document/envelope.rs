//! What every document has: `apiVersion`, `kind`, `metadata`, `spec`.

use super::Kind;
use super::reader::Reader;
use crate::diagnostic::{did_you_mean, shown};
use crate::source::Span;
use crate::yaml::{Node, Value};

/// The one version of the language.
const API_VERSION: &str = "enforcer.dev/v1alpha1";
const VERSION_HELP: &str = "write `apiVersion: enforcer.dev/v1alpha1`";
const KINDS: &str = "one of `Workload`, `AddressGroup`, `FlowPolicy`, `Segment`, `FlowTest`, `AgentConfig`";

pub(super) struct Envelope<'n, 's> {
    pub(super) kind: Kind,
    pub(super) name: Option<(&'n str, Span)>,
    pub(super) spec: Option<&'n Node<'s>>,
}

pub(super) fn read<'n, 's>(reader: &mut Reader<'_>, root: &'n Node<'s>) -> Option<Envelope<'n, 's>> {
    if !matches!(root.value, Value::Mapping(_)) {
        let message = format!("a document must be a mapping, not {}", root.describe());
        let help = "every document has `apiVersion`, `kind`, `metadata` and `spec`";
        reader.error_help(root.span, message, help);
        return None;
    }
    let fields = reader.fields(root, "a document", &["apiVersion", "kind", "metadata", "spec"])?;
    if let Some(node) = reader.required(&fields, "apiVersion", VERSION_HELP)
        && let Some(version) = reader.text(node, "apiVersion")
        && version != API_VERSION
    {
        let message = format!("`{}` is not an `apiVersion` known here", shown(version));
        reader.error_help(node.span, message, VERSION_HELP);
    }
    let kind = reader
        .required(&fields, "kind", KINDS)
        .and_then(|node| Some((node, reader.text(node, "kind")?)))
        .and_then(|(node, word)| kind(reader, node, word));
    let name = reader
        .required(&fields, "metadata", "write `metadata: {name: …}`")
        .and_then(|node| metadata(reader, node));
    let kind = kind?;
    // An AgentConfig may leave everything at its default.
    let spec = match kind {
        Kind::AgentConfig => fields.get("spec"),
        _ => Some(reader.required(&fields, "spec", "what the document says stands under `spec`")?),
    };
    Some(Envelope { kind, name, spec })
}

fn kind(reader: &mut Reader<'_>, node: &Node<'_>, word: &str) -> Option<Kind> {
    if let Some((_, kind)) = Kind::ALL.iter().find(|(name, _)| *name == word) {
        return Some(*kind);
    }
    let help = match did_you_mean(word, Kind::ALL.map(|(name, _)| name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => KINDS.to_owned(),
    };
    reader.error_help(node.span, format!("unknown kind `{}`", shown(word)), help);
    None
}

/// `metadata`: the name, and what Kubernetes may have put beside it.
fn metadata<'n>(reader: &mut Reader<'_>, node: &'n Node<'_>) -> Option<(&'n str, Span)> {
    let fields = reader.fields(node, "metadata", &["name", "namespace", "labels", "annotations"])?;
    if let Some(namespace) = fields.get("namespace") {
        reader.text(namespace, "namespace");
    }
    for field in ["labels", "annotations"] {
        let Some(node) = fields.get(field) else { continue };
        for entry in reader.mapping(node, field).unwrap_or_default() {
            reader.text(&entry.value, entry.key.text().unwrap_or(field));
        }
    }
    let node = reader.required(&fields, "name", "every document has a name, unique for its kind")?;
    let name = reader.text(node, "name")?;
    if let Err(reason) = check_name(name) {
        let message = format!("`{}` is not a name: {reason}", shown(name));
        let lower = name.to_ascii_lowercase().replace(['_', ' '], "-");
        match check_name(&lower) {
            Ok(()) => reader.error_help(node.span, message, format!("for example `{lower}`")),
            Err(_) => reader.error(node.span, message),
        }
        return None;
    }
    Some((name, node.span))
}

/// A DNS subdomain, as Kubernetes has it for the names of resources.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 253 {
        return Err("it has more than 253 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')) {
        return Err("only lower-case letters, digits, `-` and `.` may stand in it");
    }
    let framed = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    if !name.split('.').all(framed) {
        return Err("each part between dots must begin and end with a letter or digit");
    }
    Ok(())
}
