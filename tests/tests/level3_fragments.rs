//! Datagrams in parts. Ids are those of the attack table.

use std::time::Duration;

use enforcer_common::packet::flags::SYN;
use enforcer_tests::forge::{extended, packet, part, part_as, tcp, udp};
use enforcer_tests::{Cable, DaemonOptions, Probe, Protocol, Trial, World, documents, policy, world};

const FAMILIES: [[&str; 2]; 2] = [["10.77.0.10", "10.77.0.20"], ["fd77::10", "fd77::20"]];
const PARTS: [(usize, usize); 3] = [(0, 1_400), (1_400, 2_800), (2_800, 3_008)];

fn rules() -> String {
    policy("shop", "", &["web -> checkout udp/8125", "web -> checkout tcp/443"])
}

fn ground(world: &mut World) -> (Cable, Trial) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let cable = Cable::mute(world, &web).unwrap();
    let _silent = Cable::mute(world, &checkout).unwrap();
    let text = documents(&[&web, &checkout], &[rules()]);
    let trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    (cable, trial)
}

#[test]
fn datagrams_larger_than_the_mtu_pass_both_ways_where_they_are_allowed() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let ports = [Protocol::Udp(8125), Protocol::Udp(9)];
    let _servers = [checkout.serve(&ports), web.serve(&ports)];
    let ping =
        policy("ping", "", &["web -> checkout icmp/echo-request", "web -> checkout icmpv6/echo-request"]);
    let text = documents(&[&web, &checkout], &[rules(), ping]);
    world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    for v6 in [false, true] {
        for size in [1_473, 2_000, 4_000, 9_000, 40_000] {
            for protocol in [Protocol::Udp(8125), Protocol::Ping] {
                let probe = Probe::new(&web, checkout.address(v6), protocol).payload(size);
                let seen = probe.timeout(Duration::from_secs(2)).run();
                assert!(seen.passed(), "{size} bytes by {protocol}, v6={v6}: {seen}");
            }
        }
        for (from, to, protocol) in [(&web, &checkout, ports[1]), (&checkout, &web, ports[0])] {
            let seen = Probe::new(from, to.address(v6), protocol).payload(4_000).run();
            assert!(!seen.passed(), "{protocol} from {}, v6={v6}: {seen}", from.name());
        }
    }
    let counts = world.daemon().counts().unwrap();
    assert!(counts.get("no-rule").is_some_and(|count| *count > 0), "{counts:?}");
    for never in ["frag-order", "frag-overlap", "frag-tiny", "frag-full", "malformed", "short"] {
        assert_eq!(counts.get(never), None, "{counts:?}");
    }
}

#[test]
fn e16_e17_e19_parts_follow_their_first_in_order_or_not_at_all() {
    let mut world = world!();
    let (mut cable, mut trial) = ground(&mut world);
    for [web, checkout] in FAMILIES {
        let whole = udp(web, checkout, (40_125, 8_125), &[0x5a; 3_000]);
        let id = std::cell::Cell::new(100_u16);
        let piece = |n: usize| part(&whole, id.get(), PARTS[n].0, PARTS[n].1);
        let mut step = |note: &str, frame: Vec<u8>, causes: &[(&str, u64)]| {
            cable.send(frame);
            trial.expect(world.daemon(), note, causes);
        };
        const PASSED: &[(&str, u64)] = &[("shop#0", 2)];
        step("a part without a first", piece(1), &[("frag-unknown", 1)]);
        step("the last part without a first", piece(2), &[("frag-unknown", 1)]);
        step("first", piece(0), PASSED);
        step("second", piece(1), PASSED);
        step("third", piece(2), PASSED);
        step("the third again", piece(2), &[("frag-unknown", 1)]);

        id.set(101);
        step("first", piece(0), PASSED);
        step("third before second", piece(2), &[("frag-order", 1)]);
        step("second", piece(1), PASSED);
        step("third", piece(2), PASSED);

        id.set(102);
        step("first", piece(0), PASSED);
        step("an overlap", part(&whole, 102, 1_392, 2_800), &[("frag-overlap", 1)]);
        step("which spoils the rest", piece(1), &[("frag-overlap", 1)]);

        id.set(103);
        step("first", piece(0), PASSED);
        let other = udp(web, checkout, (40_125, 8_125), &[0x66; 3_000]);
        step("a second first", part(&other, 103, 0, 1_400), &[("frag-overlap", 1)]);
        step("which spoils the rest", piece(1), &[("frag-overlap", 1)]);

        id.set(104);
        step("first", piece(0), PASSED);
        step("another datagram's part", part(&whole, 105, 1_400, 2_800), &[("frag-unknown", 1)]);
        let denied = udp(web, checkout, (40_125, 9), &[0; 3_000]);
        step("a denied first", part(&denied, 106, 0, 1_400), &[("no-rule", 1)]);
        step("and its rest", part(&denied, 106, 1_400, 2_800), &[("frag-unknown", 1)]);
        let segment = tcp(web, checkout, (40_000, 443), SYN);
        step(
            "a part that looks like a SYN",
            part_as(&segment, 107, 0, 16, 185, true),
            &[("frag-unknown", 1)],
        );
        step(
            "a part past the largest datagram",
            part_as(&whole, 108, 0, 1_400, 0x1fff, false),
            &[("malformed", 1)],
        );
        step("a part of odd length", part_as(&whole, 109, 0, 1_001, 0, true), &[("malformed", 1)]);
        step("a part without anything", part_as(&whole, 110, 0, 0, 185, true), &[("malformed", 1)]);
    }
}

