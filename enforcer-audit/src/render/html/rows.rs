//! Rows of the page's tables.

use super::policies::{Place, Policies};
use super::words::{mark, number};
use crate::render::text::{end, identity, instant};
use crate::report::{CauseLine, Group, Identity, Report};
use enforcer_policy::diagnostic::shown_within;
use jiff::Timestamp;

/// Rows of a table.
pub(super) const FLOWS: usize = 1_000;
const OTHERS: usize = 1_000;
/// Characters of an identity with its labels.
const IDENTITY: usize = 240;
/// Characters of an entry that would allow, or of a sentence.
const SENTENCE: usize = 600;

/// Rows, and how many of them there is no room for.
pub(super) struct Cut<T> {
    pub(super) rows: Vec<T>,
    pub(super) left_out: String,
}

fn cut<T, I>(all: &[I], limit: usize, row: impl FnMut(&I) -> T) -> Cut<T> {
    let left_out = all.len().saturating_sub(limit);
    let left_out = if left_out == 0 { String::new() } else { number(left_out as u64) };
    Cut { rows: all.iter().take(limit).map(row).collect(), left_out }
}

/// A figure as it is shown, and as it sorts.
pub(super) struct Figure {
    pub(super) text: String,
    pub(super) value: u64,
}

impl Figure {
    fn of(value: u64) -> Self {
        Self { text: number(value), value }
    }
}

/// A group of flows.
pub(super) struct Flow {
    pub(super) verdict: &'static str,
    pub(super) mark: &'static str,
    pub(super) passes: bool,
    pub(super) flows: Figure,
    pub(super) packets: Figure,
    pub(super) bytes: Figure,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) port: String,
    pub(super) port_key: u32,
    pub(super) cause: String,
    pub(super) place: Option<Place>,
    pub(super) why: Option<String>,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) recorded: String,
    pub(super) change: Option<&'static str>,
    pub(super) allow: Option<String>,
    pub(super) near: Option<Near>,
    pub(super) hint: Option<&'static str>,
}

/// The rule that comes nearest.
pub(super) struct Near {
    pub(super) rule: String,
    pub(super) place: Option<Place>,
    pub(super) mends: String,
}

/// An identity in words.
pub(super) fn named(of: &Identity) -> String {
    shown_within(&identity(of), IDENTITY)
}

pub(super) fn flows(report: &Report, policies: &Policies) -> Cut<Flow> {
    cut(&report.groups, FLOWS, |group| flow(group, policies))
}

fn flow(group: &Group, policies: &Policies) -> Flow {
    let cause = group.cause.as_ref();
    let near = group.nearest_miss.as_ref().map(|miss| Near {
        rule: rule_name(&miss.rule),
        place: policies.of_cause(&miss.rule),
        mends: shown_within(
            &miss.mends.iter().map(|mend| mend.text.as_str()).collect::<Vec<_>>().join("; "),
            SENTENCE,
        ),
    });
    let port_number = group.traffic.port_number.map_or(0, u32::from);
    Flow {
        verdict: group.verdict,
        mark: mark(group.verdict),
        passes: group.passes,
        flows: Figure::of(group.traffic.figures.flows),
        packets: Figure::of(group.traffic.figures.packets),
        bytes: Figure::of(group.traffic.figures.bytes),
        source: shown_within(&end(&group.source, group, |sample| sample.source), IDENTITY),
        destination: shown_within(&end(&group.destination, group, |sample| sample.destination), IDENTITY),
        port: group.traffic.port.clone(),
        port_key: u32::from(group.traffic.protocol) << 16 | port_number,
        cause: cause.map_or_else(|| "–".to_owned(), rule_name),
        place: cause.and_then(|cause| policies.of_cause(cause)),
        why: cause.and_then(|cause| cause.why.as_ref()).map(|why| shown_within(why, SENTENCE)),
        first: time(group.traffic.seen.map(|seen| seen.first)),
        last: time(group.traffic.seen.map(|seen| seen.last)),
        recorded: match (group.recorded.passed, group.recorded.refused) {
            (0, 0) => "–".to_owned(),
            (passed, 0) => format!("{} passed", number(passed)),
            (0, refused) => format!("{} refused", number(refused)),
            (passed, refused) => format!("{} passed, {} refused", number(passed), number(refused)),
        },
        change: group.change,
        allow: group.allow.as_ref().map(|allow| shown_within(allow, SENTENCE)),
        near,
        hint: group.hint,
    }
}

