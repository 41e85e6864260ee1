//! What the agent takes with a thousand workloads here and a hundred thousand peers elsewhere: once loaded, and after a day's changes in fast motion.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{Daemon, DaemonOptions, World, policy};

use crate::process::memory;
use crate::{Figures, unit};

const LOCAL: usize = 1_000;
const PEERS: usize = 100_000;
/// Addresses of a group.
const GROUP: usize = 1_000;
/// Cgroups that come and go.
const CGROUPS: usize = 20_000;
/// Of these are there at a time.
const AT_ONCE: usize = 100;
/// Changes of a single workload's labels.
const LABELS: usize = 200;
/// Changes for which everything is compiled anew.
const RELOADS: usize = 200;
/// Looks at what is taken while changes go on.
const LOOKS: usize = 4;
const MIB: f64 = 1_048_576.0;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Result<Figures> {
    let mut figures = Figures::new();
    let groups = |n: usize| {
        let cidrs: Vec<String> = (0..GROUP).map(|k| format!("{}/32", address(n * GROUP + k))).collect();
        format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: AddressGroup\nmetadata: {{name: peers-{n}}}\nspec: {{labels: {{peer: g{n}}}, cidrs: [{}]}}\n",
            cidrs.join(", ")
        )
    };
    let peers: String = (0..PEERS / GROUP).map(groups).collect();
    with(&format!("{PEERS} peers in {} address groups", PEERS / GROUP), &peers, true, &mut figures)?;
    let workload = |n: usize| {
        format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: peer-{n}}}\nspec: {{labels: {{peer: g{}}}, addresses: [{}]}}\n",
            n / GROUP,
            address(n)
        )
    };
    let peers: String = (0..PEERS).map(workload).collect();
    with(&format!("{PEERS} peers that are workloads"), &peers, false, &mut figures)?;
    Ok(figures)
}

fn address(peer: usize) -> String {
    format!("10.{}.{}.{}", 100 + peer / 62_500, peer % 62_500 / 250, peer % 250 + 1)
}

fn with(what: &str, peers: &str, churn: bool, figures: &mut Figures) -> Result<()> {
    let mut world = World::new("bench", "memory")?;
    let local: String = (0..LOCAL).map(|n| unit(&format!("local-{n}"), &format!("app: a{n}"))).collect();
    for n in 0..LOCAL {
        fs::create_dir_all(world.cgroup().join(format!("bench.slice/local-{n}.service")))
            .context("cannot make a cgroup")?;
    }
    let rules = |port: usize| -> String {
        let rule = |n: usize| {
            let peer = format!("{{labels: {{peer: g{}}}}}", n % (PEERS / GROUP));
            policy(
                &format!("rule-{n}"),
                "",
                &[&format!("a{n} -> {peer} tcp/{port}"), &format!("{peer} -> a{n} tcp/443")],
            )
        };
        (0..LOCAL).map(rule).collect()
    };
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let documents =
        vec![file("local.yaml", &local), file("peers.yaml", peers), file("rules.yaml", &rules(443))];
    let daemon = world.start_daemon(DaemonOptions { documents, ..DaemonOptions::default() })?;
    let pid = daemon.id()?;
    // What a daemon writes down some seconds after a change is written by then.
    thread::sleep(Duration::from_secs(12));
    let mut note = |when: &str| -> Result<()> {
        let now = memory(pid)?;
        for (kind, bytes) in
            [("resident", now.resident), ("of these anonymous", now.anonymous), ("peak", now.peak)]
        {
            figures.push((format!("{LOCAL} workloads, {what}, {when}: {kind}"), bytes / MIB, "MiB"));
        }
        Ok(())
    };
    note("loaded")?;
    if !churn {
        return Ok(());
    }
    let cgroups = world.cgroup().join("bench.slice");
    for round in 1..=LOOKS {
        for n in 0..CGROUPS / LOOKS {
            let name = |n: usize| cgroups.join(format!("local-{}.service/job-{n}", n % LOCAL));
            fs::create_dir(name(n)).context("cannot make a cgroup")?;
            if n >= AT_ONCE {
                fs::remove_dir(name(n - AT_ONCE)).context("cannot remove a cgroup")?;
            }
        }
        for n in CGROUPS / LOOKS - AT_ONCE..CGROUPS / LOOKS {
            fs::remove_dir(cgroups.join(format!("local-{}.service/job-{n}", n % LOCAL)))
                .context("cannot remove a cgroup")?;
        }
        let daemon = world.daemon();
        for n in 0..LABELS / LOOKS {
            let labels = local.replacen("app: a7}", &format!("app: a7, turn: t{}}}", n % 2), 1);
            changed(daemon, |daemon| daemon.write_policy("local.yaml", &labels))?;
        }
        for n in 0..RELOADS / LOOKS {
            changed(daemon, |daemon| daemon.write_policy("rules.yaml", &rules(1_000 + n)))?;
        }
        thread::sleep(Duration::from_secs(12));
        note(&format!(
            "after {} cgroups, {} changed labels, {} reloads",
            CGROUPS / LOOKS * round,
            LABELS / LOOKS * round,
            RELOADS / LOOKS * round
        ))?;
    }
    ensure!(world.daemon().status()?["state"] == "enforcing", "the daemon isn't well");
    Ok(())
}

/// Makes a change, and waits until it is in force.
fn changed(daemon: &Daemon, change: impl FnOnce(&Daemon) -> Result<()>) -> Result<()> {
    let epoch = |daemon: &Daemon| Ok::<_, anyhow::Error>(daemon.status()?["epoch"].as_u64());
    let before = epoch(daemon)?;
    change(daemon)?;
    let start = Instant::now();
    while epoch(daemon)? == before {
        ensure!(start.elapsed() < PATIENCE, "a change never came in force\n{}", daemon.log_tail(10));
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
