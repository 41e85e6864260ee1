//! Services of one host, behind one address, told apart by their cgroups.

use std::net::SocketAddr;

use enforcer_tests::foreign::{Object, programs_at, programs_at_birth};
use enforcer_tests::{Burst, DaemonOptions, Probe, Protocol, Resident, World, unit, world};

const HEAD: &str = "---\napiVersion: enforcer.dev/v1alpha1\n";

fn allow(name: &str, from: &str, to: &str, ports: &str) -> String {
    format!(
        "{HEAD}kind: FlowPolicy\nmetadata: {{name: {name}}}\nspec:\n  flows:\n    - {{from: [{from}], to: [{to}], ports: [{ports}]}}\n"
    )
}

fn app(name: &str) -> String {
    format!("{{labels: {{app: {name}}}}}")
}

fn service(world: &World, name: &str) -> Resident {
    world.resident(&format!("system.slice/{name}.service"))
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

#[test]
fn services_on_loopback_are_told_apart_at_both_ends() {
    let mut world = world!();
    let (mut a, mut b, mut c) = (service(&world, "a"), service(&world, "b"), service(&world, "c"));
    let mut somebody = world.resident("somebody");
    for address in ["127.0.0.1", "::1"] {
        b.serve(at(address, 5000));
        b.serve(at(address, 5001));
        somebody.serve(at(address, 7000));
    }
    let policy =
        ["a", "b", "c"].map(unit).concat() + &allow("a-to-b", &app("a"), &app("b"), "tcp/5000, udp/5000");
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    for address in ["127.0.0.1", "::1"] {
        let (to, other) = (at(address, 5000), at(address, 5001));
        assert!(a.tcp(to) && a.udp(to), "{address}: the rule allows it");
        assert!(!a.tcp(other) && !a.udp(other), "{address}: no rule names the port");
        assert!(!c.tcp(to) && !c.udp(to), "{address}: no rule names c");
        assert!(!somebody.tcp(to) && !somebody.udp(to), "{address}: the host isn't a");
        assert!(!a.tcp(at(address, 7000)), "{address}: a may not reach the host");
        assert!(b.tcp(to) && b.udp(to), "{address}: what stays within a service isn't judged");
        let mut other = world.resident("other");
        assert!(other.tcp(at(address, 7000)), "{address}: nobody holds the host");
    }
}

#[test]
fn e81_services_and_workloads_behind_devices_know_each_other() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let _echo = web.serve(&[Protocol::Tcp(8080), Protocol::Udp(8080)]);
    let (mut a, mut c) = (service(&world, "a"), service(&world, "c"));
    let policy = ["a", "c"].map(unit).concat()
        + &web.document()
        + &allow("a-to-web", &app("a"), &app("web"), "tcp/8080, udp/8080");
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    for v6 in [false, true] {
        let to = SocketAddr::new(web.address(v6), 8080);
        assert!(a.tcp(to) && a.udp(to), "the rule allows it");
        assert!(!c.tcp(to) && !c.udp(to), "no rule names c");
        assert!(!world.resident("somebody").tcp(to), "no rule names the host");
    }
}

/// Three services, of which `a` may reach `b`.
fn shop(world: &mut World, more: &str) -> [Resident; 3] {
    let mut residents = ["a", "b", "c"].map(|name| service(world, name));
    residents[1].serve(at("127.0.0.1", 5000));
    let policy = ["a", "b", "c"].map(unit).concat()
        + &allow("a-to-b", &app("a"), &app("b"), "tcp/5000, udp/5000")
        + more;
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    residents
}

const B: &str = "127.0.0.1:5000";

