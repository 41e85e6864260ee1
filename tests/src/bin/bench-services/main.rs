//! The services' part of `cargo xtask bench`: how many bytes two services of one host exchange over loopback in a second, one at a time, with the
//! enforcer and without, in turns. `bench-services [DIRECTORY]` writes `services.md` and `services.json` there.
//!
//! One byte each way is the worst case: nothing is sent that isn't judged, twice. A second pair without the enforcer tells how far apart two measurements
//! of the same are.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_tests::{DaemonOptions, Resident, World, policy};
use serde_json::{Value, json};

/// Rounds, of which the median ratio counts.
const ROUNDS: usize = 41;
/// How long one round lasts.
const ROUND: Duration = Duration::from_millis(250);
const PORT: u16 = 7000;
const RULES: usize = 1_000;

/// Two services of one host.
struct Pair {
    client: Resident,
    server: Resident,
    world: World,
}

/// Exchanges per second without and with, and the ratios between neighbours: the median, and between which a half of them lies.
struct Compared {
    without: f64,
    with: f64,
    ratio: f64,
    quartiles: [f64; 2],
}

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).map(PathBuf::from);
    let mut pairs = [pair("bare")?, pair("again")?, pair("held")?];
    let held = &mut pairs[2];
    held.world.start_daemon(DaemonOptions::with_policy(&documents()))?.wait_until_ready()?;
    let mut lines = String::from(
        "| services' processors | family | beside | exchanges/s without | with | ratio | a half of the rounds |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut rows = Vec::new();
    for (place, cpus) in [("one", [0, 0]), ("one each", [0, 1])] {
        if cpus[1] >= std::thread::available_parallelism()?.get() {
            continue;
        }
        for pair in &mut pairs {
            pair.client.stay_on(cpus[0]);
            pair.server.stay_on(cpus[1]);
        }
        for v6 in [false, true] {
            let to = target(v6, cpus[1]);
            for pair in &mut pairs {
                pair.server.serve_exchanges(to);
            }
            let [noise, held] = compare(&mut pairs, to);
            for (beside, Compared { without, with, ratio, quartiles: [low, high] }) in
                [("no enforcer", noise), ("the enforcer", held)]
            {
                let family = if v6 { "IPv6" } else { "IPv4" };
                writeln!(
                    lines,
                    "| {place} | {family} | {beside} | {without:.0} | {with:.0} | {ratio:.3} | {low:.3}-{high:.3} |"
                )?;
                rows.push(json!({
                    "processors": place, "family": family, "beside": beside, "without": without, "with": with,
                    "ratio": ratio, "quartiles": [low, high],
                }));
            }
        }
    }
    print!("{lines}");
    if let Some(directory) = directory {
        std::fs::create_dir_all(&directory).context("cannot make the directory for the results")?;
        std::fs::write(directory.join("services.md"), lines).context("cannot write `services.md`")?;
        let report = json!({"schema": "enforcer.bench-services/v1", "rows": Value::from(rows)});
        std::fs::write(directory.join("services.json"), report.to_string())
            .context("cannot write `services.json`")?;
    }
    Ok(())
}

fn pair(name: &str) -> Result<Pair> {
    let world = World::new("bench", name)?;
    let [client, server] =
        ["client", "server"].map(|name| world.resident(&format!("bench.slice/{name}.service")));
    Ok(Pair { client, server, world })
}

fn target(v6: bool, cpu: usize) -> SocketAddr {
    // Each place has a server of its own.
    let port = PORT + cpu as u16;
    if v6 { (Ipv6Addr::LOCALHOST, port).into() } else { (Ipv4Addr::LOCALHOST, port).into() }
}

/// The one rule that is used, among others between other services.
fn documents() -> String {
    let mut text = String::new();
    for n in 0..RULES {
        let (name, unit) = match n {
            0 => ("client".to_owned(), "client".to_owned()),
            1 => ("server".to_owned(), "server".to_owned()),
            n => (format!("other-{n}"), format!("other-{n}")),
        };
        text += &format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\n\
             spec: {{labels: {{app: {name}}}, match: [{{unit: {unit}.service}}]}}\n"
        );
    }
    let other =
        |n: usize| policy(&format!("other-{n}"), "", &[&format!("other-{n} -> other-{} tcp/443", n + 1)]);
    text + &policy("used", "", &["client -> server tcp/7000", "client -> server tcp/7001"])
        + &(2..RULES - 1).map(other).collect::<String>()
}

/// The second pair and the third, each beside the first.
fn compare(pairs: &mut [Pair; 3], to: SocketAddr) -> [Compared; 2] {
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (pair, rates) in pairs.iter_mut().zip(&mut rates) {
            rates.push(pair.client.exchanges(to, ROUND) as f64 / ROUND.as_secs_f64());
        }
    }
    let at = |mut values: Vec<f64>, share: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share).round() as usize]
    };
    [1, 2].map(|one| {
        let ratios: Vec<f64> =
            rates[one].iter().zip(&rates[0]).map(|(with, without)| with / without).collect();
        Compared {
            without: at(rates[0].clone(), 0.5),
            with: at(rates[one].clone(), 0.5),
            ratio: at(ratios.clone(), 0.5),
            quartiles: [0.25, 0.75].map(|share| at(ratios.clone(), share)),
        }
    })
}
