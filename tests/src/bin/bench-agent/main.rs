//! The agent's part of `cargo xtask bench`: how long a start takes that adopts what is pinned, what becomes of a thousand services that are started and
//! stopped in a minute, and how much memory a large set takes. `bench-agent [DIRECTORY [PART]]` writes `agent.md` and `agent.json` there; the parts
//! are `restart`, `units` and `memory`.

mod memory;
mod process;
mod restart;
mod units;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

/// What was measured: its name, its value, its unit.
type Figures = Vec<(String, f64, &'static str)>;
/// A part by its name.
type Part = (&'static str, fn() -> Result<Figures>);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map(PathBuf::from);
    let only = arguments.next();
    let parts: [Part; 3] =
        [("restart", restart::measure), ("units", units::measure), ("memory", memory::measure)];
    let mut lines = String::from("| figure | value |\n| --- | --- |\n");
    let mut rows = Vec::new();
    for (part, measure) in parts {
        if only.as_ref().is_some_and(|only| only != part) {
            continue;
        }
        for (what, value, unit) in measure().with_context(|| format!("`{part}` failed"))? {
            println!("{part}: {what}: {value:.1} {unit}");
            writeln!(lines, "| {what} | {value:.1} {unit} |")?;
            rows.push(json!({"part": part, "figure": what, "value": value, "unit": unit}));
        }
    }
    if let Some(directory) = directory {
        std::fs::create_dir_all(&directory).context("cannot make the directory for the results")?;
        std::fs::write(directory.join("agent.md"), lines).context("cannot write `agent.md`")?;
        let report = json!({"schema": "enforcer.bench-agent/v1", "rows": rows});
        std::fs::write(directory.join("agent.json"), report.to_string())
            .context("cannot write `agent.json`")?;
    }
    Ok(())
}

/// The value that this share of all is at or below.
fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// A Workload known by its unit.
fn unit(name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
         spec: {{labels: {{{labels}}}, match: [{{unit: {name}.service}}]}}\n"
    )
}
