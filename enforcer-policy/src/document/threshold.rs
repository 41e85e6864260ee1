//! `Segment.spec.quarantine`.

use super::reader::Reader;
use crate::diagnostic::shown;
use crate::model::{Threshold, ThresholdAction};
use crate::yaml::Node;
use jiff::SignedDuration;

/// Beyond this nobody counts any more.
const MOST: u32 = 100_000;
/// The longest `within`, seconds: what is counted is kept for that long.
const LONGEST: u64 = 3_600;
const HELP: &str = "for example `quarantine: {denied: 100, within: 1m, action: report}`";

/// The threshold of a Segment.
pub(super) fn threshold(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Threshold> {
    let known = ["denied", "newDestinations", "within", "action", "for"];
    let fields = reader.fields(node, "`quarantine`", &known)?;
    let mut number = |name: &str| match fields.get(name) {
        Some(node) => count(reader, node, name).map(Some),
        None => Some(None),
    };
    let (denied, new_destinations) = (number("denied"), number("newDestinations"));
    let within = reader.required(&fields, "within", HELP);
    let within = within.and_then(|node| seconds(reader, node, "within", LONGEST));
    let action = match fields.get("action") {
        Some(node) => {
            let words = [("report", ThresholdAction::Report), ("quarantine", ThresholdAction::Quarantine)];
            reader.word(node, "action", &words)
        }
        None => Some(ThresholdAction::default()),
    };
    let term = match fields.get("for") {
        Some(node) => seconds(reader, node, "for", u64::from(u32::MAX)).map(Some),
        None => Some(None),
    };
    let (denied, new_destinations) = (denied?, new_destinations?);
    if denied.is_none() && new_destinations.is_none() {
        if !fields.has_unknown {
            reader.error_help(node.span, "a threshold needs `denied` or `newDestinations`", HELP);
        }
        return None;
    }
    if action == Some(ThresholdAction::Report)
        && let Some(node) = fields.get("for")
    {
        reader.warn_help(
            node.span,
            "`for` has no effect with `action: report`",
            "write `action: quarantine`",
        );
    }
    Some(Threshold { denied, new_destinations, within: within?, action: action?, term: term? })
}

fn count(reader: &mut Reader<'_>, node: &Node<'_>, what: &str) -> Option<u32> {
    let Some(text) = node.text().filter(|_| !node.is_null()) else {
        reader.wrong_type(node, what, "a number");
        return None;
    };
    match text.parse() {
        Ok(count @ 1..=MOST) => Some(count),
        Ok(_) | Err(_) => {
            let message = format!("`{}` is no count", shown(text));
            reader.error_help(node.span, message, format!("from 1 to {MOST}"));
            None
        }
    }
}

fn seconds(reader: &mut Reader<'_>, node: &Node<'_>, what: &str, longest: u64) -> Option<u64> {
    let text = reader.text(node, what)?;
    let parsed = text.parse::<SignedDuration>().ok().and_then(|parsed| u64::try_from(parsed.as_secs()).ok());
    match parsed.filter(|seconds| (1..=longest).contains(seconds)) {
        Some(seconds) => Some(seconds),
        None => {
            let message = format!("`{}` is no time for `{what}`", shown(text));
            let longest = if longest == LONGEST { ", and 1h at most" } else { "" };
            reader.error_help(
                node.span,
                message,
                format!("a number with a unit, such as `30s`, `1m` or `1h`{longest}"),
            );
            None
        }
    }
}
