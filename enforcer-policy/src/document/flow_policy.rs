//! `FlowPolicy`.

use super::reader::{Mention, Reader, Side};
use super::{ports, selector};
use crate::diagnostic::shown;
use crate::model::{Action, FlowEntry, FlowPolicy, Origin, PolicyMode, Tier};
use crate::yaml::Node;
use jiff::Timestamp;

const TIERS: [(&str, Tier); 3] =
    [("guardrail", Tier::Guardrail), ("application", Tier::Application), ("baseline", Tier::Baseline)];
const MODES: [(&str, PolicyMode); 2] = [("enforce", PolicyMode::Enforce), ("audit", PolicyMode::Audit)];
const ACTIONS: [(&str, Action); 2] = [("allow", Action::Allow), ("deny", Action::Deny)];
/// `why` is shown on every line about a flow.
const WHY: usize = 1024;

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    name: String,
    origin: Origin,
) -> Option<FlowPolicy> {
    let fields = reader.fields(node, "a FlowPolicy's `spec`", &["tier", "mode", "expires", "flows"])?;
    let tier = match fields.get("tier") {
        Some(node) => reader.word(node, "tier", &TIERS),
        None => Some(Tier::default()),
    };
    let mode = match fields.get("mode") {
        Some(node) => reader.word(node, "mode", &MODES),
        None => Some(PolicyMode::default()),
    };
    let expires = match fields.get("expires") {
        Some(node) => timestamp(reader, node).map(Some),
        None => Some(None),
    };
    const HELP: &str = "a policy has at least one entry: `flows: [{from: […], to: […], ports: […]}]`";
    let items = reader.required(&fields, "flows", HELP);
    let items = items.and_then(|node| reader.list(node, "flows", HELP))?;
    let flows: Vec<_> =
        items.iter().enumerate().filter_map(|(index, item)| flow(reader, item, index)).collect();
    let whole = flows.len() == items.len();
    let flows = whole.then_some(flows)?;
    Some(FlowPolicy { name, origin, tier: tier?, mode: mode?, expires: expires?, flows })
}

fn flow(reader: &mut Reader<'_>, node: &Node<'_>, index: usize) -> Option<FlowEntry> {
    let origin = reader.source.origin(node.span);
    let fields = reader.fields(node, "an entry of `flows`", &["action", "from", "to", "ports", "why"])?;
    let action = match fields.get("action") {
        Some(node) => reader.word(node, "action", &ACTIONS),
        None => Some(Action::default()),
    };
    let mut side = |side: Side| {
        let node = reader.required(&fields, side.field(), side.never_everything())?;
        selector::selectors(reader, node, side, index)
    };
    let from = side(Side::From);
    let to = side(Side::To);
    let help = "nothing here never means everything; for every port, write `ports: [any]`";
    let ports = reader.required(&fields, "ports", help).and_then(|node| ports::ports(reader, node));
    let why = match fields.get("why") {
        Some(node) => why(reader, node).map(Some),
        None => Some(None),
    };
    Some(FlowEntry { origin, action: action?, from: from?, to: to?, ports: ports?, why: why? })
}

fn why(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    let why = reader.text(node, "why")?;
    if why.len() > WHY {
        let message = format!("`why` has {} bytes, and it is shown wherever the flow is decided", why.len());
        reader.error_help(node.span, message, format!("at most {WHY} bytes; put the rest into a comment"));
        return None;
    }
    Some(why.to_owned())
}

fn timestamp(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Timestamp> {
    // A bare number is read as well, only to show what an instant looks like.
    let text = match node.text() {
        Some(text) if !node.is_null() => text,
        _ => reader.text(node, "expires")?,
    };
    let complete = text.len() > 11 && matches!(text.as_bytes()[10], b'T' | b't' | b' ');
    match text.parse::<Timestamp>() {
        Ok(instant) if complete && !text.contains('[') => {
            reader.mention(Mention::Expires, node.span);
            Some(instant)
        }
        _ => {
            let message = format!("`{}` is not an instant", shown(text));
            let help = if format!("{text}T00:00:00Z").parse::<Timestamp>().is_ok() {
                format!("a day has many instants: `{text}T00:00:00Z` is its first in UTC")
            } else if format!("{text}Z").parse::<Timestamp>().is_ok() {
                format!("say in which offset from UTC: `{text}Z`")
            } else {
                "RFC 3339, for example `2027-01-31T18:00:00Z` or `2027-01-31T18:00:00+01:00`".to_owned()
            };
            reader.error_help(node.span, message, help);
            None
        }
    }
}
