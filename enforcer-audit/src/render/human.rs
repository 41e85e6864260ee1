//! For people, on a terminal.

use super::sweeps::{Row, rows};
use super::table::{SHOWN, long, more, print, table};
use super::text::{changes, end, group_cause, identity, instant, near, swept};
use crate::report::{Group, Report, Window};
use enforcer_policy::diagnostic::{counted, shown, shown_path};
use std::fmt::Write as _;

/// The report as text.
#[must_use]
pub fn human(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    // Writing to a string doesn't fail.
    let _ = write(&mut out, report, colour);
    out
}

fn write(out: &mut String, report: &Report, colour: bool) -> std::fmt::Result {
    totals(out, report, colour)?;
    changes(report).iter().try_for_each(|change| writeln!(out, "  {change}"))?;
    denied(out, report, colour)?;
    let clock = Clock::of(report);
    section(
        out,
        "AUDITED (passes or not today, and would not or would with what is in audit)",
        report.with("audited"),
        clock,
    )?;
    section(out, "ALLOWED", report.with("allowed"), Clock::None)?;
    section(out, "UNJUDGED (neither end is a managed workload)", report.with("unjudged"), clock)?;
    unused(out, report)?;
    untouched(out, report)?;
    gaps(out, report)?;
    if !report.notes.is_empty() {
        writeln!(out, "\nTO READ THIS RIGHT")?;
        report.notes.iter().try_for_each(|note| writeln!(out, "  {}", long(note)))?;
    }
    Ok(())
}

fn totals(out: &mut String, report: &Report, colour: bool) -> std::fmt::Result {
    let verdicts = &report.verdicts;
    let word = |number: u64, word: &str, code: &str| {
        let text = format!("{number} {word}");
        if colour && number > 0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
    };
    write!(
        out,
        "{}: {}, {}, {}",
        counted(report.totals.flows, "flow"),
        word(verdicts.allowed.flows, "allowed", "32"),
        word(verdicts.denied.flows, "denied", "31"),
        word(verdicts.audited.flows, "audited", "33"),
    )?;
    match verdicts.unjudged.flows {
        0 => writeln!(out)?,
        unjudged => writeln!(out, ", {unjudged} unjudged")?,
    }
    let totals = &report.totals;
    let mut parts = Vec::new();
    if totals.packets > 0 {
        parts.push(format!("{} in {} bytes", counted(totals.packets, "packet"), totals.packet_bytes));
    }
    if totals.records > 0 {
        let (packets, bytes) = (totals.record_packets, totals.record_bytes);
        parts.push(format!(
            "{} of {} in {bytes} bytes",
            counted(totals.records, "record"),
            counted(packets, "packet")
        ));
    }
    parts.push(counted(totals.addresses, "address"));
    if totals.gaps > 0 {
        parts.push(counted(totals.gaps, "gap"));
    }
    if totals.damaged > 0 {
        parts.push(format!("{} damaged", totals.damaged));
    }
    writeln!(out, "  {}", parts.join(", "))?;
    if let Some(window) = report.window {
        writeln!(out, "  from {} to {}", instant(window.first), instant(window.last))?;
    }
    match report.as_of {
        Some(at) => writeln!(out, "  policies as of {}", instant(at))?,
        None => writeln!(out, "  policies as of each packet's and record's own time")?,
    }
    let neighbours = &totals.neighbours;
    let refused: Vec<String> =
        neighbours.denied.iter().map(|(reason, number)| format!("{number} denied ({reason})")).collect();
    if neighbours.passed > 0 || !refused.is_empty() {
        let all = [vec![format!("{} passed", neighbours.passed)], refused].concat();
        writeln!(out, "  ARP and neighbour discovery: {}", all.join(", "))?;
    }
    Ok(())
}

fn denied(out: &mut String, report: &Report, colour: bool) -> std::fmt::Result {
    let groups: Vec<&Group> = report.with("denied").collect();
    let mut rows = rows(&groups);
    let title = if colour { "\u{1b}[31mDENIED\u{1b}[0m" } else { "DENIED" };
    rows_of(out, title, &rows, Clock::of(report))?;
    rows.truncate(SHOWN);
    let alone = || rows.iter().zip(1..).filter(|(row, _)| !row.is_sweep()).map(|(row, n)| (row.first(), n));
    let mut entries = alone().filter(|(group, _)| group.allow.is_some()).peekable();
    if entries.peek().is_some() {
        writeln!(out, "\n  what would allow them, for a FlowPolicy's `flows`:")?;
    }
    for (group, number) in entries {
        let entry = group.allow.as_deref().unwrap_or_default();
        writeln!(out, "    {entry}  # {number}")?;
        if let Some(miss) = &group.nearest_miss {
            writeln!(out, "      # nearest: {}", near(miss))?;
        }
    }
    for (group, number) in alone().filter(|(group, _)| group.allow.is_none()) {
        let help = group.hint.map(str::to_owned).or_else(|| group.nearest_miss.as_ref().map(near));
        if let Some(help) = help {
            writeln!(out, "    #{number}: {help}")?;
        }
    }
    for (row, number) in rows.iter().zip(1..).filter(|(row, _)| row.is_sweep()) {
        writeln!(out, "    #{number}: {}", swept(row.groups.len()))?;
    }
    Ok(())
}

/// How much of first and last times is shown.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// Nothing: when what stays as it is was seen matters little, and takes a quarter of a line.
    None,
    /// The time of day, for the totals name the day.
    Day,
    /// All of it.
    Whole,
}

