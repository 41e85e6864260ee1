//! What the reader sees: plain text, the same on and off a terminal.

use std::time::Duration;

use comfy_table::{Table, presets};
use enforcer_tests::Seen;

use crate::causes::Cause;
use crate::expect::{Expected, Oracle};
use crate::matrix::Patience;
use crate::revoke::{Direction, Revocation};
use crate::shop::{Case, Shop};

/// A heading.
pub(crate) fn step(text: &str) {
    println!("\n== {text}");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

/// What passed without the enforcer: everything should. Returns how many attempts didn't.
pub(crate) fn control(cases: &[Case], seen: &[Seen]) -> usize {
    let failed: Vec<_> = cases.iter().zip(seen).filter(|(_, seen)| !seen.passed()).collect();
    println!(
        "{} of {} passed: what is silent from here on is the enforcer's doing",
        cases.len() - failed.len(),
        cases.len()
    );
    for (case, seen) in &failed {
        println!("WRONG: {case:?}: {seen}");
    }
    failed.len()
}

/// Attempts between one pair that were expected, seen and decided alike.
struct Row<'a> {
    protocols: Vec<String>,
    expected: Expected,
    seen: Vec<&'a Seen>,
    cause: &'a Cause,
    right: bool,
}

/// The matrix: expected, seen, deciding rule. Returns how many attempts weren't as expected.
pub(crate) fn matrix(
    shop: &Shop,
    cases: &[Case],
    oracle: &Oracle<'_>,
    seen: &[Seen],
    causes: &[Cause],
) -> usize {
    let mut table = table(&["from", "to", "port", "expected", "seen (IPv4 and IPv6)", "decided by", ""]);
    let mut wrong = 0;
    let (mut allowed, mut recorded) = (0, 0);
    let per_pair = cases.chunk_by(|a, b| (a.from, a.to) == (b.from, b.to));
    let mut offset = 0;
    for pair in per_pair {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (index, case) in (offset..).zip(pair) {
            let expected = oracle.expects(shop, case);
            let (seen, cause) = (&seen[index], &causes[index]);
            let right = is_right(&expected, seen, cause);
            wrong += usize::from(!right);
            allowed += usize::from(seen.passed());
            recorded += usize::from(cause.recorded);
            let name = case.protocol.to_string();
            let alike = |row: &&mut Row<'_>| {
                (&row.expected, row.right, &row.cause.name) == (&expected, right, &cause.name)
                    && row.seen[0].passed() == seen.passed()
            };
            match rows.iter_mut().find(alike) {
                Some(row) => {
                    row.seen.push(seen);
                    if !row.protocols.contains(&name) {
                        row.protocols.push(name);
                    }
                }
                None => rows.push(Row { protocols: vec![name], expected, seen: vec![seen], cause, right }),
            }
        }
        offset += pair.len();
        let (from, to) = (shop.workloads[pair[0].from].name(), shop.workloads[pair[0].to].name());
        for row in rows {
            table.add_row([
                from.to_owned(),
                to.to_owned(),
                row.protocols.join(" "),
                word(row.expected.passes).to_owned(),
                sum_up(&row.seen),
                decided_by(row.cause),
                if row.right { String::new() } else { format!("WRONG: expected {}", row.expected.cause) },
            ]);
        }
    }
    println!("{table}");
    println!(
        "{} attempts: {allowed} passed, {} were silent or refused; {} as expected, {wrong} not",
        cases.len(),
        cases.len() - allowed,
        cases.len() - wrong
    );
    println!(
        "deciding rules: {recorded} from the kernel's records of these flows, {} from `enforcer explain`",
        cases.len() - recorded
    );
    wrong
}

fn is_right(expected: &Expected, seen: &Seen, cause: &Cause) -> bool {
    // A deny is silence: a refusal would have come from the other end, so something got through.
    let verdict = if expected.passes { seen.passed() } else { seen.silent() };
    verdict && cause.name == expected.cause
}

fn word(passes: bool) -> &'static str {
    if passes { "allowed" } else { "denied" }
}

fn decided_by(cause: &Cause) -> String {
    match &cause.place {
        Some(place) => format!("{} ({place})", cause.name),
        None => cause.name.clone(),
    }
}

/// `2 passed in 0.3-0.4 ms`, or `8 × nothing in 300 ms`.
fn sum_up(seen: &[&Seen]) -> String {
    let times: Vec<f64> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Passed(after) => Some(millis(*after)),
            Seen::Silence | Seen::Refused(_) => None,
        })
        .collect();
    if times.is_empty() {
        return match seen.iter().find(|seen| !seen.silent()) {
            Some(other) => format!("{} x {other}", seen.len()),
            None => format!("{} x nothing in {:.0} ms", seen.len(), millis(Patience::Short.duration())),
        };
    }
    let (least, most) =
        times.iter().fold((f64::MAX, 0.0_f64), |(least, most), time| (least.min(*time), most.max(*time)));
    format!("{} passed in {least:.1}-{most:.1} ms", times.len())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// What the streams saw. Returns how many directions weren't as they should be.
pub(crate) fn revocation(revocation: &Revocation) -> usize {
    let mut table = table(&[
        "stream",
        "over",
        "rule",
        "kB/s before",
        "longest gap",
        "kB after",
        "last byte",
        "longest gap",
        "lost",
        "",
    ]);
    for direction in &revocation.directions {
        table.add_row(line(direction));
    }
    println!("{table}");
    println!(
        "watched for {:.1} s after the removal; `last byte` counts from it; `longest gap` lies between two arrivals",
        revocation.watched.as_secs_f64()
    );
    println!("a new connection from checkout to ledger: {}", revocation.revoked_again);
    println!("a new connection from batch to ledger: {}", revocation.neighbour_again);
    let directions = revocation.directions.iter().filter(|direction| !direction.is_right()).count();
    directions
        + usize::from(!revocation.revoked_again.silent())
        + usize::from(!revocation.neighbour_again.passed())
}

fn line(direction: &Direction) -> Vec<String> {
    let rate = direction.before.bytes as f64 / 1000.0 / direction.before_for.as_secs_f64();
    let what = match (direction.is_right(), direction.revoked) {
        (true, true) => "stopped",
        (true, false) => "undisturbed",
        (false, true) => "WRONG: goes on",
        (false, false) => "WRONG: disturbed",
    };
    let (last, gap) = if direction.revoked {
        (format!("{:.3} ms", millis(direction.last)), "-".to_owned())
    } else {
        ("goes on".to_owned(), format!("{:.1} ms", millis(direction.after.longest_gap)))
    };
    let lost = direction
        .lost
        .map_or_else(|| "-".to_owned(), |(before, after)| after.saturating_sub(before).to_string());
    vec![
        format!("{} -> {}", direction.from, direction.to),
        direction.how.clone(),
        if direction.revoked { "removed" } else { "stays" }.to_owned(),
        format!("{rate:.0}"),
        format!("{:.1} ms", millis(direction.before.longest_gap)),
        format!("{:.1}", direction.after.bytes as f64 / 1000.0),
        last,
        gap,
        lost,
        what.to_owned(),
    ]
}

/// The last line.
pub(crate) fn verdict(wrong: usize, took: Duration) {
    let took = took.as_secs_f64();
    if wrong == 0 {
        println!("\neverything was as the policies say ({took:.1} s)");
    } else {
        println!("\nWRONG: {wrong} things weren't as the policies say ({took:.1} s)");
    }
}
