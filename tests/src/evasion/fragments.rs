//! E16 to E24: datagrams in parts.

use enforcer_common::packet::flags::SYN;

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, LEDGER, Scene, WEB};
use crate::forge::{extended, packet, part, part_as, segment, tcp, udp};

const RULES: [&str; 2] = ["web -> checkout udp/8125", "web -> checkout tcp/443"];
const PARTS: [(usize, usize); 3] = [(0, 1_400), (1_400, 2_800), (2_800, 3_008)];

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "E16",
            "A later part whose payload looks like an allowed packet",
            "`frag-unknown` unless its first part was allowed",
        )
        .cases(cases![e16_a_later_part_follows_its_first_or_is_denied]),
        Attack::new(
            "E17",
            "Parts out of order, the last one first",
            "before its first part `frag-unknown`, before another `frag-order`; never misread",
        )
        .note("Nothing is held back: a sender whose parts were denied sends the datagram again.")
        .cases(cases![e17_parts_out_of_order_are_denied_and_never_misread]),
        Attack::new("E18", "A first part that is too small for the TCP flags", "`frag-tiny`")
            .note("On IPv6 this is E21's `frag-hdr`.")
            .cases(cases![e18_tiny_first_parts_are_denied]),
        Attack::new(
            "E19",
            "A part that overlaps another and rewrites its ports",
            "`frag-overlap`, and so is the rest of the datagram",
        )
        .cases(cases![e19_an_overlap_spoils_its_datagram, e19_nothing_rewrites_the_ports]),
        Attack::new("E21", "An IPv6 first part without the whole header chain", "`frag-hdr`")
            .cases(cases![e21_a_first_part_holds_its_whole_chain]),
        Attack::new("E22", "An IPv6 atomic fragment", "a whole datagram")
            .cases(cases![e22_an_atomic_fragment_is_a_whole_datagram]),
        Attack::new(
            "E23",
            "A flood of first parts, so that the memory of datagrams under way is full",
            "new fragmented datagrams of the flooder `frag-full`; everything else untouched",
        ),
        Attack::new(
            "E24",
            "First part allowed, rule revoked, the rest arrives",
            "denied, by the cause that denies the flow now",
        )
        .note("The record carries the new cause (`no-rule`) rather than a word for the change; the record of the flow says that it changed.")
        .cases(cases![e24_the_rest_is_denied_once_the_rule_is_gone]),
    ]
}

/// A datagram of three parts on an allowed port.
fn whole(family: usize) -> Vec<u8> {
    udp(WEB[family], CHECKOUT[family], (40_125, 8_125), &[0x5a; 3_000])
}

fn piece(family: usize, id: u16, n: usize) -> Vec<u8> {
    part(&whole(family), id, PARTS[n].0, PARTS[n].1)
}

fn e16_a_later_part_follows_its_first_or_is_denied(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let forged = tcp(web, checkout, (40_000, 443), SYN);
        scene.denied(
            "frag-unknown",
            &[
                ("a part without a first", piece(family, 100, 1)),
                ("the last part without a first", piece(family, 100, 2)),
                ("a part that looks like an allowed SYN", part_as(&forged, 107, 0, 16, 185, true)),
                ("a last part that looks like one", part_as(&forged, 107, 0, 20, 185, false)),
            ],
        );
        scene.allowed(&[
            ("first", piece(family, 101, 0)),
            ("second", piece(family, 101, 1)),
            ("third", piece(family, 101, 2)),
        ]);
        let denied = udp(web, checkout, (40_125, 9), &[0; 3_000]);
        scene.sends("a denied first", &part(&denied, 106, 0, 1_400), Denied("no-rule"));
        scene.sends("and its rest", &part(&denied, 106, 1_400, 2_800), Denied("frag-unknown"));
        scene.sends("first", &piece(family, 104, 0), Allowed);
        scene.sends("another datagram's part", &piece(family, 105, 1), Denied("frag-unknown"));
        let other = udp(web, LEDGER[family], (40_125, 8_125), &[0x5a; 3_000]);
        scene.sends("a part to somebody else", &part(&other, 104, 1_400, 2_800), Denied("frag-unknown"));
        scene.gets("a part the other way", &piece(family, 104, 1), Denied("frag-unknown"));
        scene.checkout_gets("at a hook that saw no first", &piece(family, 104, 1), Denied("frag-unknown"));
    }
}

fn e17_parts_out_of_order_are_denied_and_never_misread(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    for family in [0, 1] {
        scene.sends("the last part first", &piece(family, 1, 2), Denied("frag-unknown"));
        scene.sends("then the second", &piece(family, 1, 1), Denied("frag-unknown"));
        scene.sends("then the first", &piece(family, 1, 0), Allowed);
        scene.sends("third before second", &piece(family, 1, 2), Denied("frag-order"));
        scene.sends("second", &piece(family, 1, 1), Allowed);
        scene.sends("third", &piece(family, 1, 2), Allowed);
    }
}

