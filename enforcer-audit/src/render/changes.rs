//! Recorded flows that come out otherwise by another set, for people.

use super::sweeps::{Row, rows};
use super::table::{SHOWN, long, more, print, table};
use super::text::{cause, identity, instant, located, near, swept};
use crate::compare::{FlowChange, FlowChanges, Kind, Side};
use crate::report::{Figures, Identity, Window};
use enforcer_policy::diagnostic::counted;
use std::fmt::Write as _;

/// The flows as text. `untouched` are the changes of connectivity that no flow touched, each safe to show.
#[must_use]
pub fn flow_changes(report: &FlowChanges, untouched: &[String], colour: bool) -> String {
    let mut out = String::new();
    // Writing to a string doesn't fail.
    let _ = write(&mut out, report, untouched, colour);
    out
}

fn write(out: &mut String, report: &FlowChanges, untouched: &[String], colour: bool) -> std::fmt::Result {
    totals(out, report, colour)?;
    for kind in Kind::ALL {
        section(out, report, kind, colour)?;
    }
    if !untouched.is_empty() {
        writeln!(
            out,
            "\nCHANGED CONNECTIVITY THAT NO RECORDED FLOW TOUCHED (this recording can't tell who needs it)"
        )?;
        untouched.iter().take(SHOWN).try_for_each(|text| writeln!(out, "  {text}"))?;
        more(out, untouched.len())?;
    }
    if !report.notes.is_empty() {
        writeln!(out, "\nTO READ THIS RIGHT")?;
        report.notes.iter().try_for_each(|note| writeln!(out, "  {}", long(note)))?;
    }
    Ok(())
}

fn totals(out: &mut String, report: &FlowChanges, colour: bool) -> std::fmt::Result {
    let FlowChanges { unchanged, changed, .. } = report;
    let word = |figures: Figures, word: &str, code: &str| {
        let text = format!("{} {word}", figures.flows);
        if colour && figures.flows > 0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
    };
    let mut stay = vec![
        format!("{} allowed", unchanged.allowed.flows),
        format!("{} denied", unchanged.denied.flows),
        format!("{} audited", unchanged.audited.flows),
    ];
    if unchanged.unjudged.flows > 0 {
        stay.push(format!("{} unjudged", unchanged.unjudged.flows));
    }
    let mut parts = vec![
        word(changed.newly_denied, "newly denied", "31"),
        word(changed.newly_allowed, "newly allowed", "32"),
        word(changed.newly_audited, "newly audited", "33"),
    ];
    if changed.newly_unjudged.flows > 0 {
        parts.push(word(changed.newly_unjudged, "no longer judged", "33"));
    }
    parts.push(format!("unchanged: {}", stay.join(", ")));
    writeln!(out, "{}: {}", counted(report.totals.flows, "recorded flow"), parts.join(", "))?;
    if report.cause_only.flows > 0 {
        let flows = counted(report.cause_only.flows, "unchanged flow");
        writeln!(out, "  {flows}: decided by another rule or reason than before")?;
    }
    if report.breaks.flows > 0 {
        let Figures { flows, packets, .. } = report.breaks;
        writeln!(
            out,
            "  {}, {}: passed before and would be dropped",
            counted(flows, "flow"),
            counted(packets, "packet")
        )?;
    }
    if report.opens.flows > 0 {
        let Figures { flows, packets, .. } = report.opens;
        writeln!(
            out,
            "  {}, {}: dropped before and would pass",
            counted(flows, "flow"),
            counted(packets, "packet")
        )?;
    }
    if let Some(window) = report.window {
        writeln!(out, "  from {} to {}", instant(window.first), instant(window.last))?;
    }
    match report.as_of {
        Some(at) => writeln!(out, "  policies as of {}", instant(at))?,
        None => writeln!(out, "  policies as of each packet's and record's own time")?,
    }
    let mut lacks = Vec::new();
    if report.totals.gaps > 0 {
        lacks.push(counted(report.totals.gaps, "gap"));
    }
    if report.totals.damaged > 0 {
        lacks.push(format!("{} damaged", report.totals.damaged));
    }
    if lacks.is_empty() { Ok(()) } else { writeln!(out, "  {}", lacks.join(", ")) }
}

