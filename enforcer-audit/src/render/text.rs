//! Words that several forms share, safe to show.

use crate::report::{CauseLine, Group, Identity, Near, Report, Sample, Verdicts};
use enforcer_policy::diagnostic::{counted, shown, shown_path};
use jiff::Timestamp;
use std::net::IpAddr;

/// Labels that are shown of one identity.
const LABELS: usize = 8;
/// Characters of labels that stand whole in a row.
const SHORT: usize = 48;

/// `web (app=web)`, `3 workloads (app=web)`, `world`.
pub(super) fn identity(identity: &Identity) -> String {
    let name = match (identity.name(), identity.kind) {
        (Some(name), "group") => format!("group {}", shown(name)),
        (Some(name), _) => shown(name),
        (None, kind) if identity.members.is_empty() => kind.to_owned(),
        (None, kind) => format!("{} {kind}s", identity.members.len() as u64 + identity.more),
    };
    match labels(identity) {
        Some(labels) => format!("{name} ({labels})"),
        None => name,
    }
}

/// `app=web,env=prod`; where they are many or long, those that tell the identity from everybody else.
pub(super) fn labels(identity: &Identity) -> Option<String> {
    let pair = |(key, value): (&String, &String)| format!("{}={}", shown(key), shown(value));
    let all: Vec<String> = identity.labels.iter().take(LABELS + 1).map(pair).collect();
    let text = all.join(",");
    let told = identity.selector.as_ref().filter(|told| told.labels.len() < identity.labels.len());
    match told {
        _ if all.is_empty() => None,
        Some(told) if all.len() > LABELS || text.chars().count() > SHORT => {
            Some(told.labels.iter().map(pair).chain(["…".to_owned()]).collect::<Vec<_>>().join(","))
        }
        _ if all.len() > LABELS => Some(format!("{},…", all[..LABELS].join(","))),
        _ => Some(text),
    }
}

/// One end of flows; of those without labels, with an address: `world 192.0.2.7`, `world 192.0.2.7 and others`.
pub(super) fn located(
    of: &Identity,
    samples: &[Sample],
    more: bool,
    address: fn(&Sample) -> IpAddr,
) -> String {
    let name = identity(of);
    let Some(first) = samples.first().map(address) else { return name };
    if !of.labels.is_empty() {
        return name;
    }
    let others = more || samples.iter().any(|sample| address(sample) != first);
    format!("{name} {first}{}", if others { " and others" } else { "" })
}

/// One end of a group.
pub(super) fn end(of: &Identity, group: &Group, address: fn(&Sample) -> IpAddr) -> String {
    located(of, &group.traffic.samples, group.traffic.more_samples, address)
}

/// `shop#0  shop.yaml:14`, `no-rule`, `fragment (frag-tiny)`.
pub(super) fn cause(cause: &CauseLine) -> String {
    match (&cause.rule, &cause.file, cause.line, cause.reason) {
        (Some(rule), Some(file), Some(line), _) => format!("{}  {}:{line}", shown(rule), shown_path(file)),
        (Some(rule), ..) => shown(rule),
        (None, _, _, Some(reason)) => match cause.detail {
            Some(detail) => format!("{reason} ({detail})"),
            None => reason.to_owned(),
        },
        (None, ..) => "-".to_owned(),
    }
}

/// The cause of a group's verdict.
pub(super) fn group_cause(group: &Group) -> String {
    group.cause.as_ref().map_or_else(|| "-".to_owned(), cause)
}

/// `shop#0  shop.yaml:14: `ports` has tcp/443: add `tcp/22``.
pub(super) fn near(near: &Near) -> String {
    // Where a rule denies, whatever else another one lacks is of no use.
    let outranked = near.mends.iter().find(|mend| mend.clause == "outranked");
    match outranked {
        Some(mend) => mend.text.clone(),
        None => {
            let mends: Vec<&str> = near.mends.iter().map(|mend| mend.text.as_str()).collect();
            format!("{}: {}", cause(&near.rule), mends.join("; "))
        }
    }
}

/// Whole seconds, UTC.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What would become of a group's flows, in one sentence.
pub(super) fn headline(group: &Group) -> String {
    let recorded = match group.change {
        Some("breaks") => "; when they were recorded, they passed",
        Some("opens") => "; when they were recorded, they were refused",
        _ => "",
    };
    format!(
        "{} from {} to {} on {} would be {}{recorded}",
        counted(group.traffic.figures.flows, "flow"),
        identity(&group.source),
        identity(&group.destination),
        group.traffic.port,
        group.verdict
    )
}

/// What is said of a scan in place of what would allow it.
pub(super) fn swept(doors: usize) -> String {
    format!(
        "{doors} pairs of destination and port, hardly a packet each: a scan? -o json has them one by one"
    )
}

/// Whether it is safe to enforce, and what would be otherwise than the recording system had it.
pub(super) fn changes(report: &Report) -> Vec<String> {
    let changed =
        |change: &'static str| report.groups.iter().filter(move |group| group.change == Some(change));
    let breaks = changed("breaks").map(|group| group.recorded.passed).sum();
    let opens = changed("opens").map(|group| group.recorded.refused).sum();
    let mut all = Vec::new();
    if report.totals.flows > 0 {
        all.push(safety(report).to_owned());
    }
    if breaks > 0 {
        all.push(format!("{} of what passed would be denied: what would break", counted(breaks, "record")));
    }
    if opens > 0 {
        all.push(format!("{} of what was refused would pass", counted(opens, "record")));
    }
    all
}

/// As far as the recording can tell.
fn safety(report: &Report) -> &'static str {
    let Verdicts { denied, audited, .. } = &report.verdicts;
    let refused = |group: &Group| group.recorded.refused > 0 && group.recorded.passed == 0;
    match (denied.flows, audited.flows) {
        (0, 0) => "nothing of it would be denied; what isn't in the recording may be",
        (0, _) => {
            "nothing of it would be denied as the modes are; AUDITED below says what would be otherwise without `audit`"
        }
        _ if report.with("denied").all(refused) => {
            "nothing that passed would be denied: what is DENIED below was refused when it was recorded, too"
        }
        _ => {
            "what is DENIED below stops working once this is enforced: allow it first, or be sure that nobody needs it"
        }
    }
}
