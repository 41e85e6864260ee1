//! X50 and on: neighbour discovery from the inside, and who listens to which group.

use super::Verdict::{Denied, Passes};
use super::attack::{Attack, cases};
use super::neighbours::MAC;
use super::scene::{CHECKOUT, EVERYTHING, HOST, Scene, WEB};
use crate::forge::{Chain, extended, link_local, message, neighbour, neighbour_with};

const ALL: &str = "ff02::1";
/// Somebody else's hardware address.
const FOREIGN: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "X50",
            "An honest claim of an own address with somebody else's hardware address in its option; the gateway's link-local address, \
             claimed from the gateway's hardware address, with the workload's own in the option",
            "`nd-spoof`: every hardware address in it is the frame's, as in ARP",
        )
        .cases(cases![x50_a_claim_names_its_own_hardware]),
        Attack::new("X51", "Options of length 0, past the end, or without end", "`malformed`")
            .note("Up to four options are looked through; a kernel sends two at most.")
            .cases(cases![x51_options_that_do_not_add_up]),
        Attack::new("X52", "Neighbour discovery in parts, behind other headers, from beyond the link", "`malformed`, or as without them")
            .cases(cases![x52_headers_before_neighbour_discovery]),
        Attack::new("X53", "MLD reports and queries, with and without router alert", "`multicast`; `spoof-ip` from an address that isn't the workload's")
            .cases(cases![x53_group_membership_needs_a_rule]),
        Attack::new("X54", "Inverse discovery, router renumbering, certification paths, node information", "by the rules, as any message")
            .cases(cases![x54_relatives_of_neighbour_discovery]),
    ]
}

fn option(kind: u8, mac: [u8; 6]) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

fn x50_a_claim_names_its_own_hardware(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let own = link_local(MAC);
    for kind in [1, 2] {
        scene.denied(
            "nd-spoof",
            &[
                ("an advertisement", neighbour_with(136, WEB[1], ALL, WEB[1], &option(kind, FOREIGN))),
                ("a solicitation", neighbour_with(135, WEB[1], ALL, HOST[1], &option(kind, FOREIGN))),
                ("of the link-local address", neighbour_with(136, &own, ALL, &own, &option(kind, FOREIGN))),
                (
                    "behind an honest one",
                    neighbour_with(
                        136,
                        WEB[1],
                        ALL,
                        WEB[1],
                        &[option(kind, MAC), option(kind, FOREIGN)].concat(),
                    ),
                ),
            ],
        );
        scene.sends(
            "its own",
            &neighbour_with(136, WEB[1], ALL, WEB[1], &option(kind, MAC)),
            Passes("neighbour"),
        );
        scene.sends(
            "asked with its own",
            &neighbour_with(135, WEB[1], ALL, HOST[1], &option(kind, MAC)),
            Passes("neighbour"),
        );
    }
    scene.sends("a router solicitation with another's", &router_solicitation(FOREIGN), Denied("nd-spoof"));
    scene.sends("with its own", &router_solicitation(MAC), Passes("neighbour"));
    // In the gateway's name down to the Ethernet header; only the option leads to the workload.
    let gateway = link_local(FOREIGN);
    let mut claim = neighbour_with(136, &gateway, ALL, &gateway, &option(2, MAC));
    claim[6..12].copy_from_slice(&FOREIGN);
    scene.sends("the gateway's, led to the workload", &claim, Denied("nd-spoof"));
    scene.gets(
        "from others, whose hooks judge them",
        &neighbour_with(136, CHECKOUT[1], ALL, CHECKOUT[1], &option(2, FOREIGN)),
        Passes("neighbour"),
    );
}

fn router_solicitation(mac: [u8; 6]) -> Vec<u8> {
    neighbour_with(133, WEB[1], "ff02::2", "::", &option(1, mac))
}

fn x51_options_that_do_not_add_up(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let with = |options: &[u8]| neighbour_with(136, WEB[1], ALL, WEB[1], options);
    scene.denied(
        "malformed",
        &[
            ("a length of 0", with(&[2, 0, 2, 0, 0, 0, 0, 1])),
            ("a length of 0 behind another", with(&[option(2, MAC), vec![14, 0, 0, 0, 0, 0, 0, 0]].concat())),
            ("past the end", with(&[2, 2, 2, 0, 0, 0, 0, 1])),
            ("half an option", with(&[2, 1, 2, 0])),
            ("five of them", with(&[14, 1, 0, 0, 0, 0, 0, 0].repeat(5))),
        ],
    );
    scene.sends(
        "a nonce",
        &with(&[option(2, MAC), vec![14, 1, 1, 2, 3, 4, 5, 6]].concat()),
        Passes("neighbour"),
    );
    scene.sends("none", &with(&[]), Passes("neighbour"));
}

fn x52_headers_before_neighbour_discovery(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let forged = || neighbour(136, WEB[1], ALL, CHECKOUT[1]);
    let chains: [(&str, Chain<'_>); 3] = [
        ("options", vec![(60, &[0, 1, 4, 0, 0, 0, 0])]),
        ("hop-by-hop", vec![(0, &[0, 5, 2, 0, 0, 1, 0])]),
        ("an atomic fragment", vec![(44, &[0, 0, 0, 0, 0, 0, 9])]),
    ];
    for (note, chain) in &chains {
        scene.sends(note, &extended(forged(), chain), Denied("nd-spoof"));
    }
    scene.sends("in parts", &extended(forged(), &[(44, &[0, 0, 1, 0, 0, 0, 9])]), Denied("malformed"));
    scene.sends("its rest", &extended(forged(), &[(44, &[0, 0, 8, 0, 0, 0, 9])]), Denied("frag-unknown"));
}

fn x53_group_membership_needs_a_rule(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout any"]);
    let alert: (u8, &[u8]) = (0, &[0, 5, 2, 0, 0, 1, 0]);
    for kind in [130, 131, 132, 143] {
        let report = |from: &str| extended(message(from, "ff02::16", kind, 0, 0, &[0; 20]), &[alert]);
        scene.sends(&format!("type {kind}"), &report(WEB[1]), Denied("multicast"));
        scene.sends("from a link-local address", &report("fe80::1"), Denied("spoof-ip"));
        scene.sends("from nowhere", &report("::"), Denied("martian"));
        scene.sends(
            "without router alert",
            &message(WEB[1], "ff02::16", kind, 0, 0, &[0; 20]),
            Denied("multicast"),
        );
    }
}

fn x54_relatives_of_neighbour_discovery(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout tcp/443"]);
    for kind in [138, 139, 140, 141, 142, 144, 145, 146, 147, 148, 149] {
        let frame = message(WEB[1], CHECKOUT[1], kind, 0, 0, &[0; 24]);
        scene.sends(&format!("type {kind}"), &frame, Denied("no-rule"));
    }
}
