//! E26 to E30: what stands between an IPv6 header and its transport header.

use enforcer_common::packet::flags::SYN;

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, Scene, WEB, workload};
use crate::forge::{Chain, extended, link_local, neighbour, packet, tcp, udp};
use crate::policy;

const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "E26",
            "1 to 12 hop-by-hop and destination options headers in a row",
            "judged up to 8 of them, then `exthdr-limit`",
        )
        .cases(cases![e26_chains_are_judged_up_to_a_limit]),
        Attack::new(
            "E27",
            "A mixed chain whose headers count their length in different units",
            "judged by the true transport header",
        )
        .cases(cases![e27_mixed_chains_lead_to_the_true_transport_header]),
        Attack::new("E28", "Routing header type 0, segment routing, any other", "`routing-hdr`")
            .cases(cases![e28_routing_headers_are_denied]),
        Attack::new(
            "E29",
            "ESP, no next header, mobility, HIP, shim6, 253 and 254",
            "`proto` unless a rule names the number",
        )
        .note("`any` names every number but those of tunnels (docs/POLICIES.md).")
        .cases(cases![e29_other_protocols_pass_by_number_only]),
        Attack::new(
            "E30",
            "IPv6 beside an enforcer that only minds IPv4",
            "denied: `spoof-ip` from a workload without IPv6 addresses",
        )
        .note("There is no switch that leaves IPv6 out, and so no word for it: the same program judges both families, whatever the documents say.")
        .cases(cases![e30_a_workload_without_ipv6_addresses_sends_none]),
    ]
}

fn e26_chains_are_judged_up_to_a_limit(scene: &mut Scene<'_>) {
    let allowed = || tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN);
    let denied = || tcp(WEB[1], CHECKOUT[1], (40_000, 22), SYN);
    for first in [0_u8, 60] {
        for length in 1..=12 {
            let mut chain = vec![(60_u8, PADDING); length];
            chain[0].0 = first;
            let note = format!("{length} headers, the first {first}");
            if length <= 8 {
                scene.sends(&note, &extended(allowed(), &chain), Allowed);
                scene.sends(&note, &extended(denied(), &chain), Denied("no-rule"));
            } else {
                scene.sends(&note, &extended(allowed(), &chain), Denied("exthdr-limit"));
            }
        }
    }
}

fn e27_mixed_chains_lead_to_the_true_transport_header(scene: &mut Scene<'_>) {
    let authentication = [&[4_u8][..], &[0; 22]].concat();
    let longer = [&[2_u8, 1, 20][..], &[0; 20]].concat();
    let chains: [(&str, Chain<'_>); 4] = [
        ("hop-by-hop, authentication, options", vec![(0, PADDING), (51, &authentication), (60, &longer)]),
        ("authentication alone", vec![(51, &authentication)]),
        (
            "options, an atomic fragment, options",
            vec![(60, &longer), (44, &[0, 0, 0, 0, 0, 0, 1]), (60, PADDING)],
        ),
        ("authentication twice", vec![(51, &authentication), (51, &authentication)]),
    ];
    for (note, chain) in &chains {
        scene.sends(note, &extended(tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN), chain), Allowed);
        scene.sends(note, &extended(tcp(WEB[1], CHECKOUT[1], (40_000, 22), SYN), chain), Denied("no-rule"));
    }
    // Read in units of 8 bytes, this authentication header would end behind the forged ports.
    let mut forged = vec![1_u8];
    forged.extend([0; 10]);
    let hidden = [
        &tcp(WEB[1], CHECKOUT[1], (40_000, 22), SYN)[54..],
        &tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN)[54..],
    ]
    .concat();
    let frame = extended(packet(WEB[1], CHECKOUT[1], 6, &hidden), &[(51, &forged)]);
    scene.sends("ports where another unit would look", &frame, Denied("no-rule"));
    let cases = [
        (
            "hop-by-hop in second place",
            extended(tcp(WEB[1], CHECKOUT[1], (1, 443), SYN), &[(60, PADDING), (0, PADDING)]),
        ),
        (
            "a header longer than the packet",
            extended(tcp(WEB[1], CHECKOUT[1], (1, 443), SYN), &[(60, &[200, 1, 4, 0, 0, 0, 0])]),
        ),
        ("nothing behind the header", packet(WEB[1], CHECKOUT[1], 60, &[6, 0, 1, 4, 0, 0, 0, 0])),
        ("half a header", packet(WEB[1], CHECKOUT[1], 60, &[6, 0, 1, 4])),
    ];
    scene.denied("malformed", &cases);
}

fn e28_routing_headers_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&[super::scene::EVERYTHING]);
    let with = |kind: u8, left: u8| {
        extended(tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN), &[(43, &[0, kind, left, 0, 0, 0, 0])])
    };
    for kind in [0, 1, 2, 3, 4, 253] {
        for left in [0, 1] {
            scene.sends(
                &format!("type {kind}, {left} segments left"),
                &with(kind, left),
                Denied("routing-hdr"),
            );
            scene.gets(&format!("type {kind}, received"), &with(kind, left), Denied("routing-hdr"));
        }
    }
    let behind =
        extended(tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN), &[(0, PADDING), (60, PADDING), (43, &[0; 7])]);
    scene.sends("behind options", &behind, Denied("routing-hdr"));
    let first =
        extended(udp(WEB[1], CHECKOUT[1], (1, 2), &[0; 64]), &[(44, &[0, 0, 1, 0, 0, 0, 1]), (43, &[0; 7])]);
    scene.sends("in a first part", &first, Denied("routing-hdr"));
}

fn e29_other_protocols_pass_by_number_only(scene: &mut Scene<'_>) {
    for number in [50_u8, 59, 135, 139, 140, 253, 254, 0x7f] {
        for (web, checkout) in WEB.iter().zip(CHECKOUT) {
            scene.rules(&["web -> checkout tcp/443"]);
            let frame = packet(web, checkout, number, &[0; 32]);
            scene.sends(&format!("protocol {number}"), &frame, Denied("proto"));
            scene.rules(&[&format!("web -> checkout proto/{number}")]);
            scene.sends(&format!("protocol {number}, named"), &frame, Allowed);
        }
    }
    scene.rules(&["web -> checkout proto/59"]);
    scene.sends("nothing at all, named", &packet(WEB[1], CHECKOUT[1], 59, &[]), Allowed);
    scene.sends("its neighbour", &packet(WEB[1], CHECKOUT[1], 58 + 2, PADDING), Denied("malformed"));
}

fn e30_a_workload_without_ipv6_addresses_sends_none(scene: &mut Scene<'_>) {
    let only_four = workload("web", "web", &WEB[..1]) + &workload("checkout", "checkout", &CHECKOUT);
    scene.documents(&only_four, &policy("open", "", &[super::scene::EVERYTHING]));
    scene.sends("IPv4", &tcp(WEB[0], CHECKOUT[0], (40_000, 443), SYN), Allowed);
    scene.denied(
        "spoof-ip",
        &[
            ("IPv6", tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN)),
            ("from a link-local address", udp(&link_local([2, 0, 0, 0, 0, 1]), CHECKOUT[1], (1, 2), b"x")),
        ],
    );
    scene.gets("to it", &tcp(CHECKOUT[1], WEB[1], (40_000, 443), SYN), Denied("foreign-destination"));
    scene.sends(
        "a neighbour's address claimed",
        &neighbour(136, WEB[1], "ff02::1", WEB[1]),
        Denied("nd-spoof"),
    );
}
