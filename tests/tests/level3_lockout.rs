//! Nobody is locked out: failsafe paths of the host, and changes that are refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Probe, Protocol, documents, policy, unit, world};

const HEAD: &str = "---\napiVersion: enforcer.dev/v1alpha1\n";

#[test]
fn e90_a_failsafe_path_is_the_hosts_alone_and_holds_whatever_else_does() {
    let mut world = world!();
    let (outside, web) = (world.workload("outside", 10), world.workload("web", 20));
    let _echo = outside.serve(&[Protocol::Tcp(9000)]);
    let _service = web.serve(&[Protocol::Tcp(22)]);
    let gateway = world.gateway(false);
    let (mut host, mut service) = (world.resident("host-server"), world.resident("system.slice/b.service"));
    host.serve(SocketAddr::new(gateway, 22));
    host.serve(SocketAddr::new(gateway, 23));
    service.serve(SocketAddr::new(gateway, 2222));
    let held =
        format!("{HEAD}kind: Segment\nmetadata: {{name: host}}\nspec: {{select: [{{entity: host}}]}}\n");
    let unit = format!(
        "{HEAD}kind: Workload\nmetadata: {{name: b}}\nspec: {{labels: {{app: b}}, match: [{{unit: b.service}}]}}\n"
    );
    let block = format!("{}/32", outside.v4());
    let failsafe = format!(
        "[{{direction: ingress, ports: [tcp/22, tcp/2222], cidr: [{block}]}}, {{direction: egress, ports: [tcp/9000], cidr: [{block}]}}]"
    );
    let settings = vec![("failsafe".to_owned(), serde_yaml::from_str(&failsafe).unwrap())];
    let documents = vec![("policy.yaml".to_owned(), web.document() + &unit)];
    world.start_daemon(DaemonOptions { documents, settings, ..DaemonOptions::default() }).unwrap();
    let to = SocketAddr::new(outside.v4(), 9000);
    assert!(host.open("kept", to) && host.talk("kept"), "nobody holds the host yet");
    let reach = |port| Probe::new(&outside, gateway, Protocol::Tcp(port)).run().passed();
    assert!(reach(23));
    world.daemon().write_policy("segment.yaml", &held).unwrap();
    let start = Instant::now();
    while reach(23) {
        assert!(start.elapsed() < Duration::from_secs(20), "the host isn't held");
    }
    assert!(reach(22), "the failsafe path into the host");
    assert!(host.talk("kept"), "what was open before the host was held");
    assert!(host.tcp(to), "the failsafe path out of the host");
    assert!(!host.tcp(SocketAddr::new(outside.v4(), 9001)));
    assert!(!reach(2222), "a service's port isn't the host's");
    assert!(!Probe::new(&outside, web.v4(), Protocol::Tcp(22)).run().passed(), "nor is a workload's");
    let status = world.daemon().enforcer(&["status", "-o", "json"]).unwrap().json().unwrap();
    assert_eq!(status["failsafe"][0], format!("ingress tcp/22,tcp/2222 from {block}"));
    world.daemon().kill().unwrap();
    assert!(reach(22) && !reach(23), "with no daemon");
}

#[test]
fn a_change_that_would_cut_the_shells_own_connection_is_refused() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let _echo = web.serve(&[Protocol::Tcp(8080)]);
    let allow = policy("allow", "", &["{entity: host} -> web tcp/8080"]);
    let deny = policy("other", "", &["{entity: host} -> web tcp/80"]);
    world.start_daemon(DaemonOptions::with_policy(&documents(&[&web], &[]))).unwrap();
    let file = |name: &str, text: &str| {
        let path = world.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (allow, deny) = (file("allow.yaml", &allow), file("deny.yaml", &deny));
    assert_eq!(world.daemon().enforcer(&["apply", "-f", &allow]).unwrap().code, Some(0));
    let program = world.daemon().program().to_str().unwrap().to_owned();
    let socket = world.daemon().socket();
    // A shell behind a connection, as one that sshd started.
    let apply = |more: &str| {
        let script = format!(
            "exec 3<>/dev/tcp/{}/8080 || exit 99; {program} apply -f {deny} {more}; exit $?",
            web.v4()
        );
        let mut command = world.host().command("bash");
        let output = command.args(["-c", &script]).env("ENFORCER_SOCKET", &socket).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = apply("");
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("this would cut your own session from"), "{told}");
    let (code, told) = apply("--dry-run");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("this would cut your own session from"), "{told}");
    assert_eq!(apply("--force").0, Some(0));
}

fn held(flows: &[&str]) -> String {
    let flows: String = flows.iter().map(|flow| format!("    - {flow}\n")).collect();
    format!(
        "{HEAD}kind: Segment\nmetadata: {{name: host}}\nspec: {{select: [{{entity: host}}]}}\n{HEAD}kind: FlowPolicy\nmetadata: {{name: held}}\nspec:\n  flows:\n{flows}"
    )
}

/// Whether what is said over a connection comes back.
fn answers(mut session: &TcpStream) -> bool {
    session.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    session.write_all(b"ping").unwrap();
    session.read_exact(&mut [0; 4]).is_ok()
}

