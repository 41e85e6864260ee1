//! Framing, header chains, options and lengths. Ids are those of the attack table.

use std::thread;
use std::time::{Duration, Instant};

use enforcer_common::packet::flags::SYN;
use enforcer_tests::forge::{extended, message, packet, rechecksum, tagged, tcp, udp, with_options};
use enforcer_tests::{Cable, DaemonOptions, Trial, World, documents, moved, policy, world};

const FAMILIES: [[&str; 2]; 2] = [["10.77.0.10", "10.77.0.20"], ["fd77::10", "fd77::20"]];
/// Passed both hooks under the rule.
const PASSED: &[(&str, u64)] = &[("shop#0", 2)];

struct Ground {
    cable: Cable,
    trial: Trial,
}

fn ground(world: &mut World, ports: &str) -> Ground {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let cable = Cable::mute(world, &web).unwrap();
    let _silent = Cable::mute(world, &checkout).unwrap();
    let rules = policy("shop", "", &["web -> checkout any"]).replace("[any]", &format!("[{ports}]"));
    let text = documents(&[&web, &checkout], &[rules]);
    let trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    Ground { cable, trial }
}

impl Ground {
    #[track_caller]
    fn step(&mut self, world: &mut World, note: &str, frame: Vec<u8>, causes: &[(&str, u64)]) {
        self.cable.send(frame);
        self.trial.expect(world.daemon(), note, causes);
    }

    #[track_caller]
    fn denied(&mut self, world: &mut World, reason: &str, cases: Vec<(&str, Vec<u8>)>) {
        for (note, frame) in cases {
            self.step(world, note, frame, &[(reason, 1)]);
        }
    }
}

fn allowed(family: usize) -> Vec<u8> {
    udp(FAMILIES[family][0], FAMILIES[family][1], (40_125, 8_125), b"twelve bytes")
}

#[test]
fn e07_e09_e10_e12_tags_and_unknown_ethertypes_are_denied() {
    let mut world = world!();
    let mut ground = ground(&mut world, "udp/8125");
    let plain = || allowed(0);
    ground.step(&mut world, "a priority tag is none", tagged(plain(), 0x8100, 0xe000), PASSED);
    let cases = vec![
        ("a tag", tagged(plain(), 0x8100, 5)),
        ("a service tag", tagged(plain(), 0x88a8, 5)),
        ("two tags", tagged(tagged(plain(), 0x8100, 5), 0x88a8, 7)),
        ("two equal tags", tagged(tagged(plain(), 0x8100, 5), 0x8100, 5)),
        ("two priority tags", tagged(tagged(plain(), 0x8100, 0), 0x8100, 0)),
        ("a priority service tag over a tag", tagged(tagged(plain(), 0x8100, 9), 0x88a8, 0)),
        ("a tag under a priority tag", tagged(tagged(plain(), 0x8100, 9), 0x8100, 0)),
        ("an old stacking tag", tagged(plain(), 0x9100, 5)),
    ];
    ground.denied(&mut world, "vlan", cases);
    let as_type = |ethertype: u16| {
        let mut frame = plain();
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        frame
    };
    let types = [0x8847, 0x8848, 0x8863, 0x8864, 0x888e, 0x88cc, 0x8137, 0x88b5, 0x0801, 0x05dc, 0x0004];
    let cases = types.map(|ethertype| ("an unknown ethertype", as_type(ethertype)));
    ground.denied(&mut world, "ethertype", cases.into());
    let mut four = allowed(0);
    four[14] = 0x65;
    let mut six = allowed(1);
    six[14] = 0x40;
    let mut four_in_six = allowed(0);
    four_in_six[12..14].copy_from_slice(&[0x86, 0xdd]);
    let cases = vec![
        ("version 6 in IPv4", four),
        ("version 4 in IPv6", six),
        ("an IPv4 packet as IPv6", four_in_six),
    ];
    ground.denied(&mut world, "malformed", cases);
}

