//! The wire part of `cargo xtask bench`: new TCP connections per second and bytes per second between two namespaces, beside the same
//! world without the enforcer, in turns. `bench-connections [DIRECTORY]` writes `wire.md` and `wire.json` there.

mod drive;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use enforcer_tests::{DaemonOptions, Workload, World};
use serde_json::{Value, json};

use drive::{bytes_per_second, connections_per_second};

/// Rounds, of which the median ratio counts.
const ROUNDS: usize = 25;
/// The server's port; the policy set names it.
const PORT: u16 = 7000;

/// Both ends of one world.
struct Pair {
    // Taken down when it is dropped.
    world: World,
    client: Workload,
    server: Workload,
}

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).map(PathBuf::from);
    let bare = pair("bare")?;
    let mut rows = Vec::new();
    let mut lines = String::from(
        "| rules | connections/s without | with | ratio | MB/s without | with | ratio |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for rules in [100, 10_000] {
        let mut held = pair(&format!("rules{rules}"))?;
        let policy = policy(&held, rules);
        held.world.start_daemon(DaemonOptions::with_policy(&policy))?.wait_until_ready()?;
        let connections = compare(&bare, &held, connections_per_second)?;
        let bytes = compare(&bare, &held, bytes_per_second)?;
        let [(a, b, c), (d, e, f)] = [connections, bytes];
        writeln!(lines, "| {rules} | {a:.0} | {b:.0} | {c:.3} | {:.0} | {:.0} | {f:.3} |", d / 1e6, e / 1e6)?;
        rows.push(json!({
            "rules": rules,
            "connections_per_second": {"without": a, "with": b, "ratio": c},
            "bytes_per_second": {"without": d, "with": e, "ratio": f},
        }));
    }
    print!("{lines}");
    if let Some(directory) = directory {
        std::fs::create_dir_all(&directory).context("cannot make the directory for the results")?;
        std::fs::write(directory.join("wire.md"), lines).context("cannot write `wire.md`")?;
        let report = json!({"schema": "enforcer.bench-wire/v1", "rows": Value::from(rows)});
        std::fs::write(directory.join("wire.json"), report.to_string())
            .context("cannot write `wire.json`")?;
    }
    Ok(())
}

fn pair(name: &str) -> Result<Pair> {
    let mut world = World::new("bench", name)?;
    let client = world.workload("client", 10);
    let server = world.workload("server", 20);
    Ok(Pair { world, client, server })
}

/// The one rule that is used, among others between other workloads.
fn policy(pair: &Pair, rules: usize) -> String {
    let head = "apiVersion: enforcer.dev/v1alpha1\nkind:";
    let mut text = pair.client.document() + &pair.server.document();
    let mut rule = |name: &str, from: &str, to: &str, port: u16| {
        text += &format!(
            "---\n{head} FlowPolicy\nmetadata: {{name: {name}}}\nspec: {{flows: [{{from: [{{cidr: [{from}/32]}}], to: [{{cidr: [{to}/32]}}], ports: [tcp/{port}]}}]}}\n"
        );
    };
    rule("used", &pair.client.v4().to_string(), &pair.server.v4().to_string(), PORT);
    for n in 1..rules {
        let (from, to) =
            (format!("10.128.{}.{}", n / 250, n % 250), format!("10.129.{}.{}", n / 250, n % 250));
        rule(&format!("other-{n}"), &from, &to, 1 + (n % 60_000) as u16);
    }
    text
}

/// Medians of what `measure` finds without and with the enforcer, and of the ratio between neighbouring rounds.
fn compare(
    bare: &Pair,
    held: &Pair,
    measure: impl Fn(&Workload, &Workload, u16) -> Result<f64>,
) -> Result<(f64, f64, f64)> {
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let a = measure(&bare.client, &bare.server, PORT)?;
        let b = measure(&held.client, &held.server, PORT)?;
        without.push(a);
        with.push(b);
        ratios.push(b / a);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Ok((median(without), median(with), median(ratios)))
}
