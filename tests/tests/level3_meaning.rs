//! What selectors, tiers, modes, ports and expiries mean on the wire.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::forge::packet;
use enforcer_tests::{
    Cable, DaemonOptions, Namespace, Probe, Protocol, RawPort, Stream, StreamKind, Trial, Workload, World,
    cause, documents, policy, world,
};
use serde_json::Value;

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// Gives a namespace behind a workload's cable more addresses.
fn more_addresses(world: &World, workload: &Workload, addresses: &[&str]) {
    for address in addresses {
        let status =
            workload.command("ip").args(["address", "add", address, "dev", "eth0"]).status().unwrap();
        assert!(status.success(), "{address}");
        world.ip(&[&format!("route add {address} dev {}", workload.interface())]).unwrap();
    }
}

fn tries(from: &Namespace, source: Option<&str>, to: IpAddr, protocol: Protocol) -> bool {
    let mut probe = Probe::new(from, to, protocol).timeout(Duration::from_millis(400));
    if let Some(source) = source {
        probe = probe.source(SocketAddr::new(source.parse().unwrap(), 0));
    }
    probe.run().passed()
}

/// A record of this cause at the hook of `workload`.
#[track_caller]
fn record(world: &mut World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let records = world.daemon().records().unwrap();
        if let Some(found) = records.iter().find(|record| wanted(record)) {
            return found.clone();
        }
        assert!(start.elapsed() < Duration::from_secs(3), "no record of {what}: {records:#?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn selectors_mean_on_the_wire_what_they_say() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let outside = world.workload("outside", 90);
    let others =
        ["192.0.2.10", "192.0.2.70", "198.51.100.5", "198.51.100.200", "2001:db8::5", "2001:db8:0:1::5"];
    more_addresses(&world, &outside, &others);
    let text = documents(
        &[&web, &checkout],
        &[
            document(
                "AddressGroup",
                "office",
                "{labels: {zone: office}, cidrs: [198.51.100.0/24, \"2001:db8::/32\"]}",
            ),
            document(
                "AddressGroup",
                "lab",
                "{labels: {zone: lab}, cidrs: [198.51.100.128/25, \"2001:db8:0:1::/64\"]}",
            ),
            policy(
                "rules",
                "",
                &[
                    "{cidr: [192.0.2.0/24], except: [192.0.2.64/26]} -> web tcp/8080",
                    "{labels: {zone: office}} -> web tcp/8081",
                    "{entity: host} -> web tcp/8082",
                    "web -> {entity: host} tcp/8083",
                    "{entity: world} -> web tcp/8084",
                    "{entity: workloads} -> web tcp/8085",
                    "{entity: all} -> web tcp/8086",
                    "web -> {cidr: [192.0.2.10/32]} tcp/8087",
                    "{expressions: [{key: zone, notIn: [lab]}]} -> web tcp/8088",
                ],
            ),
        ],
    );
    let ports: Vec<_> = (8_080..8_089).map(Protocol::Tcp).collect();
    let _servers = [web.serve(&ports), outside.serve(&ports), world.host().serve(&ports)];
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let host = world.host().clone();
    let (four, six) = (web.v4(), web.v6());
    // Who, from which address, to which address; then the ports that pass.
    type Case<'a> = (&'a str, &'a Namespace, Option<&'a str>, IpAddr, &'a [u16]);
    let cases: [Case<'_>; 11] = [
        ("a block", &outside, Some("192.0.2.10"), four, &[8080, 8084, 8086]),
        ("its exception", &outside, Some("192.0.2.70"), four, &[8084, 8086]),
        ("a group", &outside, Some("198.51.100.5"), four, &[8081, 8085, 8086, 8088]),
        ("a group inside another", &outside, Some("198.51.100.200"), four, &[8085, 8086]),
        ("an IPv6 group", &outside, Some("2001:db8::5"), six, &[8081, 8085, 8086, 8088]),
        ("an IPv6 group inside another", &outside, Some("2001:db8:0:1::5"), six, &[8085, 8086]),
        ("nobody", &outside, Some("10.77.0.90"), four, &[8084, 8086]),
        ("the host", &host, None, four, &[8082, 8086]),
        ("the host on IPv6", &host, None, six, &[8082, 8086]),
        ("to the host", &web, None, world.gateway(false), &[8083]),
        ("to a block", &web, None, "192.0.2.10".parse().unwrap(), &[8087]),
    ];
    for (note, from, source, to, passing) in cases {
        // All at once: those that don't pass take their time.
        let passed: Vec<u16> = thread::scope(|scope| {
            let attempts: Vec<_> = (8_080..8_089)
                .map(|port| (port, scope.spawn(move || tries(from, source, to, Protocol::Tcp(port)))))
                .collect();
            attempts
                .into_iter()
                .filter_map(|(port, attempt)| attempt.join().unwrap().then_some(port))
                .collect()
        });
        assert_eq!(passed, passing, "{note}");
    }
    for port in 8_084..8_087 {
        let passed = tries(&checkout, None, four, Protocol::Tcp(port));
        assert_eq!(passed, port != 8_084, "a workload isn't the world: tcp/{port}");
    }
    let seen = record(&mut world, "the group", |record| record["source"]["group"] == "lab");
    assert_eq!(seen["source"]["labels"]["zone"], "lab", "{seen}");
    let seen = record(&mut world, "the host", |record| record["source"]["entity"] == "host");
    assert_eq!(seen["destination"]["workload"], "web", "{seen}");
}

#[test]
fn ports_mean_on_the_wire_what_they_say() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let ledger = world.workload("ledger", 30);
    let text = documents(
        &[&web, &checkout, &ledger],
        &[policy(
            "rules",
            "",
            &[
                "web -> checkout tcp/8000-8010",
                "web -> checkout udp",
                "web -> checkout proto/253",
                "web -> checkout icmp/3/4",
                "web -> checkout icmpv6/echo-request",
                "web -> ledger any",
            ],
        )],
    );
    let ports = [7_999, 8_000, 8_010, 8_011].map(Protocol::Tcp);
    let datagrams = [1, 65_535].map(Protocol::Udp);
    let _servers = [&checkout, &ledger].map(|workload| (workload.serve(&ports), workload.serve(&datagrams)));
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    for (protocol, passes) in ports.into_iter().zip([false, true, true, false]) {
        assert_eq!(tries(&web, None, checkout.v4(), protocol), passes, "{protocol}");
        assert!(tries(&web, None, ledger.v6(), protocol), "any: {protocol}");
    }
    for protocol in datagrams {
        assert!(tries(&web, None, checkout.v4(), protocol), "{protocol}");
    }
    assert!(!tries(&web, None, checkout.v4(), Protocol::Ping), "ping");
    assert!(tries(&web, None, checkout.v6(), Protocol::Ping), "ping on IPv6");
    assert!(tries(&web, None, ledger.v4(), Protocol::Ping), "any: ping");
    let mut cable = Cable::mute(&world, &web).unwrap();
    let mut far = RawPort::open(&checkout, "eth0").unwrap();
    let mut ledgers = RawPort::open(&ledger, "eth0").unwrap();
    for (number, passes) in [(253, true), (254, false)] {
        // A refusal would quote the packet: each has its own words.
        let (one, other) = (format!("by number {number}"), format!("by any, {number}"));
        cable.send(packet("10.77.0.10", "10.77.0.20", number, one.as_bytes()));
        let arrived = far.receive(Duration::from_millis(400), |frame| frame.ends_with(one.as_bytes()));
        assert_eq!(arrived.is_some(), passes, "proto/{number}");
        cable.send(packet("10.77.0.10", "10.77.0.30", number, other.as_bytes()));
        let arrived = ledgers.receive(Duration::from_secs(2), |frame| frame.ends_with(other.as_bytes()));
        assert!(arrived.is_some(), "any: proto/{number}");
    }
    cable.send(packet("10.77.0.10", "10.77.0.30", 47, b"not even any"));
    let tunnel = record(&mut world, "the tunnel", |record| record["protocol"] == "proto/47");
    assert_eq!(tunnel["cause"]["reason"], "encap");
}