#[test]
fn e18_e21_a_first_part_holds_every_header() {
    let mut world = world!();
    let (mut cable, mut trial) = ground(&mut world);
    let mut step = |note: &str, frame: Vec<u8>, reason: &str| {
        cable.send(frame);
        trial.expect(world.daemon(), note, &[(reason, 1)]);
    };
    let [web, checkout] = FAMILIES[0];
    let segment = tcp(web, checkout, (40_000, 443), SYN);
    step("8 bytes of TCP", part_as(&segment, 1, 0, 8, 0, true), "frag-tiny");
    step("16 bytes of TCP", part_as(&segment, 2, 0, 16, 0, true), "frag-tiny");
    step("its flags in the second part", part_as(&segment, 1, 8, 20, 1, false), "frag-tiny");
    let [web, checkout] = FAMILIES[1];
    let segment = tcp(web, checkout, (40_000, 443), SYN);
    step("8 bytes of TCP on IPv6", part_as(&segment, 1, 0, 8, 0, true), "frag-hdr");
    step("16 bytes of TCP on IPv6", part_as(&segment, 2, 0, 16, 0, true), "frag-hdr");
    // The chain goes on after the fragment header and ends in the second part.
    let options = [&[2_u8][..], &[1, 20], &[0; 20]].concat();
    let chained = extended(segment, &[(60, &options)]);
    step("half of a header chain", part_as(&chained, 3, 0, 16, 0, true), "frag-hdr");
    step("a header chain without its end", part_as(&chained, 4, 0, 24, 0, true), "frag-hdr");
}

#[test]
fn e22_an_atomic_fragment_is_a_whole_datagram() {
    let mut world = world!();
    let (mut cable, mut trial) = ground(&mut world);
    let [web, checkout] = FAMILIES[1];
    let atomic = |frame| extended(frame, &[(44, &[0, 0, 0, 0, 0, 0, 1])]);
    cable.send(atomic(udp(web, checkout, (40_125, 8_125), b"allowed")));
    trial.expect(world.daemon(), "allowed", &[("shop#0", 2)]);
    cable.send(atomic(udp(web, checkout, (40_125, 9), b"denied")));
    trial.expect(world.daemon(), "denied", &[("no-rule", 1)]);
    cable.send(atomic(packet(web, checkout, 44, &[17, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])));
    let records = trial.expect(world.daemon(), "two of them", &[("malformed", 1)]);
    assert_eq!(records.len(), 1);
}

#[test]
fn e24_the_rest_of_a_datagram_is_denied_once_its_rule_is_gone() {
    let mut world = world!();
    let (mut cable, mut trial) = ground(&mut world);
    let without = documents(&[&world.workloads()[0].clone(), &world.workloads()[1].clone()], &[]);
    for ([web, checkout], id) in FAMILIES.into_iter().zip([1, 2]) {
        let whole = udp(web, checkout, (40_125, 8_125), &[0x5a; 3_000]);
        cable.send(part(&whole, id, 0, 1_400));
        trial.expect(world.daemon(), "first", &[("shop#0", 2)]);
    }
    let before = world.daemon().status().unwrap()["epoch"].as_u64();
    world.daemon().write_policy("policy.yaml", &without).unwrap();
    world.daemon().wait_until("another epoch", |status| status["epoch"].as_u64() != before);
    let mut trial = Trial::new(world.daemon());
    for ([web, checkout], id) in FAMILIES.into_iter().zip([1, 2]) {
        let whole = udp(web, checkout, (40_125, 8_125), &[0x5a; 3_000]);
        cable.send(part(&whole, id, 1_400, 2_800));
        trial.expect(world.daemon(), "second", &[("no-rule", 1)]);
    }
}
