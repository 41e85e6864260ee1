//! One page that holds everything and loads nothing.
//!
//! Guarantees:
//!
//! - every name is escaped for where it stands: askama escapes HTML, and what would act on a reader (controls, marks that turn text round) is
//!   spelled out before. Links go to ids that are made here; no script holds data;
//! - the page's own policy (CSP) forbids every load and every script and style but the two that it names by digest;
//! - its size is bounded: each table and the policies' text is cut at a number of rows, and says how many are left out.

mod graph;
mod lanes;
mod layers;
mod map;
mod matrix;
mod policies;
mod rows;
mod words;

use super::text::{self, instant};
use crate::report::{Figures, Report};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use enforcer_policy::diagnostic::shown_within;
use enforcer_policy::source::Source;
use graph::Graph;
use map::Map;
use matrix::Matrix;
use policies::Policies;
use rows::{Cut, Damage, Flow, Gap, Recording, Rule, Workload};
use sha2::{Digest, Sha256};
use words::number;

const STYLE: &str = include_str!("../../../templates/report.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");

/// Characters of a note.
const NOTE: usize = 600;
/// Notes.
const NOTES: usize = 200;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    security: String,
    style: &'static str,
    script: &'static str,
    tiles: [Tile; 4],
    changes: Vec<String>,
    facts: Vec<(&'static str, String)>,
    map: Option<Map>,
    matrix: Option<Matrix>,
    flows: Cut<Flow>,
    recorded: bool,
    rules: Cut<Rule>,
    unused: usize,
    workloads: Cut<Workload>,
    untouched: usize,
    recordings: Cut<Recording>,
    gaps: Cut<Gap>,
    damage: Cut<Damage>,
    notes: Vec<String>,
    policies: Policies,
}

/// A verdict's sum.
struct Tile {
    verdict: &'static str,
    mark: &'static str,
    meaning: &'static str,
    flows: String,
    packets: String,
    bytes: String,
    /// Where its part of the bar begins and how long it is, in thousandths.
    bar: (u64, u64),
}

/// The page, from a report and the text of the policies that it judged by.
///
/// # Errors
///
/// Where a template can't be written, which memory that is full could cause.
pub fn html(report: &Report, sources: &[Source]) -> Result<String, askama::Error> {
    let policies = Policies::of(report, sources);
    let graph = Graph::of(report);
    let map = Map::of(&graph);
    let matrix = if map.is_some() { None } else { Matrix::of(&graph) };
    let page = Page {
        security: security(),
        style: STYLE,
        script: SCRIPT,
        tiles: tiles(report),
        changes: changes(report),
        facts: facts(report),
        map,
        matrix,
        flows: rows::flows(report, &policies),
        recorded: report.groups.iter().any(|group| !group.recorded.is_silent()),
        rules: rows::rules(report, &policies),
        unused: report.unused().count(),
        workloads: rows::workloads(report, &policies),
        untouched: report.untouched().count(),
        recordings: rows::recordings(report),
        gaps: rows::gaps(report),
        damage: rows::damage(report),
        notes: report.notes.iter().take(NOTES).map(|note| shown_within(note, NOTE)).collect(),
        policies,
    };
    page.render()
}

/// What the page may do: nothing, but for its own script and style.
fn security() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(SCRIPT),
        digest(STYLE)
    )
}

fn tiles(report: &Report) -> [Tile; 4] {
    let verdicts = &report.verdicts;
    let all: u64 = [verdicts.allowed, verdicts.denied, verdicts.audited, verdicts.unjudged]
        .iter()
        .map(|figures| figures.flows)
        .sum();
    let mut done = 0;
    let mut tile = |verdict: &'static str, figures: Figures, meaning: &'static str| {
        let part = |flows: u64| (u128::from(flows) * 1000 / u128::from(all.max(1))) as u64;
        let begin = part(done);
        done += figures.flows;
        Tile {
            verdict,
            mark: words::mark(verdict),
            meaning,
            flows: number(figures.flows),
            packets: number(figures.packets),
            bytes: number(figures.bytes),
            bar: (begin, part(done) - begin),
        }
    };
    [
        tile("denied", verdicts.denied, "would be dropped"),
        tile("audited", verdicts.audited, "enforced and intended verdict differ"),
        tile("allowed", verdicts.allowed, "would pass"),
        tile("unjudged", verdicts.unjudged, "no hook would see them"),
    ]
}

/// Sentences, each with a capital.
fn changes(report: &Report) -> Vec<String> {
    let capital = |text: String| {
        let (first, rest) = text.split_at(1);
        first.to_uppercase() + rest
    };
    text::changes(report).into_iter().map(capital).collect()
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let totals = &report.totals;
    let mut facts = Vec::new();
    if let Some(window) = report.window {
        facts.push(("Window", format!("{} to {}", instant(window.first), instant(window.last))));
    }
    let as_of = report.as_of.map(instant);
    facts.push(("Policies as of", as_of.unwrap_or_else(|| "each packet's and record's own time".to_owned())));
    let mut counted = |name, number: u64| {
        if number > 0 {
            facts.push((name, words::number(number)));
        }
    };
    counted("Flows", totals.flows);
    counted("Addresses", totals.addresses);
    counted("Captured packets", totals.packets);
    counted("… judged", totals.judged);
    counted("… of no managed workload", totals.unjudged);
    counted("… captured twice", totals.repeated);
    counted("… cut off", totals.truncated);
    counted("… unreadable", totals.unreadable);
    counted("… not IP", totals.not_ip);
    counted("Neighbour discovery passed", totals.neighbours.passed);
    counted("Flow records", totals.records);
    counted("… of no managed workload", totals.records_unjudged);
    counted("Gaps", totals.gaps);
    counted("Damaged", totals.damaged);
    for (reason, number) in &totals.neighbours.denied {
        facts.push(("Neighbour discovery denied", format!("{} ({reason})", words::number(*number))));
    }
    facts
}
