//! Packets out of state, and what belongs to a flow. Ids are those of the attack table.

use std::thread;
use std::time::{Duration, Instant};

use enforcer_common::flow::{FlowEntry, FlowKey};
use enforcer_common::packet::flags::{ACK, FIN, PSH, RST, SYN, URG};
use enforcer_tests::foreign::Object;
use enforcer_tests::forge::{error, message, tcp, udp};
use enforcer_tests::{
    Cable, DaemonOptions, RawPort, Stream, StreamKind, Trial, World, documents, policy, world,
};

/// Addresses of web, checkout and ledger in both families.
const FAMILIES: [[&str; 3]; 2] =
    [["10.77.0.10", "10.77.0.20", "10.77.0.30"], ["fd77::10", "fd77::20", "fd77::30"]];

/// Three silent workloads; web may open a few flows to checkout, and nothing else is allowed.
struct Ground {
    web: Cable,
    checkout: Cable,
    ledger: Cable,
    trial: Trial,
}

fn ground(world: &mut World) -> Ground {
    let workloads = [world.workload("web", 10), world.workload("checkout", 20), world.workload("ledger", 30)];
    let [web, checkout, ledger] = workloads.each_ref().map(|workload| Cable::mute(world, workload).unwrap());
    let ports = "tcp/443, udp/8125, udp/53, icmp/echo-request, icmpv6/echo-request";
    let rule = policy("shop", "", &["web -> checkout any"]).replace("[any]", &format!("[{ports}]"));
    let text = documents(&workloads.each_ref(), &[rule]);
    let trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    Ground { web, checkout, ledger, trial }
}

/// Passed both hooks under the rule.
const PASSED: &[(&str, u64)] = &[("shop#0", 2)];

#[test]
fn e44_e45_e46_tcp_without_a_syn_or_with_impossible_flags_is_denied() {
    let mut world = world!();
    let mut ground = ground(&mut world);
    for [web, checkout, _] in FAMILIES {
        for (note, flags, reason) in [
            ("SYN+ACK without SYN", SYN | ACK, "state"),
            ("bare ACK", ACK, "state"),
            ("data", PSH | ACK, "state"),
            ("FIN+ACK", FIN | ACK, "state"),
            ("RST", RST, "state"),
            ("RST+ACK", RST | ACK, "state"),
            ("NULL", 0, "tcp-flags"),
            ("FIN alone", FIN, "tcp-flags"),
            ("PSH alone", PSH, "tcp-flags"),
            ("XMAS", FIN | PSH | URG, "tcp-flags"),
            ("SYN+FIN", SYN | FIN, "tcp-flags"),
            ("SYN+FIN+ACK", SYN | FIN | ACK, "tcp-flags"),
            ("SYN+RST", SYN | RST, "tcp-flags"),
            ("everything", 0x3f, "tcp-flags"),
        ] {
            ground.web.send(tcp(web, checkout, (40_000, 443), flags));
            let records = ground.trial.expect(world.daemon(), note, &[(reason, 1)]);
            assert_eq!(records[0]["protocol"], "tcp", "{note}");
            assert_eq!(records[0]["destination"]["workload"], "checkout", "{note}: {}", records[0]);
        }
        // None of them left anything behind.
        ground.checkout.send(tcp(checkout, web, (443, 40_000), SYN | ACK));
        ground.trial.expect(world.daemon(), "an answer to nothing", &[("state", 1)]);
    }
}

#[test]
fn e49_a_connection_lives_from_syn_to_close_and_its_tuple_may_be_used_again() {
    let mut world = world!();
    let mut ground = ground(&mut world);
    for [web, checkout, _] in FAMILIES {
        let forth = |flags| tcp(web, checkout, (40_000, 443), flags);
        let back = |flags| tcp(checkout, web, (443, 40_000), flags);
        let mut step = |note: &str, forwards: bool, flags: u8, causes: &[(&str, u64)]| {
            if forwards {
                ground.web.send(forth(flags))
            } else {
                ground.checkout.send(back(flags))
            }
            ground.trial.expect(world.daemon(), note, causes)
        };
        let opened = step("SYN", true, SYN, PASSED);
        assert_eq!(opened.iter().filter(|record| record["new"] == true).count(), 2, "{opened:#?}");
        step("SYN again", true, SYN, PASSED);
        step("SYN+ACK", false, SYN | ACK, PASSED);
        step("ACK", true, ACK, PASSED);
        step("data", true, PSH | ACK, PASSED);
        step("data back", false, PSH | ACK, PASSED);
        step("a SYN from the other end is its own flow", false, SYN, &[("no-rule", 1)]);
        step("which ends nothing", false, PSH | ACK, PASSED);
        step("impossible flags in a flow", true, FIN | SYN, &[("tcp-flags", 1)]);
        step("half-closed", true, FIN | ACK, PASSED);
        step("the other half goes on", false, PSH | ACK, PASSED);
        step("and is confirmed", true, ACK, PASSED);
        step("closed", false, FIN | ACK, PASSED);
        step("last ACK", true, ACK, PASSED);
        let again = step("the tuple's next connection", true, SYN, PASSED);
        assert_eq!(again.iter().filter(|record| record["new"] == true).count(), 2, "{again:#?}");
        step("is answered", false, SYN | ACK, PASSED);
        step("confirmed", true, ACK, PASSED);
        step("and reset", false, RST | ACK, PASSED);
        let again = step("and opened once more", true, SYN, PASSED);
        assert_eq!(again.iter().filter(|record| record["new"] == true).count(), 2, "{again:#?}");
    }
}

