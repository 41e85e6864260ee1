//! `FlowTest`.

use super::reader::{Mention, Reader, Side};
use super::{address, labels, ports, property, selector};
use crate::diagnostic::shown;
use crate::model::{Endpoint, Entity, Expectation, FlowCase, FlowTest, Origin, PortSpec};
use crate::yaml::Node;

const EXPECTATIONS: [(&str, Expectation); 3] =
    [("allow", Expectation::Allow), ("deny", Expectation::Deny), ("audit", Expectation::Audit)];
const FORMS: [&str; 4] = ["labels", "entity", "address", "workload"];

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    name: String,
    origin: Origin,
) -> Option<FlowTest> {
    const HELP: &str = "for example `cases: [{from: {labels: {app: web}}, to: {entity: world}, port: tcp/443, expect: deny}]`";
    let fields = reader.fields(node, "a FlowTest's `spec`", &["cases", "properties"])?;
    let properties = match fields.get("properties") {
        Some(node) => property::properties(reader, node),
        None => Some(Vec::new()),
    };
    let cases = match fields.get("cases") {
        // A test of properties needs no cases.
        None if fields.get("properties").is_some() => Some(Vec::new()),
        _ => reader.required(&fields, "cases", HELP).and_then(|node| cases(reader, node, HELP)),
    };
    Some(FlowTest { name, origin, cases: cases?, properties: properties? })
}

fn cases(reader: &mut Reader<'_>, node: &Node<'_>, help: &str) -> Option<Vec<FlowCase>> {
    let items = reader.list(node, "cases", help)?;
    let cases: Vec<_> =
        items.iter().enumerate().filter_map(|(index, item)| case(reader, item, index)).collect();
    (cases.len() == items.len()).then_some(cases)
}

fn case(reader: &mut Reader<'_>, node: &Node<'_>, index: usize) -> Option<FlowCase> {
    let origin = reader.source.origin(node.span);
    let fields = reader.fields(node, "a case", &["from", "to", "port", "expect"])?;
    let mut end = |side: Side| {
        let node = reader.required(
            &fields,
            side.field(),
            "an end is `{labels: …}`, `{entity: world}`, `{address: …}` or `{workload: …}`",
        )?;
        endpoint(reader, node, side, index)
    };
    let from = end(Side::From);
    let to = end(Side::To);
    let port =
        reader.required(&fields, "port", "for example `port: tcp/443`").and_then(|node| port(reader, node));
    let expect = reader.required(&fields, "expect", "one of `allow`, `deny`, `audit`");
    let expect = expect.and_then(|node| reader.word(node, "expect", &EXPECTATIONS));
    Some(FlowCase { origin, from: from?, to: to?, port: port?, expect: expect? })
}

fn endpoint(reader: &mut Reader<'_>, node: &Node<'_>, side: Side, case: usize) -> Option<Endpoint> {
    let what = if side == Side::From { "`from` of a case" } else { "`to` of a case" };
    let fields = reader.fields(node, what, &FORMS)?;
    let given: Vec<_> = FORMS.into_iter().filter_map(|form| Some((form, fields.get(form)?))).collect();
    match given[..] {
        [("labels", node)] => {
            labels::labels(reader, node, "name the labels that this end carries").map(Endpoint::Labels)
        }
        [("entity", node)] => entity(reader, node),
        [("address", node)] => address::address(reader, node, "address").map(Endpoint::Address),
        [(_, node)] => {
            let name = reader.text(node, "workload")?;
            reader.mention(Mention::Endpoint { case, side }, node.span);
            Some(Endpoint::Workload(name.to_owned()))
        }
        [] if fields.has_unknown => None,
        _ => {
            let message = format!("{what} must be exactly one endpoint");
            reader.error_help(node.span, message, "one of `labels`, `entity`, `address`, `workload`");
            None
        }
    }
}

fn entity(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Endpoint> {
    match reader.word(node, "entity", &selector::ENTITIES)? {
        entity @ (Entity::Host | Entity::World) => Some(Endpoint::Entity(entity)),
        Entity::Workloads | Entity::All => {
            let message = format!("`{}` is not one endpoint", shown(node.text().unwrap_or_default()));
            let help = "a case is about one flow: name `host`, `world`, or an end by `labels`, `address` or `workload`";
            reader.error_help(node.span, message, help);
            None
        }
    }
}

/// One protocol and port: what a single packet has.
fn port(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<PortSpec> {
    let spec = ports::port(reader, node, "port")?;
    let help = match spec {
        PortSpec::Ports { first, last, .. } if first == last => return Some(spec),
        PortSpec::Icmp { protocol, kind, code } => {
            return Some(PortSpec::Icmp { protocol, kind, code: Some(code.unwrap_or(0)) });
        }
        PortSpec::Protocol(6 | 17 | 132) => format!("name its port: `{spec}/443`"),
        PortSpec::Protocol(1 | 58) => format!("name the message: `{spec}/echo-request`"),
        PortSpec::Protocol(_) => return Some(spec),
        PortSpec::Ports { first, .. } => {
            let protocol = node.text().and_then(|text| text.split('/').next()).unwrap_or("tcp");
            format!("write a case for each port that matters: `{protocol}/{first}`")
        }
        PortSpec::Any => "name one, such as `tcp/443`".to_owned(),
    };
    let message = format!(
        "`{}` is more than one port, and a case is about one flow",
        shown(node.text().unwrap_or_default())
    );
    reader.error_help(node.span, message, help);
    None
}
