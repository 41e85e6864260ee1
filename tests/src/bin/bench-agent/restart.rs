//! From the start of a daemon after another was killed until it says that it is ready, with a thousand workloads.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{DaemonOptions, World, policy};

use crate::process::time;
use crate::{Figures, at, unit};

/// Of each kind: behind devices, and in cgroups.
const WORKLOADS: usize = 500;
const ROUNDS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Result<Figures> {
    let mut world = World::new("bench", "restart")?;
    let mut lines: Vec<String> = Vec::new();
    let mut text = String::new();
    for n in 0..WORKLOADS {
        let end = if n % 2 == 0 {
            format!("link add enf-d{n} type veth peer name enf-d{}", n + 1)
        } else {
            format!("link set enf-d{n} up")
        };
        lines.push(end);
        text += &format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: d{n}}}\nspec: {{labels: {{app: d{n}}}, \
             match: [{{interface: enf-d{n}}}], addresses: [10.90.{}.{}]}}\n",
            n / 250,
            n % 250 + 1
        );
        text += &unit(&format!("u{n}"), &format!("app: u{n}"));
        text += &policy(
            &format!("p{n}"),
            "",
            &[&format!("d{n} -> u{n} tcp/443"), &format!("u{n} -> d{} udp/53", (n + 1) % WORKLOADS)],
        );
        let cgroup = world.cgroup().join(format!("bench.slice/u{n}.service"));
        std::fs::create_dir_all(&cgroup).context("cannot make a cgroup")?;
    }
    lines.sort_by_key(|line| line.starts_with("link set"));
    world.ip(&lines.iter().map(String::as_str).collect::<Vec<_>>())?;
    let path = world.dir().join("notify");
    let notified = UnixDatagram::bind(&path).context("cannot listen for the daemon's notes")?;
    notified.set_read_timeout(Some(PATIENCE))?;
    let environment = vec![("NOTIFY_SOCKET".to_owned(), path.display().to_string())];
    let daemon = world.start_daemon(DaemonOptions { environment, ..DaemonOptions::with_policy(&text) })?;
    ready(&notified)?;
    let program = daemon.program().to_owned();
    let (mut times, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // What a daemon writes down some seconds after a change is written when it is killed.
        std::thread::sleep(Duration::from_secs(1));
        daemon.kill()?;
        let start = Instant::now();
        daemon.start_again(&program)?;
        ready(&notified)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        busy.push(time(daemon.id()?)?.as_secs_f64() * 1e3);
        daemon.wait_until_ready()?;
        let status = daemon.status()?;
        let hooked = status["workloads"].as_array().into_iter().flatten().filter(|one| {
            let attached = |list: &str| one[list].as_array().is_some_and(|all| !all.is_empty());
            attached("interfaces") || attached("cgroups")
        });
        let hooked = hooked.count();
        ensure!(status["state"] == "enforcing", "the daemon isn't well: {}", status["degraded"]);
        ensure!(hooked == 2 * WORKLOADS, "only {hooked} workloads are held");
    }
    let what = |share: &str| {
        format!("restart with {} workloads, half of them behind devices, until ready: {share}", 2 * WORKLOADS)
    };
    Ok(vec![
        (what("median"), at(&mut times, 0.5), "ms"),
        (what("longest"), at(&mut times, 1.0), "ms"),
        (what("processor time, median"), at(&mut busy, 0.5), "ms"),
    ])
}

/// Waits for the note that a service manager waits for.
fn ready(notified: &UnixDatagram) -> Result<()> {
    let mut note = [0; 4096];
    loop {
        let length = notified.recv(&mut note).context("the daemon doesn't get ready")?;
        if String::from_utf8_lossy(&note[..length]).lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}
