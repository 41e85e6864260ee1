//! `FlowTest.spec.properties`.

use super::reader::{Fields, Reader, Side};
use super::{ports, selector};
use crate::diagnostic::shown;
use crate::model::{Claim, FlowProperty, PortSpec, Selector};
use crate::yaml::Node;

const HELP: &str = "for example `properties: [{only: {to: [{labels: {app: ledger}}], port: tcp/5432, from: [{labels: {app: checkout}}]}}]`";
/// No chain of flows that anybody thinks about is longer.
const MOST_HOPS: u32 = 1_000;

/// The list of properties.
pub(super) fn properties(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<FlowProperty>> {
    let items = reader.list(node, "properties", HELP)?;
    let properties: Vec<_> = items.iter().filter_map(|item| property(reader, item)).collect();
    (properties.len() == items.len()).then_some(properties)
}

fn property(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<FlowProperty> {
    let origin = reader.source.origin(node.span);
    let fields = reader.fields(node, "a property", &["unreachable", "only"])?;
    let claim = match (fields.get("unreachable"), fields.get("only")) {
        (Some(node), None) => unreachable(reader, node),
        (None, Some(node)) => only(reader, node),
        (None, None) if fields.has_unknown => None,
        _ => {
            let message = "a property must be exactly one of `unreachable` and `only`";
            reader.error_help(node.span, message, "write one entry for each");
            None
        }
    };
    Some(FlowProperty { origin, claim: claim? })
}

fn unreachable(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Claim> {
    let fields = reader.fields(node, "`unreachable`", &["from", "to", "within", "ports"])?;
    let from = side(reader, &fields, Side::From);
    let to = side(reader, &fields, Side::To);
    let within = match fields.get("within") {
        Some(node) => within(reader, node).map(Some),
        None => Some(None),
    };
    let ports = match fields.get("ports") {
        Some(node) => ports::ports(reader, node),
        None => Some(vec![PortSpec::Any]),
    };
    Some(Claim::Unreachable { from: from?, to: to?, within: within?, ports: ports? })
}

fn only(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Claim> {
    let fields = reader.fields(node, "`only`", &["to", "port", "from"])?;
    let to = side(reader, &fields, Side::To);
    let port = reader.required(&fields, "port", "for example `port: tcp/5432`");
    let port = port.and_then(|node| ports::port(reader, node, "port"));
    let from = side(reader, &fields, Side::From);
    Some(Claim::Only { to: to?, port: port?, from: from? })
}

fn side(reader: &mut Reader<'_>, fields: &Fields<'_, '_>, side: Side) -> Option<Vec<Selector>> {
    let node = reader.required(fields, side.field(), side.never_everything())?;
    selector::selectors(reader, node, side, 0)
}

fn within(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u32> {
    let Some(text) = node.text().filter(|_| !node.is_null()) else {
        reader.wrong_type(node, "within", "a number of flows");
        return None;
    };
    match text.parse() {
        Ok(hops @ 1..=MOST_HOPS) => Some(hops),
        Ok(_) | Err(_) => {
            let message = format!("`{}` is no number of flows", shown(text));
            let help = format!("from 1 to {MOST_HOPS}; without `within`, chains of any length count");
            reader.error_help(node.span, message, help);
            None
        }
    }
}