#[test]
fn tiers_and_audited_policies_decide_as_they_should() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let text = documents(
        &[&web, &checkout],
        &[
            policy("wide", "", &["checkout -> web tcp/8080-8089"]),
            policy("guard", "tier: guardrail", &["deny checkout -> web tcp/8081"]),
            policy("base", "tier: baseline", &["checkout -> web tcp/8090", "deny checkout -> web tcp/8082"]),
            policy("stricter", "mode: audit", &["deny checkout -> web tcp/8083"]),
            policy("looser", "mode: audit", &["checkout -> web tcp/8091"]),
            policy("narrow", "", &["deny checkout -> web tcp/8084"]),
        ],
    );
    let ports: Vec<_> = (8_080..8_092).map(Protocol::Tcp).collect();
    let _servers = web.serve(&ports);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    for (port, passes, verdict, rule) in [
        (8_080, true, "allowed", "wide#0"),
        (8_081, false, "denied", "guard#0"),
        (8_082, true, "allowed", "wide#0"),
        (8_083, true, "audited", "stricter#0"),
        (8_084, false, "denied", "narrow#0"),
        (8_090, true, "allowed", "base#0"),
        (8_091, false, "audited", "looser#0"),
    ] {
        assert_eq!(tries(&checkout, None, web.v4(), Protocol::Tcp(port)), passes, "tcp/{port}");
        let seen = record(&mut world, "it", |record| record["destination"]["port"] == port);
        assert_eq!((&seen["verdict"], cause(&seen)), (&verdict.into(), rule), "{seen}");
        assert_eq!(seen["passes"], passes, "{seen}");
    }
    let denied = tries(&checkout, None, web.v4(), Protocol::Tcp(9));
    assert!(!denied);
}