#[test]
fn a_service_is_judged_from_its_first_packet() {
    let mut world = world!();
    let names: Vec<String> = (0..8).map(|n| format!("new-{n}")).collect();
    let more: String = names.iter().map(|name| unit(name)).collect();
    let [mut a, _b, _c] = shop(&mut world, &more);
    let to = B.parse().unwrap();
    // None of them may reach anybody, and all of them try as soon as they run.
    let mut new: Vec<Resident> = names.iter().map(|name| service(&world, name)).collect();
    new.iter_mut().for_each(|one| one.say(&format!("tcp {to}")));
    assert!(new.iter_mut().all(|one| !one.answer("tcp")), "none of them got through");
    assert!(a.tcp(to), "who was there goes on");
    let status = world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    let root = world.cgroup().file_name().unwrap().to_str().unwrap();
    let known = |name: &str| {
        let found = status["workloads"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        found["cgroups"] == serde_json::json!([format!("/{root}/system.slice/{name}.service")])
    };
    assert!(names.iter().all(|name| known(name)), "{status:#}");
}

#[test]
fn a_hundred_services_that_come_and_go_are_judged_from_their_first_packet() {
    const COUNT: usize = 100;
    let mut world = world!();
    let mut server = service(&world, "server");
    let names: Vec<String> = (0..COUNT).map(|n| format!("unit-{n}")).collect();
    let units: String =
        names.iter().map(|name| unit(name).replace(&format!("app: {name}"), "app: unit")).collect();
    let policy = unit("server") + &units + &allow("unit-to-server", &app("unit"), &app("server"), "udp/5000");
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    let mut burst = Burst::open(&mut server, 5000).unwrap();
    for (n, name) in names.iter().enumerate() {
        burst.start(&world, &format!("system.slice/{name}.service"), n).unwrap();
        // As many as a busy machine starts in a second.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let sent = burst.end().unwrap();
    assert!(sent.forbidden >= 100 * COUNT as u64, "{sent:?}");
    assert_eq!(sent.slipped, 0, "of {} that are forbidden", sent.forbidden);
    let silent = sent.delays.iter().filter(|delay| delay.is_none()).count();
    assert_eq!((sent.delays.len(), silent), (COUNT, 0), "each gets through to where it may: {sent:?}");
}

#[test]
fn e99_a_dead_daemon_lets_nobody_new_in_and_nobody_known_down() {
    let mut world = world!();
    let more = unit("d") + &allow("d-to-b", &app("d"), &app("b"), "tcp/5000");
    let [mut a, _b, mut c] = shop(&mut world, &more);
    let to = B.parse().unwrap();
    assert!(a.open("kept", to));
    world.daemon().kill().unwrap();
    assert!(a.talk("kept") && a.tcp(to) && !c.tcp(to), "what was in force stays in force");
    let mut d = service(&world, "d");
    assert!(!d.tcp(to), "nobody has looked at its cgroup");
    world.daemon().restart().unwrap();
    assert!(d.tcp(to), "now somebody has");
    assert!(a.talk("kept"), "the flow has outlived the daemon");
}

#[test]
fn a_rule_that_goes_cuts_the_flows_of_services() {
    let mut world = world!();
    let [mut a, _b, mut c] = shop(&mut world, &allow("c-to-b", &app("c"), &app("b"), "tcp/5000"));
    let to = B.parse().unwrap();
    assert!(a.open("kept", to) && c.open("kept", to));
    let policy = ["a", "b", "c"].map(unit).concat() + &allow("c-to-b", &app("c"), &app("b"), "tcp/5000");
    world.daemon().write_policy("policy.yaml", &policy).unwrap();
    let start = std::time::Instant::now();
    while a.talk("kept") {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "the flow goes on");
    }
    assert!(c.talk("kept"), "its rule is still there");
}

#[test]
fn a_segment_holds_the_host_itself() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let _echo = web.serve(&[Protocol::Tcp(8080), Protocol::Tcp(8081)]);
    let mut server = world.resident("host-server");
    for port in [22, 23] {
        server.serve(SocketAddr::new(world.gateway(false), port));
    }
    let policy = web.document()
        + &allow("host-to-web", "{entity: host}", &app("web"), "tcp/8080")
        + &allow("web-to-host", &app("web"), "{entity: host}", "tcp/22-23");
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    let mut somebody = world.resident("somebody");
    let to = |port| SocketAddr::new(web.v4(), port);
    let gateway = world.gateway(false);
    let reach = |port| Probe::new(&web, gateway, Protocol::Tcp(port)).run().passed();
    assert!(somebody.tcp(to(8080)) && reach(22) && reach(23), "nobody holds the host");
    let narrow = web.document()
        + &allow("all-to-web", "{entity: host}", &app("web"), "tcp/8080-8081")
        + &allow("web-out", &app("web"), "{entity: all}", "tcp/22-23")
        + &format!(
            "{HEAD}kind: FlowPolicy\nmetadata: {{name: no-telnet}}\nspec:\n  flows:\n    - {{action: deny, from: [{{entity: all}}], to: [{{entity: host}}], ports: [tcp/23]}}\n"
        )
        + &format!("{HEAD}kind: Segment\nmetadata: {{name: host}}\nspec: {{select: [{{entity: host}}]}}\n");
    world.daemon().write_policy("policy.yaml", &narrow).unwrap();
    let start = std::time::Instant::now();
    while reach(23) {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "the host isn't held");
    }
    assert!(reach(22), "a rule allows it");
    assert!(somebody.tcp(to(8081)), "a rule allows the host");
    assert!(!somebody.tcp(SocketAddr::new(web.v4(), 9)), "no rule names the port");
    let status = world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    assert_eq!(
        (&status["sockets"]["host"], &status["sockets"]["host_segment"]),
        (&"enforce".into(), &"host".into())
    );
}