#[test]
fn e26_e27_e28_e29_header_chains_are_judged_by_what_they_lead_to() {
    let mut world = world!();
    let mut ground = ground(&mut world, "udp/8125");
    let padding: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    let longer = [&[2_u8, 1, 20][..], &[0; 20]].concat();
    let authentication = [&[4_u8][..], &[0; 22]].concat();
    let (hop, options) = ((0, padding), (60, padding));
    let denied = || udp(FAMILIES[1][0], FAMILIES[1][1], (40_125, 9), b"twelve bytes");
    type Chain<'a> = Vec<(u8, &'a [u8])>;
    let chains: [(&str, Chain<'_>); 6] = [
        ("hop-by-hop", vec![hop]),
        ("destination options", vec![options]),
        ("both", vec![hop, options]),
        ("unequal units", vec![hop, (51, &authentication), (60, &longer)]),
        ("an atomic fragment among them", vec![hop, options, (44, &[0, 0, 0, 0, 0, 0, 1]), options]),
        ("eight of them", vec![options; 8]),
    ];
    for (note, chain) in &chains {
        ground.step(&mut world, note, extended(allowed(1), chain), PASSED);
        ground.step(&mut world, note, extended(denied(), chain), &[("no-rule", 1)]);
    }
    let cases = vec![("nine", vec![options; 9]), ("twelve", vec![options; 12])];
    let cases = cases.into_iter().map(|(note, chain)| (note, extended(allowed(1), &chain))).collect();
    ground.denied(&mut world, "exthdr-limit", cases);
    let cases = vec![
        ("type 0", extended(allowed(1), &[(43, &[0, 0, 0, 0, 0, 0, 0])])),
        ("type 2", extended(allowed(1), &[(43, &[0, 2, 1, 0, 0, 0, 0])])),
        ("segment routing", extended(allowed(1), &[(43, &[0, 4, 0, 0, 0, 0, 0])])),
        ("behind options", extended(allowed(1), &[hop, options, (43, &[0, 0, 0, 0, 0, 0, 0])])),
    ];
    ground.denied(&mut world, "routing-hdr", cases);
    let cases = vec![
        ("hop-by-hop in second place", extended(allowed(1), &[options, hop])),
        ("a header longer than the packet", extended(allowed(1), &[(60, &[200, 1, 4, 0, 0, 0, 0])])),
        ("nothing behind the header", packet(FAMILIES[1][0], FAMILIES[1][1], 60, &[17, 0, 1, 4, 0, 0, 0, 0])),
    ];
    ground.denied(&mut world, "malformed", cases);
    for number in [50, 59, 135, 139, 140, 253, 254, 33, 132, 136] {
        for [web, checkout] in FAMILIES {
            let frame = packet(web, checkout, number, &[0; 32]);
            ground.step(&mut world, &format!("protocol {number}"), frame, &[("proto", 1)]);
        }
    }
    for number in [4, 41, 47, 94, 97, 115, 137] {
        for [web, checkout] in FAMILIES {
            let frame = packet(web, checkout, number, &allowed(0)[14..]);
            ground.step(&mut world, &format!("tunnel {number}"), frame, &[("encap", 1)]);
        }
    }
    for port in [4_789, 8_472, 6_081] {
        let frame = udp(FAMILIES[0][0], FAMILIES[0][1], (40_125, port), &allowed(0));
        ground.step(&mut world, &format!("a tunnel on port {port}"), frame, &[("encap", 1)]);
    }
}

