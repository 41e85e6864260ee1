//! What a workload claims to be, and isn't. Ids are those of the attack table.

use enforcer_common::packet::flags::SYN;
use enforcer_tests::forge::{arp, error, extended, link_local, message, neighbour, packet, part, tcp, udp};
use enforcer_tests::{Cable, DaemonOptions, Trial, Workload, World, documents, policy, world};

const GATEWAY: &str = "10.77.0.1";
const WEB: (&str, &str) = ("10.77.0.10", "fd77::10");
const CHECKOUT: (&str, &str) = ("10.77.0.20", "fd77::20");

/// Web may do anything, as far as the rules go.
fn open_to_web(world: &mut World) -> (Workload, Cable, Trial) {
    let (web, checkout) = (world.workload("web", 10), world.workload("checkout", 20));
    let cable = Cable::mute(world, &web).unwrap();
    let _silent = Cable::mute(world, &checkout).unwrap();
    let rules = policy("open", "", &["{entity: all} -> {entity: all} any"]);
    let text = documents(&[&web, &checkout], &[rules]);
    let daemon = world.start_daemon(DaemonOptions::with_policy(&text)).unwrap();
    let trial = Trial::new(daemon);
    (web, cable, trial)
}

type Case = (&'static str, Vec<u8>, &'static str);

/// Sends each frame and holds that it was denied for its reason and nothing else was counted.
fn denied(world: &mut World, cable: &mut Cable, trial: &mut Trial, cases: Vec<Case>) {
    for (note, frame, reason) in cases {
        cable.send(frame);
        let records = trial.expect(world.daemon(), note, &[(reason, 1)]);
        for record in records.iter().filter(|record| record["verdict"] != "allowed") {
            assert_eq!(
                (&record["verdict"], &record["direction"]),
                (&"denied".into(), &"egress".into()),
                "{note}"
            );
            assert_eq!(record["source"]["workload"], "web", "{note}: {record}");
        }
    }
}

#[test]
fn e60_e62_e83_addresses_that_are_not_the_workloads_own_are_denied() {
    let mut world = world!();
    let (_web, mut cable, mut trial) = open_to_web(&mut world);
    let to4 = |source| tcp(source, CHECKOUT.0, (40_000, 443), SYN);
    let to6 = |source| tcp(source, CHECKOUT.1, (40_000, 443), SYN);
    let cases = vec![
        ("another workload's IPv4 address", to4(CHECKOUT.0), "spoof-ip"),
        ("nobody's IPv4 address", to4("192.0.2.1"), "spoof-ip"),
        ("the gateway's", to4(GATEWAY), "spoof-ip"),
        ("another workload's IPv6 address", to6(CHECKOUT.1), "spoof-ip"),
        ("nobody's IPv6 address", to6("2001:db8::1"), "spoof-ip"),
        ("a link-local address that isn't named", to6("fe80::1"), "spoof-ip"),
        ("a spoofed ping", message(CHECKOUT.0, WEB.0, 8, 0, 7, b"x"), "spoof-ip"),
        ("a spoofed datagram", udp(CHECKOUT.0, GATEWAY, (53, 53), b"x"), "spoof-ip"),
        ("any protocol", packet(CHECKOUT.0, GATEWAY, 253, b"12345678"), "spoof-ip"),
        ("a first part", part(&udp(CHECKOUT.0, GATEWAY, (1, 2), &[0; 64]), 1, 0, 32), "spoof-ip"),
        ("loopback", to4("127.0.0.1"), "martian"),
        ("nothing", to4("0.0.0.0"), "martian"),
        ("a group", to4("224.0.0.5"), "martian"),
        ("everybody", to4("255.255.255.255"), "martian"),
        ("IPv6 loopback", to6("::1"), "martian"),
        ("IPv6 nothing", to6("::"), "martian"),
        ("an IPv6 group", to6("ff02::1"), "martian"),
        ("IPv4-mapped source", to6("::ffff:10.77.0.10"), "martian"),
        ("IPv4-compatible source", to6("::10.77.0.10"), "martian"),
        ("IPv4-mapped destination", tcp(WEB.1, "::ffff:10.77.0.20", (40_000, 443), SYN), "martian"),
        ("loopback destination", tcp(WEB.0, "127.0.0.1", (40_000, 443), SYN), "martian"),
        ("IPv6 loopback destination", tcp(WEB.1, "::1", (40_000, 443), SYN), "martian"),
    ];
    denied(&mut world, &mut cable, &mut trial, cases);
    cable.send(to4(WEB.0));
    trial.expect(world.daemon(), "its own IPv4 address", &[("open#0", 2)]);
    cable.send(to6(WEB.1));
    trial.expect(world.daemon(), "its own IPv6 address", &[("open#0", 2)]);
    // The record of a live flow is no way around: other addresses are other flows.
    cable.send(tcp(CHECKOUT.0, WEB.0, (443, 40_000), 0x12));
    trial.expect(world.daemon(), "an answer by the peer's name", &[("state", 1)]);
}