#[test]
fn e57_datagrams_pass_back_only_after_a_request() {
    let mut world = world!();
    let mut ground = ground(&mut world);
    for [web, checkout, ledger] in FAMILIES {
        ground.checkout.send(udp(checkout, web, (53, 40_053), b"unasked"));
        ground.trial.expect(world.daemon(), "unasked answer", &[("no-rule", 1)]);
        ground.web.send(udp(web, checkout, (40_053, 53), b"question"));
        ground.trial.expect(world.daemon(), "question", PASSED);
        ground.checkout.send(udp(checkout, web, (53, 40_053), b"answer"));
        ground.trial.expect(world.daemon(), "answer", PASSED);
        ground.checkout.send(udp(checkout, web, (53, 40_054), b"another port"));
        ground.trial.expect(world.daemon(), "an answer to another port", &[("no-rule", 1)]);
        ground.ledger.send(udp(ledger, web, (53, 40_053), b"another sender"));
        ground.trial.expect(world.daemon(), "an answer from somebody else", &[("no-rule", 1)]);
        ground.ledger.send(udp(checkout, web, (53, 40_053), b"in its name"));
        ground.trial.expect(world.daemon(), "an answer in the server's name", &[("spoof-ip", 1)]);
    }
}

#[test]
fn e41_e42_e43_pings_go_one_way() {
    let mut world = world!();
    let mut ground = ground(&mut world);
    for ([web, checkout, _], request, reply) in [(FAMILIES[0], 8, 0), (FAMILIES[1], 128, 129)] {
        ground.checkout.send(message(checkout, web, reply, 0, 7, b"x"));
        ground.trial.expect(world.daemon(), "a reply to nothing", &[("state", 1)]);
        ground.web.send(message(web, checkout, request, 0, 7, b"x"));
        ground.trial.expect(world.daemon(), "a request", PASSED);
        ground.checkout.send(message(checkout, web, reply, 0, 7, b"x"));
        ground.trial.expect(world.daemon(), "its reply", PASSED);
        ground.checkout.send(message(checkout, web, reply, 0, 8, b"x"));
        ground.trial.expect(world.daemon(), "a reply to another request", &[("state", 1)]);
        ground.checkout.send(message(checkout, web, request, 0, 7, b"x"));
        ground.trial.expect(world.daemon(), "a request the other way", &[("no-rule", 1)]);
        ground.web.send(message(web, checkout, reply, 0, 7, b"x"));
        ground.trial.expect(world.daemon(), "a reply to that", &[("state", 1)]);
    }
    let [web, checkout, _] = FAMILIES[0];
    for kind in [13, 15, 17] {
        ground.web.send(message(web, checkout, kind, 0, 7, &[0; 12]));
        ground.trial.expect(world.daemon(), "timestamps and the like", &[("no-rule", 1)]);
        ground.checkout.send(message(checkout, web, kind + 1, 0, 7, &[0; 12]));
        ground.trial.expect(world.daemon(), "their replies", &[("state", 1)]);
    }
}