#[test]
fn e04_ipv4_options_neither_steer_nor_hide_the_transport_header() {
    let mut world = world!();
    let mut ground = ground(&mut world, "udp/8125");
    let [web, checkout] = FAMILIES[0];
    for (note, options) in
        [("no operation", &[1, 1, 1, 1][..]), ("router alert", &[148, 4, 0, 0]), ("an end", &[0])]
    {
        ground.step(&mut world, note, with_options(allowed(0), options), PASSED);
    }
    // Where a header without options would have its ports, the option says 8125.
    let forged =
        with_options(udp(web, checkout, (40_125, 9), b"x"), &[0x9c, 8, 0x1f, 0xbd, 0x1f, 0xbd, 0, 0]);
    ground.step(&mut world, "a port inside the options", forged, &[("no-rule", 1)]);
    let full = with_options(allowed(0), &[1; 40]);
    ground.cable.send(full);
    thread::sleep(Duration::from_millis(20));
    let records = ground.trial.expect(world.daemon(), "forty of them", &[("ip-option", 1)]);
    assert_eq!(records[0]["cause"]["reason"], "ip-option");
    let with = |options: &[u8]| with_options(allowed(0), options);
    let cases = vec![
        ("loose source route", with(&[131, 7, 4, 10, 77, 0, 1])),
        ("strict source route", with(&[137, 7, 4, 10, 77, 0, 1])),
        ("record route", with(&[7, 7, 4, 0, 0, 0, 0])),
        ("a source route behind others", with(&[1, 1, 148, 4, 0, 0, 131, 7, 4, 10, 77, 0, 1])),
    ];
    ground.denied(&mut world, "ip-option", cases);
    let cases = vec![
        ("an option without length", with(&[148, 0, 0, 0])),
        ("an option past its header", with(&[148, 40, 0, 0])),
    ];
    ground.denied(&mut world, "malformed", cases);
}

#[test]
fn e05_e06_e15_lengths_that_contradict_each_other_are_denied() {
    let mut world = world!();
    let mut ground = ground(&mut world, "udp/8125, tcp/443");
    let [web, checkout] = FAMILIES[0];
    let spoilt = |mut frame: Vec<u8>, at: usize, bytes: &[u8]| {
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        if frame[12] == 8 && frame[14] & 15 >= 5 {
            rechecksum(&mut frame);
        }
        frame
    };
    let segment = || tcp(web, checkout, (40_000, 443), SYN);
    let segment6 = || tcp(FAMILIES[1][0], FAMILIES[1][1], (40_000, 443), SYN);
    let cases = vec![
        ("a header of 16 bytes", spoilt(allowed(0), 14, &[0x44])),
        ("a header without length", spoilt(allowed(0), 14, &[0x40])),
        ("a total shorter than the header", spoilt(allowed(0), 16, &[0, 19])),
        ("a total of nothing", spoilt(allowed(0), 16, &[0, 0])),
        ("a total past the frame", spoilt(allowed(0), 16, &[1, 0])),
        ("the reserved flag", spoilt(allowed(0), 20, &[0x80])),
        ("an IPv6 payload past the frame", spoilt(allowed(1), 18, &[1, 0])),
        ("an IPv6 payload of nothing", spoilt(allowed(1), 18, &[0, 0])),
        ("a datagram without length", spoilt(allowed(0), 38, &[0, 0])),
        ("a datagram of 7 bytes", spoilt(allowed(0), 38, &[0, 7])),
        ("a datagram past its packet", spoilt(allowed(0), 38, &[0, 40])),
        ("an IPv6 datagram past its packet", spoilt(allowed(1), 58, &[0, 40])),
        ("a data offset of 4", spoilt(segment(), 46, &[0x40])),
        ("a data offset past the end", spoilt(segment(), 46, &[0x60])),
        ("an IPv6 data offset past the end", spoilt(segment6(), 66, &[0xf0])),
    ];
    ground.denied(&mut world, "malformed", cases);
    for family in [0, 1] {
        let trailing = [allowed(family), vec![0; 40]].concat();
        ground.step(&mut world, "bytes behind the packet", trailing, PASSED);
    }
    // What stands behind the packet is no part of it, even where it would make the packet whole.
    let shortened = spoilt(allowed(0), 16, &[0, 27]);
    ground.step(&mut world, "a header that ends behind the packet", shortened, &[("malformed", 1)]);
}