#[test]
fn detaching_leaves_the_cgroup_as_it_was_found() {
    let mut world = world!();
    let programs = |world: &World| [true, false].map(|egress| programs_at(world.cgroup(), egress).unwrap());
    let [_a, _b, mut c] = shop(&mut world, "");
    let to = B.parse().unwrap();
    assert!(!c.tcp(to));
    assert_eq!((programs(&world), programs_at_birth(world.cgroup()).unwrap()), ([1, 1], [1, 1, 1]));
    let stopped = world.daemon().enforcer(&["stop", "--detach"]).unwrap();
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert_eq!((programs(&world), programs_at_birth(world.cgroup()).unwrap()), ([0, 0], [0, 0, 0]));
    assert!(c.tcp(to), "nothing is judged any more");
}

#[test]
fn a_link_that_others_took_off_is_put_back() {
    let mut world = world!();
    let [mut a, _b, mut c] = shop(&mut world, "");
    let to = B.parse().unwrap();
    let links = world.pinned("links");
    let detach = |direction: &str| {
        Object::open(&links.join(format!("cgroup-{direction}"))).and_then(|link| link.detach()).unwrap();
    };
    ["egress", "ingress"].into_iter().for_each(detach);
    let start = std::time::Instant::now();
    while c.tcp(to) {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "nobody noticed");
    }
    assert!(a.tcp(to), "and what is allowed still is");
    let status = world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    assert!(status["tamper"].to_string().contains("hook-removed"), "{}", status["tamper"]);
}

#[test]
fn e73_a_socket_stays_its_makers_and_a_new_one_is_its_new_cgroups() {
    let mut world = world!();
    let [mut a, _b, c] = shop(&mut world, "");
    let to = B.parse().unwrap();
    assert!(a.open("kept", to));
    a.move_to(&world.cgroup().join("system.slice/c.service"));
    assert!(a.talk("kept"), "the socket was made by who may");
    assert!(!a.tcp(to), "this one wasn't");
    drop(c);
}

#[test]
fn e72_a_second_way_out_is_judged_at_the_socket() {
    let mut world = world!();
    let (inside, outside) = (world.workload("inside", 10), world.workload("outside", 20));
    let _echo = outside.serve(&[Protocol::Tcp(8080), Protocol::Udp(8080)]);
    let root = world.cgroup().file_name().unwrap().to_str().unwrap().to_owned();
    let mut process = world.resident_of(&inside, "pod");
    // A device that nobody claims leads past the one that is hooked.
    let (here, there) = (inside.namespace().name(), outside.namespace().name());
    world.ip(&[&format!("link add second netns {here} type veth peer name second netns {there}")]).unwrap();
    for (workload, address) in [(&inside, "192.0.2.1"), (&outside, "192.0.2.2")] {
        let name = workload.namespace().name();
        for line in [format!("address add {address}/24 dev second"), "link set second up".to_owned()] {
            let done =
                std::process::Command::new("ip").args(["-n", name]).args(line.split(' ')).status().unwrap();
            assert!(done.success(), "{line}");
        }
    }
    let past = at("192.0.2.2", 8080);
    assert!(process.tcp(past), "the way is there");
    let text = format!(
        "{HEAD}kind: Workload\nmetadata: {{name: inside}}\nspec:\n  labels: {{app: inside}}\n  \
         match: [{{interface: {}}}, {{cgroup: /{root}/pod/**}}]\n  addresses: [{}, \"{}\"]\n",
        inside.interface(),
        inside.v4(),
        inside.v6()
    );
    let policy =
        text + &outside.document() + &allow("out", &app("inside"), &app("outside"), "tcp/8080, udp/8080");
    world.start_daemon(DaemonOptions::with_policy(&policy)).unwrap();
    assert!(!process.tcp(past) && !process.udp(past), "its address there isn't its own");
    let to = SocketAddr::new(outside.v4(), 8080);
    assert!(process.tcp(to) && process.udp(to), "the way that is its own is open");
}