fn title(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::NewlyDenied => ("NEWLY DENIED", "31"),
        Kind::NewlyAudited => ("NEWLY AUDITED", "33"),
        Kind::NewlyAllowed => ("NEWLY ALLOWED", "32"),
        Kind::NewlyUnjudged => ("NO LONGER JUDGED (neither end is a managed workload any more)", "33"),
    }
}

fn section(out: &mut String, report: &FlowChanges, kind: Kind, colour: bool) -> std::fmt::Result {
    let groups: Vec<&FlowChange> = report.with(kind).collect();
    if groups.is_empty() {
        return Ok(());
    }
    match (title(kind), colour) {
        ((title, code), true) => writeln!(out, "\n\u{1b}[{code}m{title}\u{1b}[0m")?,
        ((title, _), false) => writeln!(out, "\n{title}")?,
    }
    let header =
        ["#", "FLOWS", "SOURCE", "DESTINATION", "PORT", "OLD", "NEW", "FIRST SEEN", "LAST SEEN", "PACKETS"];
    let mut lines = table(&header);
    let mut rows = rows(&groups);
    let all = rows.len();
    rows.truncate(SHOWN);
    for (row, number) in rows.iter().zip(1..) {
        let (group, seen) = (row.first(), row.seen());
        let seen =
            |of: fn(Window) -> jiff::Timestamp| seen.map_or_else(|| "-".to_owned(), |seen| instant(of(seen)));
        let end = |is: &Identity, was: &Option<Identity>, address| {
            let now = located(is, &group.traffic.samples, group.traffic.more_samples, address);
            was.as_ref().map_or(now.clone(), |was| format!("{now}, was {}", identity(was)))
        };
        let destination = match (row.is_sweep(), row.destinations()) {
            (true, several @ 2..) => counted(several as u64, "identity"),
            _ => end(&group.destination, &group.old_destination, |sample| sample.destination),
        };
        let port =
            if row.is_sweep() { counted(row.ports() as u64, "port") } else { group.traffic.port.clone() };
        lines.add_row([
            number.to_string(),
            row.figures().flows.to_string(),
            end(&group.source, &group.old_source, |sample| sample.source),
            destination,
            port,
            side(&group.old),
            side(&group.new),
            seen(|window| window.first),
            seen(|window| window.last),
            row.figures().packets.to_string(),
        ]);
    }
    print(out, &lines)?;
    more(out, all)?;
    mends(out, &rows)
}

/// What would have the new set let pass what it doesn't.
fn mends(out: &mut String, rows: &[Row<'_, FlowChange>]) -> std::fmt::Result {
    let mut told = false;
    for (row, number) in rows.iter().zip(1..) {
        if row.is_sweep() {
            writeln!(out, "    #{number}: {}", swept(row.groups.len()))?;
            continue;
        }
        let group = row.first();
        let miss = group.nearest_miss.as_ref().map(near);
        let Some(entry) = &group.allow else {
            if let Some(help) = group.hint.map(str::to_owned).or(miss) {
                writeln!(out, "    #{number}: {help}")?;
            }
            continue;
        };
        if !told {
            writeln!(out, "\n  what would allow them, for a FlowPolicy's `flows`:")?;
            told = true;
        }
        writeln!(out, "    {entry}  # {number}")?;
        if let Some(miss) = miss {
            writeln!(out, "      # nearest: {miss}")?;
        }
    }
    Ok(())
}

/// `allowed  shop#0  shop.yaml:14`; an audited one says whether it passes.
fn side(side: &Side) -> String {
    let word = match (side.verdict, side.passes) {
        ("audited", true) => "audited (passes)",
        ("audited", false) => "audited (dropped)",
        (word, _) => word,
    };
    side.cause.as_ref().map_or_else(|| word.to_owned(), |why| format!("{word}  {}", cause(why)))
}
