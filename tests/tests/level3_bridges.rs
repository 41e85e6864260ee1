//! Workloads on one bridge, as containers usually are: nothing is routed, and both devices judge all the same.

use std::time::Duration;

use enforcer_common::packet::flags::SYN;
use enforcer_tests::forge::{arp, tcp, udp};
use enforcer_tests::{
    DaemonOptions, Probe, Protocol, RawPort, Stream, StreamKind, Workload, World, documents, policy, world,
};

/// Puts the host's ends into a bridge, and the workloads into one subnet behind it.
fn bridge(world: &World, workloads: &[&Workload]) {
    world.ip(&["link add bridge0 type bridge", "link set bridge0 up"]).unwrap();
    for workload in workloads {
        let device = workload.interface();
        world
            .ip(&[
                &format!("address flush dev {device}"),
                &format!("route flush {}", workload.v4()),
                &format!("link set {device} master bridge0"),
            ])
            .unwrap();
        for arguments in [
            format!("-4 address delete {}/32 dev eth0", workload.v4()),
            format!("-6 address delete {}/128 dev eth0", workload.v6()),
            format!("-4 address add {}/24 dev eth0", workload.v4()),
            format!("-6 address add {}/64 dev eth0 nodad", workload.v6()),
        ] {
            let status = workload.command("ip").args(arguments.split(' ')).status().unwrap();
            assert!(status.success(), "{arguments}");
        }
    }
    world.ip(&["address add 10.77.0.1/24 dev bridge0", "address add fd77::1/64 dev bridge0 nodad"]).unwrap();
}

#[test]
fn e79_workloads_on_one_bridge_are_judged_at_both_devices() {
    let mut world = world!();
    let workloads = [world.workload("web", 10), world.workload("checkout", 20), world.workload("ledger", 30)];
    let [web, checkout, ledger] = &workloads;
    bridge(&world, &[web, checkout, ledger]);
    let ports = [Protocol::Tcp(443), Protocol::Tcp(444), Protocol::Udp(8125)];
    let _servers = [checkout.serve(&ports), ledger.serve(&ports)];
    let tried = |from: &Workload, to: &Workload, v6: bool, protocol: Protocol| {
        Probe::new(from, to.address(v6), protocol).timeout(Duration::from_millis(600)).run().passed()
    };
    for v6 in [false, true] {
        assert!(tried(web, ledger, v6, ports[1]), "before there is an enforcer, v6={v6}");
    }
    let rules = policy("shop", "", &["web -> checkout tcp/443", "web -> checkout udp/8125"]);
    world.start_daemon(DaemonOptions::with_policy(&documents(&[web, checkout, ledger], &[rules]))).unwrap();
    for v6 in [false, true] {
        for (to, protocol, passes) in [
            (checkout, ports[0], true),
            (checkout, ports[2], true),
            (checkout, ports[1], false),
            (ledger, ports[0], false),
            (ledger, ports[2], false),
        ] {
            assert_eq!(tried(web, to, v6, protocol), passes, "{} {protocol}, v6={v6}", to.name());
        }
        let large = Probe::new(web, checkout.address(v6), ports[2]).payload(4_000).run();
        assert!(large.passed(), "a datagram in parts, v6={v6}: {large}");
    }
    drop(_servers);

    // What web claims on the bridge reaches nobody, and the stream beside it never notices.
    let stream = Stream::open(web, checkout, false, StreamKind::Udp, 8125).unwrap();
    let mut port = RawPort::open(web, "eth0").unwrap();
    let mut far = RawPort::open(ledger, "eth0").unwrap();
    let (own, everybody) = (port.mac(), [0xff; 6]);
    let forged = [
        arp(2, own, "10.77.0.20", "10.77.0.30"),
        arp(1, own, "10.77.0.1", "10.77.0.30"),
        tcp("10.77.0.20", "10.77.0.30", (40_000, 443), SYN),
        udp("10.77.0.10", "10.77.0.30", (40_000, 8125), b"denied"),
        udp("fd77::20", "fd77::30", (40_000, 8125), b"denied"),
    ];
    for mut frame in forged {
        frame[..6].copy_from_slice(&everybody);
        frame[6..12].copy_from_slice(&own);
        port.send(&frame).unwrap();
        let tail = frame[14..].to_vec();
        let arrived = far.receive(Duration::from_millis(100), |seen| seen.ends_with(&tail));
        assert!(arrived.is_none(), "{frame:02x?}");
    }
    for meter in stream.meters() {
        let seen = meter.read();
        assert!(seen.bytes > 0 && seen.longest_gap < Duration::from_millis(500), "{seen:?}");
    }
    let counts = world.daemon().counts().unwrap();
    for (cause, least) in [("arp-spoof", 2), ("spoof-ip", 2), ("no-rule", 1)] {
        assert!(counts.get(cause).is_some_and(|count| *count >= least), "{cause}: {counts:?}");
    }
}