impl Clock {
    fn of(report: &Report) -> Self {
        let day = |at: jiff::Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
        match report.window {
            Some(Window { first, last }) if day(first) == day(last) => Self::Day,
            _ => Self::Whole,
        }
    }

    fn show(self, at: jiff::Timestamp) -> String {
        match self {
            Self::Day => at.strftime("%H:%M:%SZ").to_string(),
            Self::None | Self::Whole => instant(at),
        }
    }
}

fn section<'a>(
    out: &mut String,
    title: &str,
    groups: impl Iterator<Item = &'a Group>,
    clock: Clock,
) -> std::fmt::Result {
    let rows: Vec<Row<'_, Group>> = groups.map(|group| Row { groups: vec![group] }).collect();
    rows_of(out, title, &rows, clock)
}

fn rows_of(out: &mut String, title: &str, rows: &[Row<'_, Group>], clock: Clock) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    let recorded = rows.iter().any(|row| !row.recorded().is_silent());
    let mut header = vec!["#", "FLOWS", "PACKETS", "SOURCE", "DESTINATION", "PORT"];
    if clock != Clock::None {
        header.extend(["FIRST SEEN", "LAST SEEN"]);
    }
    if recorded {
        header.push("RECORDED");
    }
    // Last: it is the longest.
    header.push("CAUSE");
    let mut lines = table(&header);
    for (row, number) in rows.iter().take(SHOWN).zip(1..) {
        let group = row.first();
        let (destination, port) = match (row.is_sweep(), row.destinations()) {
            (true, 2..) => {
                (counted(row.destinations() as u64, "identity"), counted(row.ports() as u64, "port"))
            }
            (true, _) => (identity(&group.destination), counted(row.ports() as u64, "port")),
            (false, _) => {
                (end(&group.destination, group, |sample| sample.destination), group.traffic.port.clone())
            }
        };
        let mut line = vec![
            number.to_string(),
            row.figures().flows.to_string(),
            row.figures().packets.to_string(),
            end(&group.source, group, |sample| sample.source),
            destination,
            port,
        ];
        if clock != Clock::None {
            let none = || ["-".to_owned(), "-".to_owned()];
            line.extend(row.seen().map_or_else(none, |seen| [clock.show(seen.first), clock.show(seen.last)]));
        }
        if recorded {
            let recorded = row.recorded();
            line.push(match (recorded.passed, recorded.refused) {
                (0, 0) => "-".to_owned(),
                (passed, 0) => format!("{passed} passed"),
                (0, refused) => format!("{refused} refused"),
                (passed, refused) => format!("{passed} passed, {refused} refused"),
            });
        }
        line.push(group_cause(group));
        lines.add_row(line);
    }
    print(out, &lines)?;
    more(out, rows.len())
}

fn unused(out: &mut String, report: &Report) -> std::fmt::Result {
    let rules: Vec<_> = report.unused().collect();
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nRULES THAT DECIDED NOTHING")?;
    let mut rows = table(&["RULE", "WRITTEN AT", ""]);
    for rule in rules.iter().take(SHOWN) {
        let why = match (rule.expired, rule.mode) {
            (true, _) => "expired",
            (false, "audit") => "in audit",
            (false, _) => "",
        };
        rows.add_row([
            shown(&rule.rule),
            format!("{}:{}", shown_path(&rule.file), rule.line),
            why.to_owned(),
        ]);
    }
    print(out, &rows)?;
    more(out, rules.len())
}

fn untouched(out: &mut String, report: &Report) -> std::fmt::Result {
    let workloads: Vec<_> = report.untouched().collect();
    if workloads.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWORKLOADS THAT NO FLOW TOUCHED (this recording can't tell what they need)")?;
    let mut rows = table(&["WORKLOAD", "LABELS", "WRITTEN AT"]);
    for workload in workloads.iter().take(SHOWN) {
        let labels: Vec<String> = workload
            .labels
            .iter()
            .take(8)
            .map(|(key, value)| format!("{}={}", shown(key), shown(value)))
            .collect();
        let place = match (&workload.file, workload.line) {
            (Some(file), Some(line)) => format!("{}:{line}", shown_path(file)),
            _ => "inventory".to_owned(),
        };
        rows.add_row([shown(&workload.workload), labels.join(","), place]);
    }
    print(out, &rows)?;
    more(out, workloads.len())
}

fn gaps(out: &mut String, report: &Report) -> std::fmt::Result {
    if !report.gaps.is_empty() {
        writeln!(out, "\nGAPS IN THE RECORDING")?;
        let mut rows = table(&["FROM", "TO", "OF", "WORD", "MISSING"]);
        for gap in report.gaps.iter().take(SHOWN) {
            let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "-".to_owned(), instant);
            rows.add_row([
                time(gap.first),
                time(gap.last),
                gap.of.as_deref().map_or_else(|| "-".to_owned(), shown),
                gap.word.to_owned(),
                gap.missing.map_or_else(|| "-".to_owned(), |missing| missing.to_string()),
            ]);
        }
        print(out, &rows)?;
        more(out, report.totals.gaps as usize)?;
    }
    if !report.damage.is_empty() {
        writeln!(out, "\nDAMAGE IN THE RECORDING")?;
        for one in report.damage.iter().take(10) {
            writeln!(out, "  {}: {}", one.place, long(&one.what))?;
        }
        match report.totals.damaged.saturating_sub(10) {
            0 => {}
            more => writeln!(out, "  … and {more} more")?,
        }
    }
    Ok(())
}
