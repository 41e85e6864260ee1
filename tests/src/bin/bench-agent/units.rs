//! A thousand services in a minute, each of which sends at once: to where it may, and to where it may not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{Burst, DaemonOptions, World, policy};

use crate::process::time;
use crate::{Figures, at, unit};

const UNITS: usize = 1_000;
const DURING: Duration = Duration::from_secs(60);
/// How long the agent is watched once nothing happens any more.
const IDLE: Duration = Duration::from_secs(20);

pub(crate) fn measure() -> Result<Figures> {
    let mut world = World::new("bench", "units")?;
    let mut server = world.resident("bench.slice/server.service");
    let mut text = unit("server", "app: server");
    text.extend((0..UNITS).map(|n| unit(&format!("unit-{n}"), "app: client")));
    text += &policy("used", "", &["client -> server udp/5000"]);
    world.start_daemon(DaemonOptions::with_policy(&text))?;
    let pid = world.daemon().id()?;
    let (began, before) = (Instant::now(), time(pid)?);
    let mut burst = Burst::open(&mut server, 5000)?;
    for n in 0..UNITS {
        let due = DURING.mul_f64(n as f64 / UNITS as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        burst.start(&world, &format!("bench.slice/unit-{n}.service"), n)?;
    }
    let took = began.elapsed();
    let seen = burst.end().context("the services don't end")?;
    let busy = time(pid)? - before;
    let mut delays: Vec<f64> = seen.delays.iter().flatten().map(|delay| delay.as_secs_f64() * 1e3).collect();
    ensure!(delays.len() == UNITS, "{} of {UNITS} services never got through", UNITS - delays.len());
    std::thread::sleep(Duration::from_secs(2));
    let before = time(pid)?;
    std::thread::sleep(IDLE);
    let idle = (time(pid)? - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    Ok(vec![
        (format!("{UNITS} services started and stopped within"), took.as_secs_f64(), "s"),
        (
            "of their first datagrams, those that were forbidden and passed".to_owned(),
            seen.slipped as f64,
            "of all",
        ),
        ("those that were forbidden".to_owned(), seen.forbidden as f64, "in all"),
        (
            "from a service's first datagram to the first that passes: median".to_owned(),
            at(&mut delays, 0.5),
            "ms",
        ),
        (
            "from a service's first datagram to the first that passes: p99".to_owned(),
            at(&mut delays, 0.99),
            "ms",
        ),
        (
            "from a service's first datagram to the first that passes: longest".to_owned(),
            at(&mut delays, 1.0),
            "ms",
        ),
        (
            "the agent meanwhile".to_owned(),
            busy.as_secs_f64() / took.as_secs_f64() * 100.0,
            "% of a processor",
        ),
        ("the agent afterwards, idle".to_owned(), idle, "% of a processor"),
    ])
}