#[test]
fn e01_a_frame_cut_anywhere_never_passes() {
    let mut world = world!();
    let mut ground = ground(&mut world, "udp/8125, tcp/443, icmp/echo-request, icmpv6/echo-request");
    let mut sent = 0;
    let before = world.daemon().counts().unwrap();
    for (family, echo) in [(0, 8), (1, 128)] {
        let [web, checkout] = FAMILIES[family];
        let chained =
            if family == 1 { extended(allowed(1), &[(0, &[0, 1, 4, 0, 0, 0, 0])]) } else { allowed(0) };
        let whole = [
            tcp(web, checkout, (40_000, 443), SYN),
            allowed(family),
            message(web, checkout, echo, 0, 7, b"12345678"),
            chained,
        ];
        for frame in whole {
            for length in 15..frame.len() {
                ground.cable.send(frame[..length].to_vec());
                sent += 1;
            }
        }
    }
    let start = Instant::now();
    let counted = loop {
        let counted = moved(&before, &world.daemon().counts().unwrap());
        if counted.values().sum::<u64>() >= sent || start.elapsed() > Duration::from_secs(4) {
            break counted;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(counted.keys().all(|cause| ["short", "malformed"].contains(&cause.as_str())), "{counted:?}");
    assert_eq!(counted.values().sum::<u64>(), sent, "{counted:?}");
}

#[test]
fn e85_e86_groups_and_link_local_addresses_match_no_unicast_rule() {
    let mut world = world!();
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let mut cable = Cable::mute(&world, &web).unwrap();
    let rules = policy(
        "open",
        "",
        &["web -> {entity: workloads} any", "web -> {cidr: [0.0.0.0/0, \"::/0\"]} udp/5353"],
    );
    let text = documents(&[&web, &checkout], &[rules]);
    let mut trial = Trial::new(world.start_daemon(DaemonOptions::with_policy(&text)).unwrap());
    let [four, six] = [FAMILIES[0][0], FAMILIES[1][0]];
    for (note, frame, to) in [
        ("mDNS", udp(four, "224.0.0.251", (5_353, 5_353), b"x"), "224.0.0.251"),
        ("SSDP", udp(four, "239.255.255.250", (1_900, 1_900), b"x"), "239.255.255.250"),
        ("IGMP", packet(four, "224.0.0.22", 2, &[0x22, 0, 0, 0, 0, 0, 0, 0]), "224.0.0.22"),
        ("broadcast", udp(four, "255.255.255.255", (5_353, 5_353), b"x"), "255.255.255.255"),
        ("mDNS on IPv6", udp(six, "ff02::fb", (5_353, 5_353), b"x"), "ff02::fb"),
        ("MLD", message(six, "ff02::16", 143, 0, 0, &[0; 20]), "ff02::16"),
    ] {
        cable.send(frame);
        let start = Instant::now();
        let found = loop {
            let records = world.daemon().records().unwrap();
            let found = records.into_iter().find(|record| {
                record["destination"]["ip"] == to
                    && record["direction"] == "egress"
                    && record["source"]["workload"] == "web"
            });
            if found.is_some() || start.elapsed() > Duration::from_secs(3) {
                break found;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let record = found.unwrap_or_else(|| panic!("no record of {note}"));
        assert_eq!(
            (&record["verdict"], &record["cause"]["reason"]),
            (&"denied".into(), &"multicast".into()),
            "{note}"
        );
    }
    for (note, frame) in [
        ("the metadata service", tcp(four, "169.254.169.254", (40_000, 80), SYN)),
        ("a link-local address", tcp(six, "fe80::1", (40_000, 80), SYN)),
    ] {
        cable.send(frame);
        trial.expect(world.daemon(), note, &[("no-rule", 1)]);
    }
}