#[test]
fn connections_that_were_open_before_anybody_looked_go_on_where_the_rules_allow_them() {
    let mut world = world!();
    let outside = world.workload("outside", 10);
    let _echo = outside.serve(&[Protocol::Tcp(9000), Protocol::Tcp(9001)]);
    let [mut a, mut b, mut c] =
        ["a", "b", "c"].map(|name| world.resident(&format!("system.slice/{name}.service")));
    let mut host = world.resident("host-server");
    let (allowed, denied) = (SocketAddr::new(outside.v4(), 9000), SocketAddr::new(outside.v6(), 9001));
    for address in ["127.0.0.1:5000", "[::1]:5000"] {
        b.serve(address.parse().unwrap());
        assert!(a.open(address, address.parse().unwrap()) && c.open(address, address.parse().unwrap()));
    }
    assert!(host.open("allowed", allowed) && host.open("denied", denied) && b.open("denied", denied));
    let gateway = world.gateway(false);
    host.serve(SocketAddr::new(gateway, 22));
    let session = outside.namespace().enter(|| TcpStream::connect((gateway, 22)).unwrap());
    assert!(answers(&session));
    // The first daemon finds them open, and so does one that begins to hold the host later.
    let rules = ["a", "b", "c"].map(unit).concat()
        + &policy("a-to-b", "", &["{labels: {app: a}} -> {labels: {app: b}} tcp/5000"]);
    world.start_daemon(DaemonOptions::with_policy(&rules)).unwrap();
    for address in ["127.0.0.1:5000", "[::1]:5000"] {
        assert!(a.talk(address), "{address}: the rule allows it, at both ends");
        assert!(!c.talk(address), "{address}: no rule names c");
    }
    assert!(!b.talk("denied"), "no rule lets b out");
    assert!(host.talk("allowed") && host.talk("denied") && answers(&session), "nobody holds the host yet");
    let flows = [
        format!("{{from: [{{entity: host}}], to: [{{cidr: [{}/32]}}], ports: [tcp/9000]}}", outside.v4()),
        format!("{{from: [{{cidr: [{}/32]}}], to: [{{entity: host}}], ports: [tcp/22]}}", outside.v4()),
    ];
    let file = world.dir().join("held.yaml");
    std::fs::write(&file, held(&flows.each_ref().map(String::as_str))).unwrap();
    assert_eq!(world.daemon().enforcer(&["apply", "-f", file.to_str().unwrap()]).unwrap().code, Some(0));
    assert!(host.talk("allowed") && answers(&session), "the rules allow these");
    assert!(!host.talk("denied"), "the host is held");
    assert!(!host.tcp(denied) && host.tcp(allowed));
}

#[test]
fn a_session_with_a_service_is_known_by_the_services_socket() {
    let mut world = world!();
    let outside = world.workload("outside", 10);
    let mut sshd = world.resident("system.slice/ssh.service");
    let gateway = world.gateway(false);
    sshd.serve(SocketAddr::new(gateway, 22));
    world.start_daemon(DaemonOptions::default()).unwrap();
    let session = outside.namespace().enter(|| TcpStream::connect((gateway, 22)).unwrap());
    let (client, server) = (session.local_addr().unwrap(), session.peer_addr().unwrap());
    let named = format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port());
    let apply = |world: &mut enforcer_tests::World, text: &str, more: &[&str]| {
        let file = world.dir().join("set.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = world.daemon().command(&["apply", "-f", file.to_str().unwrap()]);
        let output = command.args(more).env("SSH_CONNECTION", &named).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = apply(&mut world, &unit("ssh"), &[]);
    assert_eq!(code, Some(4), "no rule lets anybody reach the service: {told}");
    assert!(told.contains("this would cut your own session from"), "{told}");
    let flow = format!(
        "{{from: [{{cidr: [{}/32]}}], to: [{{labels: {{app: ssh}}}}], ports: [tcp/22]}}",
        outside.v4()
    );
    let (code, told) = apply(&mut world, &(unit("ssh") + &held(&[&flow])), &[]);
    assert_eq!(code, Some(0), "the rules allow it, and the open connection is taken up: {told}");
    assert!(answers(&session));
    let (code, told) = apply(&mut world, &(unit("ssh") + &held(&[&flow.replace("tcp/22", "tcp/23")])), &[]);
    assert_eq!(code, Some(4), "{told}");
}

#[test]
fn connections_behind_devices_that_were_open_before_go_on_where_the_rules_allow_them() {
    let mut world = world!();
    let (web, db) = (world.workload("web", 10), world.workload("db", 20));
    // Processes of their own: a namespace is found by who runs in it.
    let (mut inside, mut server) = (world.resident_of(&web, "web"), world.resident_of(&db, "db"));
    for (port, v6) in [(5432, false), (5432, true), (5433, false)] {
        server.serve(SocketAddr::new(db.address(v6), port));
    }
    for (name, port, v6) in [("four", 5432, false), ("six", 5432, true), ("denied", 5433, false)] {
        assert!(inside.open(name, SocketAddr::new(db.address(v6), port)), "{name}");
    }
    let rules = documents(&[&web, &db], &[policy("web-to-db", "", &["web -> db tcp/5432"])]);
    world.start_daemon(DaemonOptions::with_policy(&rules)).unwrap();
    assert!(inside.talk("four") && inside.talk("six"), "the rule allows them, and both devices know them");
    assert!(!inside.talk("denied"), "no rule names the port");
    world.daemon().write_policy("policy.yaml", &documents(&[&web, &db], &[])).unwrap();
    let start = Instant::now();
    while inside.talk("four") {
        assert!(start.elapsed() < Duration::from_secs(20), "the rule has gone");
    }
}