#[test]
fn e37_e38_e40_icmp_errors_pass_for_live_flows_only() {
    let mut world = world!();
    let mut ground = ground(&mut world);
    let four = [
        ("unreachable port", (3, 3)),
        ("too big", (3, 4)),
        ("time exceeded", (11, 0)),
        ("parameter", (12, 0)),
    ];
    let six =
        [("unreachable port", (1, 4)), ("too big", (2, 0)), ("time exceeded", (3, 0)), ("parameter", (4, 1))];
    for ([web, checkout, ledger], errors) in [(FAMILIES[0], four), (FAMILIES[1], six)] {
        let request = udp(web, checkout, (40_125, 8_125), b"request");
        let answer = udp(checkout, web, (8_125, 40_125), b"answer");
        ground.checkout.send(error(checkout, web, errors[0].1, &request));
        ground.trial.expect(world.daemon(), "before the flow", &[("related-unknown", 1)]);
        ground.web.send(request.clone());
        ground.trial.expect(world.daemon(), "the flow", PASSED);
        for (note, kind) in errors {
            ground.checkout.send(error(checkout, web, kind, &request));
            ground.trial.expect(world.daemon(), note, PASSED);
            ground.web.send(error(web, checkout, kind, &answer));
            ground.trial.expect(world.daemon(), note, PASSED);
        }
        let kind = errors[0].1;
        let other = udp(web, checkout, (40_126, 8_125), b"request");
        let forged = [
            ("a flow that isn't there", error(checkout, web, kind, &other)),
            ("its own answer, quoted as if it had been asked", error(checkout, web, kind, &answer)),
        ];
        for (note, frame) in forged {
            ground.checkout.send(frame);
            ground.trial.expect(world.daemon(), note, &[("related-unknown", 1)]);
        }
        ground.ledger.send(error(ledger, web, kind, &request));
        ground.trial.expect(world.daemon(), "somebody else's flow", &[("related-unknown", 1)]);
        ground.ledger.send(error(checkout, web, kind, &request));
        ground.trial.expect(world.daemon(), "in the server's name", &[("spoof-ip", 1)]);
        let mut cut = error(checkout, web, kind, &request);
        cut.truncate(14 + if web.contains(':') { 40 } else { 20 } + 8);
        if web.contains(':') {
            cut[18..20].copy_from_slice(&8_u16.to_be_bytes());
        } else {
            cut[16..18].copy_from_slice(&28_u16.to_be_bytes());
            enforcer_tests::forge::rechecksum(&mut cut);
        }
        ground.checkout.send(cut);
        ground.trial.expect(world.daemon(), "an error that quotes nothing", &[("related-unknown", 1)]);
    }
}

/// What is remembered of each IPv4 flow at a port of the other end's: [`FlowEntry::RESET`] and the like.
fn states(flows: &Object, remote_port: u16) -> Vec<u8> {
    let port = std::mem::offset_of!(FlowKey<1>, remote_port);
    let of = |key: &Vec<u8>| flows.read(key, size_of::<FlowEntry>()).ok();
    let keys = flows.keys(size_of::<FlowKey<1>>()).unwrap();
    let here = keys.iter().filter(|key| key[port..port + 2] == remote_port.to_be_bytes());
    here.filter_map(of).map(|entry| entry[std::mem::offset_of!(FlowEntry, state)]).collect()
}

#[test]
fn e50_a_connection_outlives_resets_and_ends_that_others_forge() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let rule = policy("shop", "", &["web -> checkout tcp/443"]);
    let text = documents(&[&web, &checkout], &[rule]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let stream = Stream::open(&web, &checkout, false, StreamKind::Tcp, 443).unwrap();
    let flows = Object::open(&world.pinned("maps/FLOWS4")).unwrap();
    // Where only the network's own devices could: towards the client, past the server's hook.
    let mut wire = RawPort::open(world.host(), web.interface()).unwrap();
    let inside = RawPort::open(web.namespace(), "eth0").unwrap().mac();
    let ports = (443, stream.local().port());
    for (flags, bit) in
        [(RST, FlowEntry::RESET), (RST | ACK, FlowEntry::RESET), (FIN | ACK, FlowEntry::FIN_OTHER)]
    {
        let mut frame = tcp("10.77.0.20", "10.77.0.10", ports, flags);
        frame[..6].copy_from_slice(&inside);
        frame[6..12].copy_from_slice(&wire.mac());
        let mut seen = false;
        for _ in 0..200 {
            wire.send(&frame).unwrap();
            seen |= states(&flows, 443).iter().any(|state| state & bit != 0);
        }
        assert!(seen, "none of {flags:#x} got to where flows are remembered");
        for meter in stream.meters() {
            meter.reset();
        }
        let began = Instant::now();
        // Its own packets take back what was forged; one end's goodbye alone closes nothing.
        let closed = |state: u8| state & FlowEntry::RESET != 0 || state & FlowEntry::FIN_OPENER != 0;
        while states(&flows, 443).into_iter().any(closed) {
            assert!(began.elapsed() < Duration::from_secs(5), "it counts as closed");
        }
        thread::sleep(Duration::from_millis(200));
        let arrived = stream.meters().map(|meter| meter.read().bytes);
        assert!(arrived.iter().all(|bytes| *bytes > 0), "after {flags:#x}: {arrived:?}");
    }
    assert_eq!(stream.lost(), Some(0));
}
