//! `Workload.spec.match`: how a workload is found on this host.

use super::labels;
use super::reader::{Mention, Reader};
use crate::diagnostic::shown;
use crate::model::{InterfacePattern, WorkloadMatch};
use crate::yaml::Node;

/// In the order in which the first field that is set decides.
const FIELDS: [&str; 4] = ["unit", "cgroup", "container", "interface"];
/// Unit types that own a cgroup.
const UNIT_TYPES: [&str; 6] = ["service", "scope", "slice", "socket", "mount", "swap"];
/// The longest name of a network device, without the terminator.
const INTERFACE_NAME: usize = 15;

pub(super) fn matches(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<WorkloadMatch>> {
    let items = reader.list(
        node,
        "match",
        "name one of `unit`, `cgroup`, `container`, `interface`, or take it away",
    )?;
    let mut matches = Vec::with_capacity(items.len());
    for item in items {
        if let Some(found) = entry(reader, item) {
            reader.mention(Mention::Match(matches.len()), item.span);
            matches.push(found);
        }
    }
    (matches.len() == items.len()).then_some(matches)
}

fn entry(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<WorkloadMatch> {
    let fields = reader.fields(node, "an entry of `match`", &FIELDS)?;
    let mut given = FIELDS.into_iter().filter_map(|name| Some((name, fields.get(name)?)));
    let Some((first, value)) = given.next() else {
        if fields.has_unknown {
            return None;
        }
        let help = "name one of `unit`, `cgroup`, `container`, `interface`";
        reader.error_help(node.span, "an entry of `match` that matches by nothing", help);
        return None;
    };
    for (name, _) in given {
        if let Some(span) = fields.key_span(name) {
            reader.warn_help(
                span,
                format!("`{name}` is ignored: `{first}` decides"),
                "the first field that is set decides; write two entries to mean either",
            );
        }
    }
    match first {
        "unit" => unit(reader, value),
        "cgroup" => cgroup(reader, value),
        "container" => container(reader, value),
        _ => interface(reader, value).map(WorkloadMatch::Interface),
    }
}

fn unit(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<WorkloadMatch> {
    let unit = reader.text(node, "unit")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    let typed = unit.rsplit_once('.').filter(|(name, kind)| !name.is_empty() && UNIT_TYPES.contains(kind));
    if unit.len() > 255 || !unit.chars().all(allowed) || unit.is_empty() {
        let help = "one unit by its full name, such as `postgresql.service`; patterns are not possible";
        reader.error_help(node.span, format!("`{}` is not the name of a unit", shown(unit)), help);
        return None;
    }
    if typed.is_none() {
        let message = format!("`{}` does not say which type of unit", shown(unit));
        reader.error_help(node.span, message, format!("for example `{}.service`", shown(unit)));
        return None;
    }
    Some(WorkloadMatch::Unit(unit.to_owned()))
}

fn cgroup(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<WorkloadMatch> {
    let written = reader.text(node, "cgroup")?;
    let (path, descendants) = match written.strip_suffix("/**") {
        Some(path) => (path, true),
        None => (written.strip_suffix('/').unwrap_or(written), false),
    };
    let parts = path.strip_prefix('/').map(|rest| rest.split('/'));
    let sound = parts.is_some_and(|mut parts| {
        parts.all(|part| {
            !matches!(part, "" | "." | "..") && !part.contains('*') && !part.contains(char::is_control)
        })
    });
    if !sound || path.len() > 4096 {
        let message = format!("`{}` is not a path of a cgroup", shown(written));
        let help = "a path below the cgroup v2 mount, such as `/custom/ledger`; a trailing `/**` takes its descendants";
        reader.error_help(node.span, message, help);
        return None;
    }
    Some(WorkloadMatch::Cgroup { path: path.to_owned(), descendants })
}

fn container(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<WorkloadMatch> {
    const HELP: &str = "for example `container: {labels: {com.example.app: ledger}}`";
    let fields = reader.fields(node, "container", &["labels"])?;
    let node = reader.required(&fields, "labels", HELP)?;
    Some(WorkloadMatch::Container { labels: labels::labels(reader, node, HELP)? })
}

fn interface(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<InterfacePattern> {
    let written = reader.text(node, "interface")?;
    let (text, glob) = match written.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (written, false),
    };
    let message = format!("`{}` is not the name of a network device", shown(written));
    if text.is_empty() && glob {
        let help = "`*` alone would take every device of the host; write what the names have in common, such as `veth-*`";
        reader.error_help(node.span, message, help);
    } else if text.len() > INTERFACE_NAME {
        reader.error_help(
            node.span,
            message,
            format!("names of devices have at most {INTERFACE_NAME} bytes"),
        );
    } else if text.is_empty()
        || matches!(text, "." | "..")
        || text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '*'))
    {
        let help = "for example `veth-ledger`, or `veth-*` with the `*` at the end";
        reader.error_help(node.span, message, help);
    } else {
        return Some(InterfacePattern { text: text.to_owned(), glob });
    }
    None
}
