//! E31 to E36: who is where on the link, and who routes.

use super::Verdict::{Allowed, Denied, Passes};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, HOST, Scene, WEB};
use crate::forge::{arp, error, extended, link_local, message, neighbour, tcp, udp};

/// The hardware address that frames come from here.
pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ALL: &str = "ff02::1";

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E31", "A router advertisement from a workload", "`ra-guard`")
            .cases(cases![e31_workloads_are_no_routers]),
        Attack::new("E33", "A neighbour advertisement or solicitation for another's address", "`nd-spoof`")
            .cases(cases![
                e33_neighbour_discovery_for_another_is_denied,
                e33_honest_neighbour_discovery_passes
            ]),
        Attack::new("E34", "ICMPv4 and ICMPv6 redirects", "`redirect`")
            .cases(cases![e34_redirects_are_denied]),
        Attack::new(
            "E35",
            "A workload that answers as a DHCP or DHCPv6 server, or as a router by ICMP 9 and 10",
            "`rogue-server`",
        )
        .cases(cases![e35_workloads_are_no_servers_of_the_network]),
        Attack::new("E36", "ARP answers and announcements for the gateway or a peer", "`arp-spoof`")
            .cases(cases![e36_arp_for_another_is_denied]),
    ]
}

fn e31_workloads_are_no_routers(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let own = link_local(MAC);
    let advertisement = || neighbour(134, &own, ALL, "::");
    let hop: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
    let options: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    scene.denied(
        "ra-guard",
        &[
            ("a router advertisement", advertisement()),
            ("from a global address", neighbour(134, WEB[1], ALL, "::")),
            ("in the gateway's name", neighbour(134, "fe80::1", ALL, "::")),
            ("to one neighbour", neighbour(134, &own, CHECKOUT[1], "::")),
            ("behind extension headers", extended(advertisement(), &[hop, options])),
            ("as an atomic fragment", extended(advertisement(), &[(44, &[0, 0, 0, 0, 0, 0, 9])])),
        ],
    );
    let part = extended(advertisement(), &[(44, &[0, 0, 1, 0, 0, 0, 9])]);
    scene.sends("in parts", &part, Denied("malformed"));
    scene.gets("one from a router", &neighbour(134, "fe80::1", ALL, "::"), Passes("neighbour"));
    scene.gets("one from a global address", &neighbour(134, HOST[1], ALL, "::"), Denied("nd-spoof"));
}

fn e33_neighbour_discovery_for_another_is_denied(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let own = link_local(MAC);
    scene.denied(
        "nd-spoof",
        &[
            ("an advertisement for a peer", neighbour(136, WEB[1], ALL, CHECKOUT[1])),
            ("from the link-local address", neighbour(136, &own, ALL, CHECKOUT[1])),
            ("in a peer's name", neighbour(136, CHECKOUT[1], ALL, CHECKOUT[1])),
            ("for the gateway", neighbour(136, WEB[1], ALL, HOST[1])),
            ("for a link-local address", neighbour(136, WEB[1], ALL, "fe80::1")),
            ("a solicitation in a peer's name", neighbour(135, CHECKOUT[1], ALL, HOST[1])),
            ("from a link-local address", neighbour(135, "fe80::1", ALL, HOST[1])),
            ("detection of a peer's address", neighbour(135, "::", ALL, CHECKOUT[1])),
            ("an advertisement from nobody", neighbour(136, "::", ALL, WEB[1])),
            ("a foreign router solicitation", neighbour(133, CHECKOUT[1], "ff02::2", "::")),
        ],
    );
    let mut far = neighbour(136, WEB[1], ALL, WEB[1]);
    far[21] = 254;
    scene.sends("from beyond the link", &far, Denied("malformed"));
    let mut coded = neighbour(136, WEB[1], ALL, WEB[1]);
    coded[55] = 1;
    scene.sends("with a code", &coded, Denied("malformed"));
    let whole = neighbour(136, WEB[1], ALL, WEB[1]);
    let mut cut = whole[..54 + 16].to_vec();
    cut[18..20].copy_from_slice(&16_u16.to_be_bytes());
    scene.sends("without the whole target", &cut, Denied("malformed"));
}

