//! A machine that starts again: the last good set is in force from disk, before any daemon runs.

use std::fs;
use std::time::{Duration, Instant};

use enforcer_tests::{
    CommandOutput, DaemonOptions, Probe, Protocol, Volley, Workload, World, documents, policy, world,
};

const ALLOWED: u16 = 443;
const FORBIDDEN: u16 = 444;

fn passes(from: &Workload, to: &Workload, port: u16) -> bool {
    Probe::new(from, to.v4(), Protocol::Tcp(port)).timeout(Duration::from_millis(300)).run().passed()
}

fn shop(world: &mut World) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let rules = policy("shop", "", &["web -> checkout udp/443", "web -> checkout tcp/443"]);
    let text = documents(&[&web, &checkout], &[rules]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    (web, checkout)
}

fn restore(world: &mut World) -> CommandOutput {
    let config = world.daemon().config().to_str().unwrap().to_owned();
    world.daemon().enforcer(&["restore", "--config", &config]).unwrap()
}

/// What a reboot leaves of the pins. Links that nothing holds any more let go, soon: then what was forbidden passes.
fn forget_until(world: &World, mut passes: impl FnMut() -> bool) {
    for entry in fs::read_dir(world.pins()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let start = Instant::now();
    while !passes() {
        assert!(start.elapsed() < Duration::from_secs(20), "something of it is left");
    }
}

fn forget(world: &World, from: &Workload, to: &Workload) {
    forget_until(world, || passes(from, to, FORBIDDEN));
}

#[test]
fn e101_the_last_good_set_is_in_force_before_the_daemon_and_is_adopted_without_a_gap() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let echo = checkout.serve(&[Protocol::Tcp(ALLOWED), Protocol::Tcp(FORBIDDEN)]);
    world.daemon().terminate().unwrap();
    forget(&world, &web, &checkout);

    // No source is asked: the policy files may be on a disk that isn't there yet.
    let (policies, away) = (world.daemon().policies(), world.dir().join("away"));
    fs::rename(&policies, &away).unwrap();
    let said = restore(&mut world);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.ends_with("is in force again: 2 devices hooked\n"), "{said:?}");
    assert!(
        passes(&web, &checkout, ALLOWED) && !passes(&web, &checkout, FORBIDDEN),
        "with no daemon running"
    );
    fs::rename(&away, &policies).unwrap();
    drop(echo);

    let volley = Volley::begin(&web, (&checkout, ALLOWED), (&checkout, FORBIDDEN)).unwrap();
    world.daemon().restart().unwrap();
    let fate = volley.end();
    println!("adopted: {fate:?}");
    assert_eq!((fate.slipped, fate.arrived, fate.returned), (0, fate.allowed, fate.echoed), "{fate:?}");
    assert!(fate.allowed > 1_000 && fate.forbidden > 1_000, "too few to tell");
    let status = world.daemon().status().unwrap();
    assert_eq!(
        (&status["state"], &status["tamper"]["count"]),
        (&"enforcing".into(), &0.into()),
        "{status:#}"
    );
}

#[test]
fn what_is_in_force_is_left_alone_and_nothing_is_made_of_nothing() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[Protocol::Tcp(ALLOWED), Protocol::Tcp(FORBIDDEN)]);
    let refused = restore(&mut world);
    assert_eq!(refused.code, Some(2), "a daemon runs: {refused:?}");
    assert!(refused.stderr.contains("another daemon"), "{refused:?}");
    world.daemon().terminate().unwrap();
    let said = restore(&mut world);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with("a set is in force already"), "{said:?}");

    // A set that can't be read any more is told, and nothing is put in its place.
    forget(&world, &web, &checkout);
    let state = world.dir().join("state");
    fs::write(state.join("last-good.json"), "{").unwrap();
    let said = restore(&mut world);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("is damaged"), "{said:?}");
    fs::remove_file(state.join("last-good.json")).unwrap();
    let said = restore(&mut world);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.ends_with("nothing to restore\n"), "{said:?}");
    assert_eq!(fs::read_dir(world.pins()).unwrap().count(), 0, "nothing is pinned");
    assert!(passes(&web, &checkout, FORBIDDEN));
}

#[test]
fn what_a_daemon_left_is_taken_away_without_one() {
    let mut world = world!();
    let (web, checkout) = shop(&mut world);
    let _echo = checkout.serve(&[Protocol::Tcp(FORBIDDEN)]);
    world.daemon().kill().unwrap();
    assert!(!passes(&web, &checkout, FORBIDDEN));
    let pins = world.pins().to_str().unwrap().to_owned();
    for _ in 0..2 {
        let said = world.daemon().enforcer(&["stop", "--detach", "--bpffs", &pins]).unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(passes(&web, &checkout, FORBIDDEN) && !world.pins().exists());
    }
}

const HEAD: &str = "---\napiVersion: enforcer.dev/v1alpha1\n";

#[test]
fn e101_services_and_a_held_host_are_judged_and_reachable_after_a_reboot() {
    let mut world = world!();
    let service = |name: &str| world.resident(&format!("system.slice/{name}.service"));
    let (mut a, mut b, mut c) = (service("a"), service("b"), service("c"));
    let mut shell = world.resident("shell");
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    b.serve(at(5000));
    shell.serve(at(22));
    shell.serve(at(7000));
    let unit = |name: &str| {
        format!(
            "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\n\
             spec: {{labels: {{app: {name}}}, match: [{{unit: {name}.service}}]}}\n"
        )
    };
    let rules = format!(
        "{HEAD}kind: Segment\nmetadata: {{name: host}}\nspec: {{select: [{{entity: host}}], mode: enforce}}\n\
         {HEAD}kind: FlowPolicy\nmetadata: {{name: shop}}\nspec:\n  flows:\n    \
         - {{from: [{{labels: {{app: a}}}}], to: [{{labels: {{app: b}}}}], ports: [tcp/5000]}}\n    \
         - {{from: [{{labels: {{app: a}}}}], to: [{{entity: host}}], ports: [tcp/22]}}\n"
    );
    let policy = ["a", "b", "c"].map(unit).concat() + &rules;
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    assert!(a.tcp(at(22)) && !a.tcp(at(7000)) && !c.tcp(at(5000)));
    world.daemon().terminate().unwrap();
    forget_until(&world, || c.tcp(at(5000)));
    let said = restore(&mut world);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(a.tcp(at(22)) && a.tcp(at(5000)), "what is allowed is reachable: {said:?}");
    assert!(!a.tcp(at(7000)) && !c.tcp(at(5000)), "and nothing else is, with no daemon running");
    world.daemon().restart().unwrap();
    assert!(a.tcp(at(22)) && !a.tcp(at(7000)) && !c.tcp(at(5000)));
}
