//! The revocation part of `cargo xtask bench`: how long after a change the last packet passes of a thousand live flows that it cuts, for each kind of
//! change. `bench-revocation [DIRECTORY]` writes `revocation.md` and `revocation.json` there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_tests::revocation::{Revocation, Scene, by_flow_and_hook};
use enforcer_tests::{End, World, policy};
use serde_json::{Value, json};

/// Flows that each change cuts, and those beside them that lose nothing.
const CUT: u16 = 1000;
const KEPT: u16 = 200;
/// How often each end sends. What passes last is found out no finer than that for one flow, but the flows take turns.
const PACE: Duration = Duration::from_millis(50);
/// Each kind is tried that often; the round whose p99 is the median counts.
const ROUNDS: usize = 5;
/// Policies in force while a workload is quarantined.
const POLICIES: u32 = 10_000;

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    fn json(self) -> Value {
        let Self { p50, p99, max } = self;
        json!({"p50": p50, "p99": p99, "max": max})
    }
}

/// One change over all flows: until the last packet that passed, and as the records tell it until the first that was denied.
#[derive(Debug, Clone, Copy)]
struct Round {
    last_passed: Spread,
    recorded: Spread,
}

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).map(PathBuf::from);
    let mut scene = Scene::new(World::new("bench", "revocation")?, KEPT, CUT, PACE)?;
    let mut lines = format!(
        "{CUT} live flows, TCP and UDP over IPv4 and IPv6, each end sending every {} ms; milliseconds\n\n\
         | change | to the last packet passed: p50 | p99 | max | p99 of the worst of {ROUNDS} rounds | recorded delay: p50 | p99 | max |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        PACE.as_millis()
    );
    let mut rows = Vec::new();
    let mut held = Scene::new(World::new("bench", "quarantine")?, 0, CUT, PACE)?;
    held.change(|scene| scene.write("70-many.yaml", &many()))?;
    let all = Revocation::ALL.into_iter().chain([Revocation::Quarantined]);
    for kind in all {
        let scene = if kind == Revocation::Quarantined { &mut held } else { &mut scene };
        let mut rounds = (0..ROUNDS).map(|_| round(scene, kind)).collect::<Result<Vec<_>>>()?;
        rounds.sort_by(|a, b| a.last_passed.p99.total_cmp(&b.last_passed.p99));
        let worst = rounds[ROUNDS - 1].last_passed.p99;
        let Round { last_passed: last, recorded } = rounds[ROUNDS / 2];
        writeln!(
            lines,
            "| {} | {:.1} | {:.1} | {:.1} | {worst:.1} | {:.1} | {:.1} | {:.1} |",
            kind.word(),
            last.p50,
            last.p99,
            last.max,
            recorded.p50,
            recorded.p99,
            recorded.max
        )?;
        rows.push(json!({
            "change": kind.word(),
            "last_passed_ms": last.json(),
            "worst_round_p99_ms": worst,
            "recorded_delay_ms": recorded.json(),
        }));
    }
    scene.crowd().expect_whole(scene.kept(), "flows that no change concerns");
    print!("{lines}");
    if let Some(directory) = directory {
        std::fs::create_dir_all(&directory).context("cannot make the directory for the results")?;
        std::fs::write(directory.join("revocation.md"), lines).context("cannot write `revocation.md`")?;
        let report = json!({"schema": "enforcer.bench-revocation/v1", "flows": CUT, "rows": rows});
        std::fs::write(directory.join("revocation.json"), report.to_string())
            .context("cannot write `revocation.json`")?;
    }
    Ok(())
}

/// As many policies as a large site has, none of which concerns anybody here: a quarantine is tried beside them.
fn many() -> String {
    let flow = |n: u32| format!("{{labels: {{app: from-{n}}}}} -> {{labels: {{app: to-{n}}}}} tcp/443");
    (0..POLICIES).map(|n| policy(&format!("many-{n}"), "", &[&flow(n)])).collect()
}

fn round(scene: &mut Scene, kind: Revocation) -> Result<Round> {
    let change = scene.revoke(kind)?;
    // One record for each flow at least: those of both hooks come together.
    let records = scene.wait_told(&change, |records| by_flow(records) >= change.cut.len());
    let last = |end: &End| end.last.saturating_sub(change.made.boot) as f64 / 1e6;
    let flows = scene.crowd().states(&change.cut);
    let last = flows.iter().map(|flow| flow.ends.iter().map(last).fold(0.0, f64::max));
    let delays = records.iter().filter_map(|record| record["cut"]["delay_us"].as_f64());
    let round = Round {
        last_passed: Spread::of(last.collect()),
        recorded: Spread::of(delays.map(|delay| delay / 1e3).collect()),
    };
    if kind == Revocation::Quarantined {
        scene.release()?;
    }
    scene.restore(&change)?;
    Ok(round)
}

/// How many flows these records are of.
fn by_flow(records: &[Value]) -> usize {
    by_flow_and_hook(records).into_keys().map(|(name, _)| name).collect::<BTreeSet<_>>().len()
}