#[test]
fn segments_say_how_strictly_their_workloads_are_held() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let (ledger, outside) = (world.workload("ledger", 30), world.workload("outside", 90));
    let text = documents(
        &[&web, &checkout, &ledger],
        &[
            document("Segment", "loose", "{select: [{labels: {app: checkout}}], mode: audit}"),
            document("Segment", "free", "{select: [{labels: {app: ledger}}], mode: \"off\"}"),
            document("Segment", "strict", "{select: [{labels: {app: web}}], mode: enforce}"),
            document("Segment", "also", "{select: [{entity: workloads}], mode: \"off\"}"),
        ],
    );
    let port = Protocol::Tcp(8_080);
    let _servers = [&web, &checkout, &ledger, &outside].map(|workload| workload.serve(&[port]));
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    for (note, from, to, passes) in [
        ("into the strict one", &outside, &web, false),
        ("out of the strict one", &web, &outside, false),
        ("into the audited one", &outside, &checkout, true),
        ("out of the audited one", &checkout, &outside, true),
        ("into the free one", &outside, &ledger, true),
        ("out of the free one", &ledger, &outside, true),
        ("from the audited to the strict", &checkout, &web, false),
        ("from the free to the audited", &ledger, &checkout, true),
        ("from the strict to the free", &web, &ledger, false),
    ] {
        let seen = thread::scope(|scope| {
            let attempts =
                [false, true].map(|v6| scope.spawn(move || tries(from, None, to.address(v6), port)));
            attempts.map(|attempt| attempt.join().unwrap())
        });
        assert_eq!(seen, [passes; 2], "{note}, IPv4 and IPv6");
    }
    let audited = record(&mut world, "the audited one", |record| {
        record["direction"] == "ingress" && record["destination"]["workload"] == "checkout"
    });
    assert_eq!((&audited["verdict"], cause(&audited)), (&"audited".into(), "no-rule"), "{audited}");
    let status = world.daemon().status().unwrap();
    let modes: Vec<_> = status["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["name"], &one["mode"], &one["segment"]))
        .collect();
    for (name, mode, segment) in [("web", "enforce", "strict"), ("checkout", "audit", "loose")] {
        assert!(modes.contains(&(&name.into(), &mode.into(), &segment.into())), "{modes:?}");
    }
    // Off judges nothing, whatever it is; audit lets what it would deny pass and says so.
    let mut trial = Trial::new(world.daemon());
    let mut free = Cable::mute(&world, &ledger).unwrap();
    free.send(packet("192.0.2.1", "10.77.0.90", 17, b"12345678"));
    trial.expect(world.daemon(), "spoofed and off", &[("segment-off", 1)]);
    let mut loose = Cable::mute(&world, &checkout).unwrap();
    loose.send(packet("192.0.2.1", "10.77.0.90", 17, &[0, 1, 0, 2, 0, 8, 0, 0]));
    let records = trial.expect(world.daemon(), "spoofed and audited", &[("spoof-ip", 1)]);
    assert_eq!((&records[0]["verdict"], &records[0]["passes"]), (&"audited".into(), &true.into()));
}

/// The wall clock in so many seconds, as policies state it.
fn soon(seconds: u64) -> String {
    let output =
        Command::new("date").args(["-u", "-d", &format!("+{seconds} seconds"), "+%FT%TZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn e106_e108_an_expired_policy_cuts_its_flows_with_or_without_a_daemon() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    world.start_daemon(DaemonOptions::with_policy(&documents(&[&web, &checkout], &[]))).unwrap();
    for killed in [false, true] {
        let text = documents(
            &[&web, &checkout],
            &[
                policy(
                    "short",
                    &format!("expires: {}", soon(3)),
                    &["web -> checkout tcp/443", "web -> checkout udp/443"],
                ),
                policy("long", "", &["web -> checkout tcp/444"]),
            ],
        );
        let before = world.daemon().status().unwrap()["epoch"].clone();
        world.daemon().write_policy("policy.yaml", &text).unwrap();
        world.daemon().wait_until("the new expiry", |status| status["epoch"] != before);
        let opened =
            [(StreamKind::Tcp, 443, false), (StreamKind::Udp, 443, true), (StreamKind::Tcp, 444, false)]
                .map(|(kind, port, v6)| Stream::open(&web, &checkout, v6, kind, port).unwrap());
        if killed {
            world.daemon().kill().unwrap();
        }
        thread::sleep(Duration::from_millis(200));
        for meter in opened.iter().flat_map(Stream::meters) {
            assert!(meter.reset().bytes > 0, "killed={killed}");
        }
        thread::sleep(Duration::from_millis(3_300));
        for meter in opened.iter().flat_map(Stream::meters) {
            meter.reset();
        }
        thread::sleep(Duration::from_millis(300));
        for meter in opened[..2].iter().flat_map(Stream::meters) {
            assert_eq!(meter.read().bytes, 0, "killed={killed}");
        }
        for meter in opened[2].meters() {
            assert!(meter.read().bytes > 0, "killed={killed}: the other flow goes on");
        }
        drop(opened);
    }
}
