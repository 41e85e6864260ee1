//! What a workload behind a device sends to services of its own host: its device's hook knows whose they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use enforcer_tests::foreign::Object;
use enforcer_tests::{DaemonOptions, Probe, Protocol, Resident, Workload, World, policy, unit, world};

const LONG: Duration = Duration::from_secs(20);

fn service(world: &World, name: &str) -> Resident {
    world.resident(&format!("system.slice/{name}.service"))
}

/// Whether everybody may be reached at the port, over both protocols and both families.
fn reach(world: &World, from: &Workload, port: u16) -> [bool; 4] {
    let probe = |v6, protocol| Probe::new(from, world.gateway(v6), protocol).run().passed();
    let (tcp, udp) = (Protocol::Tcp(port), Protocol::Udp(port));
    [probe(false, tcp), probe(false, udp), probe(true, tcp), probe(true, udp)]
}

/// The service's listeners at both of the host's addresses.
fn serve(world: &World, server: &mut Resident, port: u16) {
    for v6 in [false, true] {
        server.serve(SocketAddr::new(world.gateway(v6), port));
    }
}

/// A workload behind a device may reach `db` at any port, and the host at 8000.
fn documents(web: &Workload) -> String {
    web.document()
        + &["db", "other"].map(unit).concat()
        + &policy("web-out", "", &["web -> db any", "web -> {entity: host} tcp/8000"])
}

const ALL: [bool; 4] = [true; 4];
const NONE: [bool; 4] = [false; 4];

#[test]
fn services_are_told_apart_at_a_devices_hook() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let (mut db, mut other) = (service(&world, "db"), service(&world, "other"));
    let mut somebody = world.resident("somebody");
    // Older than the daemon, at one address and at all of them.
    serve(&world, &mut db, 5000);
    db.serve(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 5001));
    db.serve(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5002));
    serve(&world, &mut other, 6000);
    serve(&world, &mut somebody, 7000);
    serve(&world, &mut somebody, 8000);
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    assert_eq!(reach(&world, &web, 5000), ALL, "it is db");
    assert_eq!(reach(&world, &web, 5001), ALL, "it is db, at all addresses of both families");
    assert_eq!(reach(&world, &web, 5002), [true, true, false, false], "it is db, at all IPv4 addresses");
    assert_eq!(reach(&world, &web, 6000), NONE, "the rule names somebody else");
    assert_eq!(reach(&world, &web, 7000), NONE, "nobody claims it, and the host may be reached elsewhere");
    assert_eq!(reach(&world, &web, 8000), [true, false, true, false], "the host it still is");
    // Made while the daemon looks on.
    serve(&world, &mut db, 5003);
    serve(&world, &mut other, 6003);
    assert_eq!((reach(&world, &web, 5003), reach(&world, &web, 6003)), (ALL, NONE));
    let mut below = world.resident("system.slice/db.service/worker");
    serve(&world, &mut below, 5004);
    assert_eq!(reach(&world, &web, 5004), ALL, "what is below a service is the service's");
}

#[test]
fn a_listener_is_its_makers_wherever_that_goes() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let (mut db, other) = (service(&world, "db"), service(&world, "other"));
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    serve(&world, &mut db, 5000);
    db.move_to(&world.cgroup().join("system.slice/other.service"));
    serve(&world, &mut db, 5001);
    assert_eq!((reach(&world, &web, 5000), reach(&world, &web, 5001)), (ALL, NONE));
    drop(other);
}

#[test]
fn listeners_for_multipath_tcp_are_known() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let (mut db, mut other) = (service(&world, "db"), service(&world, "other"));
    let at = |port| SocketAddr::new(world.gateway(false), port);
    // Where the kernel doesn't have it there is nothing to be known.
    if !db.serve_multipath(at(5000)) {
        return;
    }
    assert!(other.serve_multipath(at(6000)));
    let documents = documents(&web);
    let made = [at(5001), at(6001)];
    world.start_daemon(DaemonOptions::with_policy(&documents)).unwrap();
    assert!(db.serve_multipath(made[0]) && other.serve_multipath(made[1]));
    let gateway = world.gateway(false);
    let tcp = |port| Probe::new(&web, gateway, Protocol::Tcp(port)).run().passed();
    assert_eq!([tcp(5000), tcp(6000)], [true, false], "they were there before the daemon");
    assert_eq!([tcp(5001), tcp(6001)], [true, false], "they came after it");
}

