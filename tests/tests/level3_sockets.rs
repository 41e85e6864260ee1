//! Services of one host, behind one address, told apart by their cgroups.

use std::net::SocketAddr;

use enforcer_tests::{DaemonOptions, Protocol, Resident, World, world};

const HEAD: &str = "---\napiVersion: enforcer.dev/v1alpha1\n";

fn unit(name: &str) -> String {
    format!(
        "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\n\
         spec: {{labels: {{app: {name}}}, match: [{{unit: {name}.service}}]}}\n"
    )
}

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
fn services_and_workloads_behind_devices_know_each_other() {
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
