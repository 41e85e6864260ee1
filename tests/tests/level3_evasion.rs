//! Attacks that need a wire, a raw socket, or sockets of before. Ids are those of the attack table.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_common::packet::flags::{ACK, RST, SYN};
use enforcer_tests::forge::{extended, message, packet, part, part_as, tagged, tcp, udp, with_options};
use enforcer_tests::{
    Cable, DaemonOptions, RawPort, Stream, StreamKind, Trial, TxRing, World, documents, policy, world,
};
use socket2::{Domain, Protocol, Socket, Type};

const FAMILIES: [[&str; 2]; 2] = [["10.77.0.10", "10.77.0.20"], ["fd77::10", "fd77::20"]];
/// Passed both hooks under the rule.
const PASSED: &[(&str, u64)] = &[("shop#0", 2)];

fn ground(world: &mut World) -> (Cable, TxRing, Trial) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let cable = Cable::mute(world, &web).unwrap();
    let _silent = Cable::mute(world, &checkout).unwrap();
    let ring = TxRing::open(&web, "eth0").unwrap();
    let text = documents(&[&web, &checkout], &[policy("shop", "", &["web -> checkout tcp/443"])]);
    let trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    (cable, ring, trial)
}

/// What is sent twice, and what is counted each time.
type Twin = (&'static str, Vec<u8>, &'static [(&'static str, u64)]);

#[test]
fn e02_headers_outside_the_linear_part_are_read_all_the_same() {
    let mut world = world!();
    let (mut cable, mut ring, mut trial) = ground(&mut world);
    let options: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    let mut cases: Vec<Twin> = Vec::new();
    for [web, checkout] in FAMILIES {
        let allowed = tcp(web, checkout, (40_000, 443), SYN);
        let large =
            packet(web, checkout, 6, &[allowed[allowed.len() - 20..].to_vec(), vec![0; 1_000]].concat());
        cases.extend([
            ("allowed", allowed.clone(), PASSED),
            ("allowed, with a payload", large.clone(), PASSED),
            ("another port", tcp(web, checkout, (40_000, 22), SYN), &[("no-rule", 1)]),
            ("another address", tcp(checkout, web, (40_000, 443), SYN), &[("spoof-ip", 1)]),
            ("impossible flags", tcp(web, checkout, (40_000, 443), 0), &[("tcp-flags", 1)]),
            ("a tag", tagged(allowed.clone(), 0x8100, 5), &[("vlan", 1)]),
            ("a priority tag", tagged(allowed.clone(), 0x8100, 0), PASSED),
            ("cut", allowed[..allowed.len() - 8].to_vec(), &[("short", 1)]),
            ("a part without a first", part_as(&large, 7, 0, 16, 185, true), &[("frag-unknown", 1)]),
            ("a first part", part(&large, 8, 0, 504), PASSED),
        ]);
    }
    let [four, six] = FAMILIES;
    cases.extend([
        ("options", with_options(tcp(four[0], four[1], (40_000, 443), SYN), &[148, 4, 0, 0]), PASSED),
        (
            "a source route",
            with_options(tcp(four[0], four[1], (1, 443), SYN), &[131, 3, 4]),
            &[("ip-option", 1)],
        ),
        ("a chain", extended(tcp(six[0], six[1], (40_000, 443), SYN), &[options, options]), PASSED),
        (
            "a chain to another port",
            extended(tcp(six[0], six[1], (1, 22), SYN), &[options]),
            &[("no-rule", 1)],
        ),
        (
            "a tunnel",
            packet(four[0], four[1], 4, &tcp(four[0], four[1], (1, 443), SYN)[14..]),
            &[("encap", 1)],
        ),
    ]);
    for (note, frame, causes) in cases {
        // Datagrams of one identification are one: the twin gets its own world of parts by being denied as an overlap.
        let again: &[(&str, u64)] = if note == "a first part" { &[("frag-overlap", 1)] } else { causes };
        cable.send(frame.clone());
        trial.expect(world.daemon(), &format!("{note}, in one piece"), causes);
        let mut frame = frame;
        frame[..6].copy_from_slice(&cable.far());
        frame[6..12].copy_from_slice(&cable.mac());
        ring.send(&frame).unwrap();
        trial.expect(world.daemon(), &format!("{note}, beside the linear part"), again);
    }
}

#[test]
fn e10_e13_x02_what_the_device_takes_off_or_leaves_is_judged() {
    let mut world = world!();
    let (mut cable, _ring, mut trial) = ground(&mut world);
    for [web, checkout] in FAMILIES {
        let allowed = || tcp(web, checkout, (40_000, 443), SYN);
        let mut step = |note: &str, frame: Vec<u8>, causes: &[(&str, u64)]| {
            cable.send(frame);
            trial.expect(world.daemon(), note, causes);
        };
        step("a priority tag", tagged(allowed(), 0x8100, 0), PASSED);
        step("a priority service tag", tagged(allowed(), 0x88a8, 0), &[("vlan", 1)]);
        step("one below it", tagged(tagged(allowed(), 0x8100, 0), 0x88a8, 0), &[("vlan", 1)]);
    }
    let mut wrong = tcp(FAMILIES[0][0], FAMILIES[0][1], (40_000, 443), SYN);
    wrong[24] ^= 1;
    cable.send(wrong);
    trial.expect(world.daemon(), "a wrong header checksum", &[("malformed", 1)]);
}

#[test]
fn e87_raw_sockets_are_judged_like_any_other() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let text = documents(&[&web, &checkout], &[policy("shop", "", &["web -> checkout udp/8125"])]);
    let mut trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    let socket = web.enter(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap());
    let to = SocketAddr::from((Ipv4Addr::new(10, 77, 0, 20), 0)).into();
    let [own, victim] = FAMILIES[0];
    // One-way: an answer by ICMP would be counted too.
    for (note, frame, causes) in [
        ("another's address", udp(victim, victim, (40_000, 8_125), b"x"), &[("spoof-ip", 1)][..]),
        ("its own, another port", udp(own, victim, (40_000, 9), b"x"), &[("no-rule", 1)]),
        ("a redirect", message(own, victim, 5, 1, 0, &[0; 28]), &[("redirect", 1)]),
        ("a tunnel", packet(own, victim, 47, &[0; 24]), &[("encap", 1)]),
        ("loopback", udp("127.0.0.1", victim, (40_000, 8_125), b"x"), &[("martian", 1)]),
    ] {
        socket.send_to(&frame[14..], &to).unwrap();
        trial.expect(world.daemon(), note, causes);
    }
}

#[test]
fn e74_connections_older_than_the_enforcer_are_cut() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let stream = Stream::open(&web, &checkout, false, StreamKind::Tcp, 443).unwrap();
    let start = Instant::now();
    while stream.meters().iter().any(|meter| meter.read().bytes == 0) {
        assert!(start.elapsed() < Duration::from_secs(5), "it flows without an enforcer");
        thread::sleep(Duration::from_millis(5));
    }
    let text = documents(&[&web, &checkout], &[policy("shop", "", &["web -> checkout tcp/443"])]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    for meter in stream.meters() {
        meter.reset();
    }
    thread::sleep(Duration::from_millis(300));
    for meter in stream.meters() {
        assert_eq!(meter.read().bytes, 0);
    }
    let counts = world.daemon().counts().unwrap();
    assert!(counts.get("state").is_some_and(|count| *count > 0), "{counts:?}");
    let again = Stream::open(&web, &checkout, false, StreamKind::Tcp, 443);
    assert!(again.is_ok(), "a new one opens: {:?}", again.err());
}

#[test]
fn e56_data_of_no_flow_is_answered_where_the_segment_says_so() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let mut cable = Cable::mute(&world, &web).unwrap();
    let segment = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: told}\nspec:\n  \
                   select: [{labels: {app: web}}]\n  onDeny: reset\n";
    let rules = [policy("shop", "", &["web -> checkout tcp/443"]), segment.to_owned()];
    let mut trial = Trial::new(
        world.start_daemon(DaemonOptions::with_policy(&documents(&[&web, &checkout], &rules))).unwrap(),
    );
    let mut port = RawPort::open(&web, "eth0").unwrap();
    for ([own, to], header) in FAMILIES.into_iter().zip([20, 40]) {
        cable.send(tcp(own, to, (40_000, 443), ACK));
        trial.expect(world.daemon(), "data of no flow", &[("state", 1)]);
        let reset = port.receive(Duration::from_secs(2), |frame| {
            let transport = 14 + header;
            frame.len() >= transport + 20
                && frame[transport..transport + 4] == [1, 0xbb, 0x9c, 0x40]
                && frame[transport + 13] & RST != 0
        });
        assert!(reset.is_some(), "no reset to {own}");
    }
}