#[test]
fn a_connection_that_the_host_still_remembers_may_be_opened_anew() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let mut db = service(&world, "db");
    let (here, to) = (SocketAddr::new(web.v4(), 40000), SocketAddr::new(world.gateway(false), 5000));
    let mut inside = world.resident_of(&web, "pod");
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    db.serve_briefly(to);
    // The server closes first, so it is its end that waits for what may still be under way.
    assert!(inside.tcp_to_end(here, to) && inside.tcp_to_end(here, to));
}

#[test]
fn what_is_known_of_sockets_outlives_the_daemon() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let (mut db, mut other) = (service(&world, "db"), service(&world, "other"));
    serve(&world, &mut db, 5000);
    serve(&world, &mut other, 6000);
    let mut inside = world.resident_of(&web, "pod");
    let to = SocketAddr::new(world.gateway(false), 5000);
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    assert!(inside.open("kept", to));
    world.daemon().kill().unwrap();
    let mut below = world.resident("system.slice/db.service/new");
    serve(&world, &mut db, 5001);
    serve(&world, &mut other, 6001);
    serve(&world, &mut below, 5002);
    for ports in [[5000, 6000], [5001, 6001]] {
        assert_eq!(ports.map(|port| reach(&world, &web, port)), [ALL, NONE], "{ports:?} without a daemon");
    }
    assert_eq!(reach(&world, &web, 5002), ALL, "nobody has looked at its cgroup, which is below db's");
    world.daemon().restart().unwrap();
    for ports in [[5000, 6000], [5001, 6001]] {
        assert_eq!(ports.map(|port| reach(&world, &web, port)), [ALL, NONE], "{ports:?} with another daemon");
    }
    assert_eq!(reach(&world, &web, 5002), ALL);
    assert!(inside.talk("kept"), "the flow has outlived the daemon");
}

#[test]
fn claims_that_come_and_go_are_followed() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let (mut db, mut somebody) = (service(&world, "db"), world.resident("somebody"));
    serve(&world, &mut db, 5000);
    serve(&world, &mut somebody, 8000);
    let mut inside = world.resident_of(&web, "pod");
    let at = |port| SocketAddr::new(world.gateway(false), port);
    let (database, host) = (at(5000), at(8000));
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    assert!(inside.open("to-db", database) && inside.open("to-host", host));
    // Nobody is known by a cgroup any more: sockets are let go of.
    let to_host = |ports| web.document() + &policy("web-out", "", &[ports]);
    world.daemon().write_policy("policy.yaml", &to_host("web -> {entity: host} tcp/8000")).unwrap();
    let start = Instant::now();
    while reach(&world, &web, 5000) != NONE {
        assert!(start.elapsed() < LONG, "it is still let in as db");
    }
    assert!(inside.talk("to-host"), "what it is about hasn't changed");
    assert!(!inside.talk("to-db"), "there is no db any more");
    world.daemon().write_policy("policy.yaml", &to_host("web -> {entity: host} any")).unwrap();
    let start = Instant::now();
    while reach(&world, &web, 5000) != ALL {
        assert!(start.elapsed() < LONG, "what nobody claims is the host's");
    }
    assert!(inside.talk("to-host"), "the tables know nobody by a cgroup, and the host all the same");
    world.daemon().write_policy("policy.yaml", &documents(&web)).unwrap();
    let start = Instant::now();
    while reach(&world, &web, 5000) != ALL || reach(&world, &web, 8000)[1] {
        assert!(start.elapsed() < LONG, "it is db again, and the host isn't");
    }
    assert!(inside.talk("to-host"));
}

#[test]
fn hooks_that_others_took_off_are_put_back_and_caught_up_with() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let mut db = service(&world, "db");
    world.start_daemon(DaemonOptions::with_policy(&documents(&web))).unwrap();
    let links = world.pinned("links");
    for hook in ["made", "bound4", "bound6"] {
        Object::open(&links.join(format!("cgroup-{hook}"))).and_then(|link| link.detach()).unwrap();
    }
    // Nobody notes where these are made, unless the daemon was faster.
    serve(&world, &mut db, 5000);
    let status = world
        .daemon()
        .wait_until("the hooks are missed", |status| status["tamper"]["count"].as_u64() >= Some(3));
    let told =
        |hook: &str| status["tamper"]["recent"].as_array().unwrap().iter().any(|one| one["hook"] == hook);
    assert!(["made", "bound4", "bound6"].into_iter().all(told), "{status:#}");
    assert_eq!(reach(&world, &web, 5000), ALL);
    serve(&world, &mut db, 5001);
    assert_eq!(reach(&world, &web, 5001), ALL);
}
