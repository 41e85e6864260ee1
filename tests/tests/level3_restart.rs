//! A daemon that follows another one goes on with the programs that are pinned, if they are what it would load.

use std::fs;
use std::time::Duration;

use enforcer_tests::foreign::Object;
use enforcer_tests::{DaemonOptions, Probe, Protocol, Workload, World, documents, policy, world};

const PORT: Protocol = Protocol::Tcp(443);
const OTHER: Protocol = Protocol::Tcp(444);
const PROGRAMS: [&str; 4] =
    ["enforcer_egress", "enforcer_ingress", "enforcer_socket_egress", "enforcer_socket_ingress"];

/// A connection to a port that nobody serves is refused by the other end, unless it is dropped on the way.
fn passes(from: &Workload, to: &Workload, protocol: Protocol) -> bool {
    Probe::new(from, to.v4(), protocol).timeout(Duration::from_millis(300)).run().passed()
}

/// The numbers of the programs that are pinned.
fn ids(world: &World) -> [u32; 4] {
    PROGRAMS.map(|name| Object::open(&world.pinned("programs").join(name)).unwrap().id().unwrap())
}

fn start(world: &mut World) -> (Workload, Workload) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let text = documents(&[&web, &checkout], &[policy("rule", "", &["web -> checkout tcp/443"])]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    (web, checkout)
}

fn judges(world: &mut World, web: &Workload, checkout: &Workload) {
    assert!(passes(web, checkout, PORT) && !passes(web, checkout, OTHER));
    let status = world.daemon().status().unwrap();
    assert_eq!(status["state"], "enforcing", "{status}");
}

#[test]
fn programs_that_are_what_would_be_loaded_go_on() {
    let mut world = world!();
    let (web, checkout) = start(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    let first = ids(&world);
    for _ in 0..2 {
        world.daemon().kill().unwrap();
        world.daemon().restart().unwrap();
        assert_eq!(ids(&world), first);
        judges(&mut world, &web, &checkout);
    }
    // An orderly end and a new set change nothing about it.
    world.daemon().terminate().unwrap();
    world.daemon().restart().unwrap();
    let more = policy("more", "", &["web -> checkout tcp/444"]);
    world.daemon().write_policy("more.yaml", &more).unwrap();
    world.daemon().wait_until("the set is in force", |status| {
        status["rules"].as_array().is_some_and(|rules| rules.len() == 2)
    });
    assert!(passes(&web, &checkout, OTHER));
    assert_eq!(ids(&world), first);
}

#[test]
fn e104_programs_pinned_in_place_of_ours_are_not_taken() {
    const ON: i32 = -1;
    let mut world = world!();
    let (web, checkout) = start(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    let first = ids(&world);
    world.daemon().kill().unwrap();
    let pin = world.pinned("programs").join(PROGRAMS[0]);
    fs::remove_file(&pin).unwrap();
    let theirs = Object::classifier(ON, PROGRAMS[0]).unwrap();
    theirs.pin(&pin).unwrap();
    world.daemon().restart().unwrap();
    let now = ids(&world);
    assert!(!now.contains(&theirs.id().unwrap()) && now.iter().all(|id| !first.contains(id)), "{now:?}");
    judges(&mut world, &web, &checkout);
}

#[test]
fn e104_programs_that_read_maps_which_are_not_pinned_are_not_taken() {
    let mut world = world!();
    let (web, checkout) = start(&mut world);
    let _echo = checkout.serve(&[PORT, OTHER]);
    let first = ids(&world);
    let looked = world.pinned("programs").with_file_name("left").join("looked");
    world.daemon().wait_until("it has looked at everything", |_| looked.exists());
    world.daemon().kill().unwrap();
    // The programs go on with the map that was pinned there; the next daemon makes another.
    fs::remove_file(world.pinned("maps/REASONS")).unwrap();
    world.daemon().restart().unwrap();
    assert!(ids(&world).iter().all(|id| !first.contains(id)));
    world
        .daemon()
        .wait_until("it is told", |status| status["tamper"]["recent"][0]["tamper"] == "pin-removed");
    assert!(passes(&web, &checkout, PORT) && !passes(&web, &checkout, OTHER));
    let counts = world.daemon().counts().unwrap();
    assert!(counts.get("no-rule").is_some_and(|count| *count > 0), "{counts:?}");
}
