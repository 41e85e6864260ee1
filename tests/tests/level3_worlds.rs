//! The worlds themselves, without an enforcer: everything passes, and the drivers tell apart what they have to.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use enforcer_tests::etherparse::{EtherType, Ethernet2HeaderSlice, PacketBuilder};
use enforcer_tests::{Probe, Protocol, RawPort, Seen, Stream, StreamKind, World, world};

const PORTS: [Protocol; 2] = [Protocol::Tcp(8080), Protocol::Udp(8125)];

#[test]
fn everything_passes_between_workloads_without_an_enforcer() {
    let mut world = world!();
    let workloads = [world.workload("web", 10), world.workload("checkout", 20), world.workload("ledger", 30)];
    let _servers: Vec<_> = workloads.iter().map(|workload| workload.serve(&PORTS)).collect();
    for from in &workloads {
        for to in workloads.iter().filter(|to| to.name() != from.name()) {
            for v6 in [false, true] {
                for protocol in [PORTS[0], PORTS[1], Protocol::Ping] {
                    let seen =
                        Probe::new(from, to.address(v6), protocol).timeout(Duration::from_secs(2)).run();
                    assert!(seen.passed(), "{} -> {} {protocol} v6={v6}: {seen}", from.name(), to.name());
                }
            }
        }
    }
}

#[test]
fn the_host_reaches_workloads_and_is_reached() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let _web_servers = web.serve(&PORTS);
    let _host_servers = world.host().serve(&PORTS);
    for v6 in [false, true] {
        for protocol in [PORTS[0], PORTS[1], Protocol::Ping] {
            assert!(
                Probe::new(world.host(), web.address(v6), protocol).run().passed(),
                "{protocol} v6={v6} in"
            );
            assert!(Probe::new(&web, world.gateway(v6), protocol).run().passed(), "{protocol} v6={v6} out");
        }
    }
}

#[test]
fn all_traffic_between_workloads_passes_both_host_side_devices() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let mut ports =
        [&web, &checkout].map(|workload| RawPort::open(world.host(), workload.interface()).unwrap());
    let source = SocketAddr::new(web.v4(), 40_123);
    let _echo = checkout.serve(&[Protocol::Udp(8125)]);
    assert!(Probe::new(&web, checkout.v4(), Protocol::Udp(8125)).source(source).run().passed());
    let port = 40_123_u16.to_be_bytes();
    for raw in &mut ports {
        let there = raw.receive(Duration::from_secs(1), |frame| frame.len() > 36 && frame[34..36] == port);
        let back = raw.receive(Duration::from_secs(1), |frame| frame.len() > 38 && frame[36..38] == port);
        assert!(there.is_some() && back.is_some());
    }
}

#[test]
fn a_closed_port_refuses_and_a_black_hole_is_silent() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let closed = Probe::new(&web, checkout.v4(), Protocol::Tcp(9)).run();
    assert_eq!(closed, Seen::Refused(std::io::ErrorKind::ConnectionRefused));
    world.ip(&["route delete 10.77.0.20", "route add blackhole 10.77.0.20"]).unwrap();
    for protocol in [PORTS[0], PORTS[1], Protocol::Ping] {
        let seen = Probe::new(&web, checkout.v4(), protocol).timeout(Duration::from_millis(200)).run();
        assert!(seen.silent(), "{protocol}: {seen}");
    }
}

#[test]
fn sctp_passes_where_the_kernel_has_it() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let protocol = Protocol::Sctp(38412);
    if !protocol.is_available() {
        eprintln!("not tried: this kernel has no SCTP (CONFIG_IP_SCTP)");
        return;
    }
    let _echo = checkout.serve(&[protocol]);
    assert!(Probe::new(&web, checkout.v4(), protocol).run().passed());
}

#[test]
fn streams_flow_both_ways_and_notice_a_cut() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    for (kind, port) in [(StreamKind::Tcp, 5432), (StreamKind::Udp, 8125)] {
        let stream = Stream::open(&web, &checkout, port == 8125, kind, port).unwrap();
        thread::sleep(Duration::from_millis(200));
        for meter in stream.meters() {
            assert!(meter.reset().bytes > 10_000, "{kind:?}");
        }
        if kind == StreamKind::Tcp {
            assert_eq!(stream.lost(), Some(0));
        }
        world.ip(&["link set enf-web down"]).unwrap();
        thread::sleep(Duration::from_millis(50));
        for meter in stream.meters() {
            meter.reset();
        }
        thread::sleep(Duration::from_millis(200));
        for meter in stream.meters() {
            assert_eq!(meter.read().bytes, 0, "{kind:?}");
        }
        drop(stream);
        let route = format!("route replace {} dev enf-web", web.v4());
        let route_v6 = format!("route replace {} dev enf-web", web.v6());
        world
            .ip(&["link set enf-web up", &route, &route_v6, "address replace fd77::1/128 dev enf-web nodad"])
            .unwrap();
    }
}

#[test]
fn raw_frames_arrive_as_they_were_sent() {
    let mut world = world!();
    let web = world.workload("web", 10);
    let mut inside = RawPort::open(&web, "eth0").unwrap();
    let mut outside = RawPort::open(world.host(), web.interface()).unwrap();
    let mut frame = Vec::new();
    let builder =
        PacketBuilder::ethernet2(inside.mac(), outside.mac()).ipv4([192, 0, 2, 66], [10, 77, 0, 1], 64);
    builder.udp(1, 2).write(&mut frame, b"spoofed").unwrap();
    inside.send(&frame).unwrap();
    let seen = outside.receive(Duration::from_secs(1), |bytes| bytes.ends_with(b"spoofed"));
    assert_eq!(seen.as_ref(), Some(&frame));
    // Nor does the kernel mind a type that it doesn't know.
    let mut unknown = frame[..12].to_vec();
    unknown.extend_from_slice(b"\x88\xb5experiment");
    outside.send(&unknown).unwrap();
    let seen = inside.receive(Duration::from_secs(1), |bytes| bytes.ends_with(b"experiment")).unwrap();
    assert_eq!(Ethernet2HeaderSlice::from_slice(&seen).unwrap().ether_type(), EtherType(0x88b5));
}

#[test]
fn nothing_is_left_of_a_world_even_after_a_panic() {
    let name = thread::spawn(|| {
        let mut world = world!();
        world.workload("web", 10);
        let name = world.host().name().to_owned();
        std::fs::write(world.dir().join("name"), &name).unwrap();
        let copy = std::env::temp_dir().join(format!("enforcer-world-{}", std::process::id()));
        std::fs::write(copy, format!("{name}\n{}\n{}", world.dir().display(), world.pins().display()))
            .unwrap();
        panic!("on purpose");
    });
    assert!(name.join().is_err());
    let copy = std::env::temp_dir().join(format!("enforcer-world-{}", std::process::id()));
    let text = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    let mut lines = text.lines();
    let namespace = format!("/run/netns/{}", lines.next().unwrap());
    for path in [&namespace, lines.next().unwrap(), lines.next().unwrap()] {
        assert!(!std::path::Path::new(path).exists(), "{path} is left");
    }
}

#[test]
fn what_a_killed_process_left_is_swept() {
    // A process that is over: its id is free, as after a kill.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let left = format!("enforcer-sweep.left.{}.0.web", child.id());
    let status = std::process::Command::new("ip").args(["netns", "add", &left]).status().unwrap();
    assert!(status.success());
    let world = World::new("enforcer-sweep", "sweeper").unwrap();
    assert!(!std::path::Path::new("/run/netns").join(&left).exists());
    assert!(world.host().path().exists());
}