fn e18_tiny_first_parts_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    let whole = tcp(WEB[0], CHECKOUT[0], (40_000, 443), SYN);
    let long = packet(WEB[0], CHECKOUT[0], 6, &[segment((40_000, 443), SYN, &[1; 40]), vec![0; 64]].concat());
    scene.denied(
        "frag-tiny",
        &[
            ("8 bytes of TCP", part_as(&whole, 1, 0, 8, 0, true)),
            ("16 bytes of TCP", part_as(&whole, 2, 0, 16, 0, true)),
            ("its flags in the second part", part_as(&whole, 1, 8, 20, 1, false)),
            ("a second part at byte 8, without a first", part_as(&whole, 9, 8, 16, 1, true)),
            ("24 bytes of a header of 60", part_as(&long, 3, 0, 24, 0, true)),
            ("56 bytes of a header of 60", part_as(&long, 4, 0, 56, 0, true)),
        ],
    );
    scene.sends("a whole header", &part_as(&long, 5, 0, 64, 0, true), Allowed);
}

fn e19_an_overlap_spoils_its_datagram(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    for family in [0, 1] {
        let whole = whole(family);
        scene.sends("first", &piece(family, 102, 0), Allowed);
        scene.sends("an overlap", &part(&whole, 102, 1_392, 2_800), Denied("frag-overlap"));
        scene.sends("which spoils the rest", &piece(family, 102, 1), Denied("frag-overlap"));
        scene.sends("first", &piece(family, 103, 0), Allowed);
        scene.sends("a second first", &piece(family, 103, 0), Denied("frag-overlap"));
        scene.sends("which spoils the rest", &piece(family, 103, 1), Denied("frag-overlap"));
        scene.sends("first", &piece(family, 104, 0), Allowed);
        scene.sends("second", &piece(family, 104, 1), Allowed);
        scene.sends("the second again", &piece(family, 104, 1), Denied("frag-overlap"));
        scene.sends("which spoils the rest", &piece(family, 104, 2), Denied("frag-overlap"));
    }
}

fn e19_nothing_rewrites_the_ports(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    for family in [0, 1] {
        let denied = udp(WEB[family], CHECKOUT[family], (40_125, 22), &[0x66; 3_000]);
        scene.sends("first", &piece(family, 1, 0), Allowed);
        scene.sends("a first to another port", &part(&denied, 1, 0, 1_400), Denied("no-rule"));
        scene.sends("the rest of the allowed one", &piece(family, 1, 1), Allowed);
        scene.sends("first", &piece(family, 2, 0), Allowed);
        // From the ports on, under the first part's length.
        let tail = part_as(&denied, 2, 0, 1_400, 1, true);
        let reason = if family == 0 { "frag-tiny" } else { "frag-overlap" };
        scene.sends("a part over the header's end", &tail, Denied(reason));
    }
}

fn e21_a_first_part_holds_its_whole_chain(scene: &mut Scene<'_>) {
    scene.rules(&RULES);
    let whole = tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN);
    let options = [&[2_u8][..], &[1, 20], &[0; 20]].concat();
    let chained = extended(whole.clone(), &[(60, &options)]);
    scene.denied(
        "frag-hdr",
        &[
            ("8 bytes of TCP", part_as(&whole, 1, 0, 8, 0, true)),
            ("16 bytes of TCP", part_as(&whole, 2, 0, 16, 0, true)),
            ("half of a header chain", part_as(&chained, 3, 0, 16, 0, true)),
            ("a header chain without its end", part_as(&chained, 4, 0, 24, 0, true)),
            ("a header chain with 16 bytes of TCP", part_as(&chained, 5, 0, 40, 0, true)),
        ],
    );
}

fn e22_an_atomic_fragment_is_a_whole_datagram(scene: &mut Scene<'_>) {
    let atomic = |frame: &[u8]| extended(frame.to_vec(), &[(44, &[0, 0, 0, 0, 0, 0, 1])]);
    let allowed = tcp(WEB[1], CHECKOUT[1], (40_000, 443), SYN);
    scene.sends("allowed", &atomic(&allowed), Allowed);
    scene.sends("denied", &atomic(&tcp(WEB[1], CHECKOUT[1], (40_000, 22), SYN)), Denied("no-rule"));
    // It leaves no datagram under way that a part could follow.
    scene.sends("a part of it", &part_as(&allowed, 1, 0, 20, 3, false), Denied("frag-unknown"));
    let cut = packet(WEB[1], CHECKOUT[1], 44, &[6, 0, 0, 0, 0, 0, 0, 1, 0x9c, 0x40, 1, 0xbb]);
    scene.sends("without the rest of its header", &cut, Denied("malformed"));
}

fn e24_the_rest_is_denied_once_the_rule_is_gone(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        scene.rules(&RULES);
        scene.sends("first", &piece(family, 1, 0), Allowed);
        scene.rules(&[RULES[1]]);
        scene.sends("second", &piece(family, 1, 1), Denied("no-rule"));
        scene.rules(&RULES);
        scene.sends("third, allowed again", &piece(family, 1, 2), Allowed);
    }
}