#[test]
fn e31_e33_e36_neighbours_and_routers_are_not_impersonated() {
    let mut world = world!();
    let (_web, mut cable, mut trial) = open_to_web(&mut world);
    let mac = cable.mac();
    let own = link_local(mac);
    let all = "ff02::1";
    let advertisement = || neighbour(134, &own, all, "::");
    let hop: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
    let options: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    let cases = vec![
        ("an answer for a peer", arp(2, mac, CHECKOUT.0, GATEWAY), "arp-spoof"),
        ("a question in a peer's name", arp(1, mac, CHECKOUT.0, GATEWAY), "arp-spoof"),
        ("an announcement for a peer", arp(2, mac, CHECKOUT.0, CHECKOUT.0), "arp-spoof"),
        ("an announcement as a question", arp(1, mac, CHECKOUT.0, CHECKOUT.0), "arp-spoof"),
        ("an answer for the gateway", arp(2, mac, GATEWAY, GATEWAY), "arp-spoof"),
        ("own address, foreign hardware", arp(2, [2, 9, 9, 9, 9, 9], WEB.0, GATEWAY), "arp-spoof"),
        ("a probe for a peer's address", arp(1, mac, "0.0.0.0", CHECKOUT.0), "arp-spoof"),
        ("an answer from nobody", arp(2, mac, "0.0.0.0", WEB.0), "arp-spoof"),
        ("an advertisement for a peer", neighbour(136, WEB.1, all, CHECKOUT.1), "nd-spoof"),
        ("one from the link-local address", neighbour(136, &own, all, CHECKOUT.1), "nd-spoof"),
        ("one in a peer's name", neighbour(136, CHECKOUT.1, all, CHECKOUT.1), "nd-spoof"),
        ("one for the gateway", neighbour(136, WEB.1, all, "fd77::1"), "nd-spoof"),
        ("a solicitation in a peer's name", neighbour(135, CHECKOUT.1, all, "fd77::1"), "nd-spoof"),
        ("detection of a peer's address", neighbour(135, "::", all, CHECKOUT.1), "nd-spoof"),
        ("a foreign router solicitation", neighbour(133, CHECKOUT.1, "ff02::2", "::"), "nd-spoof"),
        ("a router advertisement", advertisement(), "ra-guard"),
        ("one from a global address", neighbour(134, WEB.1, all, "::"), "ra-guard"),
        ("one behind extension headers", extended(advertisement(), &[hop, options]), "ra-guard"),
        ("one as an atomic fragment", extended(advertisement(), &[(44, &[0, 0, 0, 0, 0, 0, 9])]), "ra-guard"),
    ];
    denied(&mut world, &mut cable, &mut trial, cases);
    let honest = [
        ("a question", arp(1, mac, WEB.0, GATEWAY)),
        ("an announcement", arp(1, mac, WEB.0, WEB.0)),
        ("a probe", arp(1, mac, "0.0.0.0", WEB.0)),
        ("a solicitation", neighbour(135, WEB.1, all, "fd77::1")),
        ("an advertisement", neighbour(136, WEB.1, all, WEB.1)),
        ("one from the link-local address", neighbour(136, &own, all, WEB.1)),
        ("one of the link-local address", neighbour(136, &own, all, &own)),
        ("duplicate address detection", neighbour(135, "::", "ff02::1:ff00:10", WEB.1)),
        ("a router solicitation", neighbour(133, &own, "ff02::2", "::")),
    ];
    for (note, frame) in honest {
        let before = world.daemon().counts().unwrap();
        cable.send(frame);
        trial.expect(world.daemon(), note, &[]);
        let after = world.daemon().counts().unwrap();
        assert!(after.get("neighbour") > before.get("neighbour"), "{note}: {after:?}");
    }
}

#[test]
fn e34_e35_redirects_and_rogue_servers_are_denied() {
    let mut world = world!();
    let (_web, mut cable, mut trial) = open_to_web(&mut world);
    let flow = tcp(CHECKOUT.0, WEB.0, (443, 40_000), 0x10);
    let cases = vec![
        ("an ICMP redirect", error(WEB.0, CHECKOUT.0, (5, 1), &flow), "redirect"),
        ("an ICMPv6 redirect", neighbour(137, WEB.1, CHECKOUT.1, "fd77::1"), "redirect"),
        ("ICMP router advertisement", message(WEB.0, CHECKOUT.0, 9, 0, 0, &[0; 8]), "rogue-server"),
        ("ICMP router solicitation", message(WEB.0, "224.0.0.2", 10, 0, 0, &[]), "rogue-server"),
        ("a DHCP offer", udp(WEB.0, CHECKOUT.0, (67, 68), &[2; 240]), "rogue-server"),
        ("a DHCP offer to everybody", udp(WEB.0, "255.255.255.255", (67, 68), &[2; 240]), "rogue-server"),
        ("a DHCPv6 advertisement", udp(WEB.1, CHECKOUT.1, (547, 546), &[2; 64]), "rogue-server"),
    ];
    denied(&mut world, &mut cable, &mut trial, cases);
}
