//! Labels: identity labels, and label keys and values wherever they stand.

use super::reader::Reader;
use crate::diagnostic::shown;
use crate::model::{Labels, POSTURE};
use crate::yaml::{Node, Value};

/// Lengths as Kubernetes has them, in bytes.
const PREFIX: usize = 253;
const NAME: usize = 63;
const VALUE: usize = 63;

/// The labels of a Workload or an AddressGroup.
pub(super) fn identity(reader: &mut Reader<'_>, node: &Node<'_>, help_if_empty: &str) -> Option<Labels> {
    let mut own = true;
    let entries = if let Value::Mapping(entries) = &node.value { entries.as_slice() } else { &[] };
    for entry in entries {
        let key = entry.key.text().unwrap_or_default();
        if key.starts_with(POSTURE) {
            let message = format!("`{}` is a label that no document gives: it is attested", shown(key));
            let help =
                "whoever attests it says so to the daemon (`enforcer posture`); policies may select by it";
            reader.error_help(entry.key.span, message, help);
            own = false;
        }
    }
    labels(reader, node, help_if_empty).filter(|_| own)
}

/// A `labels` mapping with at least one entry.
pub(super) fn labels(reader: &mut Reader<'_>, node: &Node<'_>, help_if_empty: &str) -> Option<Labels> {
    let entries = reader.mapping(node, "labels")?;
    if entries.is_empty() {
        reader.error_help(node.span, "`labels` is empty", help_if_empty);
        return None;
    }
    let mut labels = Labels::new();
    let mut whole = true;
    for entry in entries {
        let key = if entry.key.text() == Some("<<") { None } else { key(reader, &entry.key) };
        let value = value(reader, &entry.value, entry.key.text().unwrap_or("labels"));
        match (key, value) {
            (Some(key), Some(value)) => {
                labels.insert(key, value);
            }
            _ => whole = false,
        }
    }
    whole.then(|| reader.share(labels))
}

/// A label key: `name` or `prefix/name`.
pub(super) fn key(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    let key = reader.text(node, "a label key")?;
    match check_key(key) {
        Ok(()) => Some(key.to_owned()),
        Err(reason) => {
            reader.error(node.span, format!("`{}` is not a label key: {reason}", shown(key)));
            None
        }
    }
}

/// A label value; `of` names the key it belongs to.
pub(super) fn value(reader: &mut Reader<'_>, node: &Node<'_>, of: &str) -> Option<String> {
    let value = reader.text(node, of)?;
    match check_value(value) {
        Ok(()) => Some(value.to_owned()),
        Err(reason) => {
            reader.error(node.span, format!("`{}` is not a label value: {reason}", shown(value)));
            None
        }
    }
}

/// Whether a document can carry this label. Labels from elsewhere may be anything.
pub fn is_label(key: &str, value: &str) -> bool {
    key != "<<" && !key.starts_with(POSTURE) && check_key(key).is_ok() && check_value(value).is_ok()
}

/// Why this is no label that can be attested.
pub fn check_posture(key: &str, value: &str) -> Result<(), String> {
    if key.strip_prefix(POSTURE).is_none_or(str::is_empty) {
        return Err(format!("`{}` isn't below `{POSTURE}`", shown(key)));
    }
    check_key(key).map_err(|reason| format!("`{}` is not a label key: {reason}", shown(key)))?;
    check_value(value).map_err(|reason| format!("`{}` is not a label value: {reason}", shown(value)))
}

fn check_key(key: &str) -> Result<(), &'static str> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.is_empty() || prefix == Some("") {
        return Err("it is empty, before or after the `/`");
    }
    if prefix.is_some_and(|prefix| prefix.len() > PREFIX) {
        return Err("more than 253 bytes stand before the `/`");
    }
    if name.len() > NAME {
        return Err("its name has more than 63 bytes");
    }
    if key.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '=' | ',')) {
        return Err("spaces, control characters, `=` and `,` may not stand in it");
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), &'static str> {
    if value.len() > VALUE {
        return Err("it has more than 63 bytes");
    }
    if value.chars().any(char::is_control) {
        return Err("control characters may not stand in it");
    }
    Ok(())
}