/// `shop#0`, `no-rule`, `fragment (frag-tiny)`.
fn rule_name(cause: &CauseLine) -> String {
    match (&cause.rule, cause.reason, cause.detail) {
        (Some(rule), ..) => shown_within(rule, IDENTITY),
        (None, Some(reason), Some(detail)) => format!("{reason} ({detail})"),
        (None, Some(reason), None) => reason.to_owned(),
        (None, None, _) => "–".to_owned(),
    }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "–".to_owned(), instant)
}

/// A rule and its use.
pub(super) struct Rule {
    pub(super) rule: String,
    pub(super) place: Place,
    pub(super) action: &'static str,
    pub(super) mode: &'static str,
    pub(super) expired: bool,
    pub(super) unused: bool,
    pub(super) flows: Figure,
    pub(super) packets: Figure,
}

pub(super) fn rules(report: &Report, policies: &Policies) -> Cut<Rule> {
    cut(&report.rules, OTHERS, |rule| Rule {
        rule: shown_within(&rule.rule, IDENTITY),
        place: policies.place(&rule.file, rule.line),
        action: rule.action,
        mode: rule.mode,
        expired: rule.expired,
        unused: rule.is_unused(),
        flows: Figure::of(rule.figures.flows),
        packets: Figure::of(rule.figures.packets),
    })
}

/// A workload, and what the recording says of it.
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) labels: String,
    pub(super) place: Option<Place>,
    pub(super) managed: bool,
    pub(super) touched: &'static str,
    pub(super) untouched: bool,
}

pub(super) fn workloads(report: &Report, policies: &Policies) -> Cut<Workload> {
    // What the recording can't tell comes first, and so isn't what is left out.
    let mut all: Vec<_> = report.workloads.iter().collect();
    all.sort_by_key(|workload| !workload.is_untouched());
    cut(&all, OTHERS, |workload| {
        let labels: Vec<String> =
            workload.labels.iter().take(8).map(|(key, value)| format!("{key}={value}")).collect();
        Workload {
            name: shown_within(&workload.workload, IDENTITY),
            labels: shown_within(&labels.join(", "), IDENTITY),
            place: match (&workload.file, workload.line) {
                (Some(file), Some(line)) => Some(policies.place(file, line)),
                _ => None,
            },
            managed: workload.managed,
            touched: match (workload.opened, workload.reached) {
                (true, true) => "opened flows and was reached",
                (true, false) => "opened flows",
                (false, true) => "was reached",
                (false, false) => "no flow touched it",
            },
            untouched: workload.is_untouched(),
        }
    })
}

/// A recording that was read.
pub(super) struct Recording {
    pub(super) name: String,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) packets: Figure,
    pub(super) records: Figure,
}

pub(super) fn recordings(report: &Report) -> Cut<Recording> {
    cut(&report.sources, OTHERS, |source| Recording {
        name: shown_within(&source.name, IDENTITY),
        first: time(source.window.map(|window| window.first)),
        last: time(source.window.map(|window| window.last)),
        packets: Figure::of(source.packets),
        records: Figure::of(source.records),
    })
}

/// A time that the recording doesn't cover.
pub(super) struct Gap {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) of: String,
    pub(super) word: &'static str,
    pub(super) missing: String,
}

pub(super) fn gaps(report: &Report) -> Cut<Gap> {
    let mut cut = cut(&report.gaps, OTHERS, |gap| Gap {
        first: time(gap.first),
        last: time(gap.last),
        of: gap.of.as_ref().map_or_else(|| "–".to_owned(), |of| shown_within(of, IDENTITY)),
        word: gap.word,
        missing: gap.missing.map_or_else(|| "–".to_owned(), number),
    });
    rest(&mut cut, report.totals.gaps);
    cut
}

/// What couldn't be read.
pub(super) struct Damage {
    pub(super) place: Figure,
    pub(super) what: String,
}

pub(super) fn damage(report: &Report) -> Cut<Damage> {
    let mut cut = cut(&report.damage, OTHERS, |one| Damage {
        place: Figure::of(one.place),
        what: shown_within(&one.what, SENTENCE),
    });
    rest(&mut cut, report.totals.damaged);
    cut
}

/// The report itself keeps the first of these alone.
fn rest<T>(cut: &mut Cut<T>, all: u64) {
    let left_out = all.saturating_sub(cut.rows.len() as u64);
    if left_out > 0 {
        cut.left_out = number(left_out);
    }
}