fn e33_honest_neighbour_discovery_passes(scene: &mut Scene<'_>) {
    scene.rules(&[]);
    let own = link_local(MAC);
    for (note, frame) in [
        ("a solicitation", neighbour(135, WEB[1], ALL, HOST[1])),
        ("one from the link-local address", neighbour(135, &own, ALL, HOST[1])),
        ("an advertisement", neighbour(136, WEB[1], ALL, WEB[1])),
        ("one from the link-local address", neighbour(136, &own, ALL, WEB[1])),
        ("one of the link-local address", neighbour(136, &own, ALL, &own)),
        ("a router solicitation", neighbour(133, &own, "ff02::2", "::")),
    ] {
        scene.sends(note, &frame, Passes("neighbour"));
    }
    scene.gets("a solicitation for it", &neighbour(135, HOST[1], ALL, WEB[1]), Passes("neighbour"));
}

fn e34_redirects_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let flow = tcp(CHECKOUT[0], WEB[0], (443, 40_000), 0x10);
    for code in 0..4 {
        scene.sends("an ICMP redirect", &error(WEB[0], CHECKOUT[0], (5, code), &flow), Denied("redirect"));
        scene.gets("received", &error(HOST[0], WEB[0], (5, code), &flow), Denied("redirect"));
    }
    scene.sends("an ICMPv6 redirect", &neighbour(137, WEB[1], CHECKOUT[1], HOST[1]), Denied("redirect"));
    scene.sends("from the gateway", &neighbour(137, "fe80::1", CHECKOUT[1], HOST[1]), Denied("redirect"));
    scene.gets("received", &neighbour(137, "fe80::1", WEB[1], HOST[1]), Denied("redirect"));
}

fn e35_workloads_are_no_servers_of_the_network(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    scene.denied(
        "rogue-server",
        &[
            ("ICMP router advertisement", message(WEB[0], CHECKOUT[0], 9, 0, 0, &[0; 8])),
            ("ICMP router solicitation", message(WEB[0], "224.0.0.2", 10, 0, 0, &[])),
            ("a DHCP offer", udp(WEB[0], CHECKOUT[0], (67, 68), &[2; 240])),
            ("a DHCP offer to everybody", udp(WEB[0], "255.255.255.255", (67, 68), &[2; 240])),
            ("a DHCPv6 advertisement", udp(WEB[1], CHECKOUT[1], (547, 546), &[2; 64])),
        ],
    );
    scene.gets("an offer to it", &udp(HOST[0], WEB[0], (67, 68), &[2; 240]), Allowed);
    scene.sends("its own request", &udp(WEB[0], HOST[0], (68, 67), &[1; 240]), Allowed);
}

fn e36_arp_for_another_is_denied(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    scene.denied(
        "arp-spoof",
        &[
            ("an answer for a peer", arp(2, MAC, CHECKOUT[0], HOST[0])),
            ("a question in a peer's name", arp(1, MAC, CHECKOUT[0], HOST[0])),
            ("an announcement for a peer", arp(2, MAC, CHECKOUT[0], CHECKOUT[0])),
            ("an announcement as a question", arp(1, MAC, CHECKOUT[0], CHECKOUT[0])),
            ("an answer for the gateway", arp(2, MAC, HOST[0], HOST[0])),
            ("an announcement for the gateway", arp(1, MAC, HOST[0], HOST[0])),
            ("a probe for a peer's address", arp(1, MAC, "0.0.0.0", CHECKOUT[0])),
            ("an answer from nobody", arp(2, MAC, "0.0.0.0", WEB[0])),
            ("an answer from everybody", arp(2, MAC, "255.255.255.255", WEB[0])),
        ],
    );
    let mut foreign = arp(2, [2, 9, 9, 9, 9, 9], WEB[0], HOST[0]);
    foreign[6..12].copy_from_slice(&MAC);
    scene.sends("own address, foreign hardware", &foreign, Denied("arp-spoof"));
    for (note, frame) in [
        ("a question", arp(1, MAC, WEB[0], HOST[0])),
        ("an answer", arp(2, MAC, WEB[0], HOST[0])),
        ("an announcement", arp(1, MAC, WEB[0], WEB[0])),
        ("a probe", arp(1, MAC, "0.0.0.0", WEB[0])),
    ] {
        scene.sends(note, &frame, Passes("neighbour"));
    }
    scene.gets("an answer to it", &arp(2, MAC, HOST[0], WEB[0]), Passes("neighbour"));
}
