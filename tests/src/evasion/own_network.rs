//! X10 and on: IPv4 and IPv6 headers, options, chains and parts.

use enforcer_common::packet::flags::SYN;

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, Scene, WEB};
use crate::forge::{LINK, extended, packet, part, part_as, patched, tcp, udp, with_options};

const FLOW: (u16, u16) = (40_000, 443);
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("X10", "Options and parts at once", "each part is judged by its own header's length; a source route in a later part is `ip-option`")
            .cases(cases![x10_options_in_parts]),
        Attack::new("X11", "A source route behind the option that ends the list, or as the data of another", "not an option: neither steers the packet")
            .cases(cases![x11_option_bytes_that_are_no_options]),
        Attack::new("X12", "Parts with impossible flags, lengths and places", "`malformed`")
            .cases(cases![x12_impossible_parts]),
        Attack::new("X13", "One identification for two protocols, or for two next headers on IPv6", "each is a datagram of its own; neither lends the other its ports")
            .cases(cases![x13_parts_of_one_protocol_follow_no_other]),
        Attack::new("X14", "A second fragment header inside a part; an atomic one before a real one; reserved bits set", "`malformed` inside a part; else read as one")
            .cases(cases![x14_fragment_headers_in_a_row]),
        Attack::new("X15", "A part after the last part", "`frag-unknown`: the datagram is over, and its identification may begin another")
            .cases(cases![x15_nothing_follows_the_end]),
        Attack::new("X16", "Hop-by-hop options not in first place, twice, or in a later header of a first part", "`malformed`")
            .cases(cases![x16_hop_by_hop_stands_first_or_nowhere]),
        Attack::new("X17", "A jumbo payload option on a packet that has a length; a payload length of nothing", "judged by the length in the header; without one `malformed`")
            .cases(cases![x17_small_jumbograms]),
        Attack::new("X18", "Authentication headers of 8, 12 and up to 1,028 bytes; on IPv4", "the true transport header; below the 12 bytes of RFC 4302 `malformed`; on IPv4 `proto`")
            .cases(cases![x18_authentication_headers_of_any_length]),
        Attack::new("X19", "ICMP on IPv6, ICMPv6 on IPv4", "`malformed`, whatever the rules name")
            .note("No host takes it, and a type that is read by the other family's numbers would be a guess.")
            .cases(cases![x19_the_other_familys_icmp]),
        Attack::new("X20", "Source address is the destination's (land); class E; the addresses 0.0.0.1 and 127/8 on the other side", "by the rules where an address is possible, else `martian`")
            .cases(cases![x20_strange_addresses]),
        Attack::new("X21", "ECN, DSCP, flow labels, a time to live of 0", "the verdict is the same")
            .cases(cases![x21_fields_that_decide_nothing]),
    ]
}

fn x10_options_in_parts(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    let whole = with_options(udp(WEB[0], CHECKOUT[0], (40_125, 8_125), &[0x5a; 1_000]), &[148, 4, 0, 0]);
    scene.sends("first, with options", &part(&whole, 1, 0, 504), Allowed);
    scene.sends("rest, with options", &part(&whole, 1, 504, 1_008), Allowed);
    let bare = udp(WEB[0], CHECKOUT[0], (40_125, 8_125), &[0x5a; 1_000]);
    scene.sends("first, with options", &part(&whole, 2, 0, 504), Allowed);
    scene.sends("rest, without", &part(&bare, 2, 504, 1_008), Allowed);
    scene.sends("first", &part(&bare, 3, 0, 504), Allowed);
    let routed = with_options(bare.clone(), &[131, 7, 4, 10, 77, 0, 1]);
    scene.sends("rest, with a source route", &part(&routed, 3, 504, 1_008), Denied("ip-option"));
    scene.sends("first, with a source route", &part(&routed, 4, 0, 504), Denied("ip-option"));
    let denied = with_options(
        udp(WEB[0], CHECKOUT[0], (40_125, 22), &[0x5a; 1_000]),
        &[0x9c, 8, 0x9c, 0xbd, 0x1f, 0xbd, 0, 0],
    );
    scene.sends("an allowed port in a first part's options", &part(&denied, 5, 0, 504), Denied("no-rule"));
    scene.sends(
        "8 bytes behind 40 of options",
        &part_as(
            &with_options(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), &[&[68, 40, 5, 0][..], &[0; 36]].concat()),
            6,
            0,
            8,
            0,
            true,
        ),
        Denied("frag-tiny"),
    );
}

fn x11_option_bytes_that_are_no_options(scene: &mut Scene<'_>) {
    let with = |options: &[u8]| with_options(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), options);
    scene.sends("behind the end", &with(&[0, 131, 3, 4]), Allowed);
    scene.sends("inside another", &with(&[148, 8, 131, 7, 4, 10, 77, 0]), Allowed);
    scene.sends("behind padding", &with(&[1, 1, 1, 131, 3, 4, 0, 0]), Denied("ip-option"));
    scene.sends("its number with the copy bit off", &with(&[3, 7, 4, 10, 77, 0, 1, 0]), Allowed);
}

fn x12_impossible_parts(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    for family in [0, 1] {
        let whole = udp(WEB[family], CHECKOUT[family], (40_125, 8_125), &[0x5a; 3_000]);
        let mut cases = vec![
            ("past the largest datagram", part_as(&whole, 1, 0, 1_400, 0x1fff, false)),
            ("one byte past it", part_as(&whole, 1, 0, 8, 0x1fff, false)),
            ("of odd length, with more to come", part_as(&whole, 2, 0, 1_001, 0, true)),
            ("without anything, with more to come", part_as(&whole, 3, 0, 0, 0, true)),
            ("without anything, at the end", part_as(&whole, 4, 0, 0, 185, false)),
        ];
        if family == 0 {
            cases.push((
                "with the reserved flag",
                patched(part_as(&whole, 5, 0, 1_400, 0, true), LINK + 6, &[0xa0]),
            ));
        }
        scene.denied("malformed", &cases);
    }
    // More to come and not to be taken apart: kernels send neither, and reassemble both.
    let whole = udp(WEB[0], CHECKOUT[0], (40_125, 8_125), &[0x5a; 3_000]);
    scene.sends(
        "not to be taken apart",
        &patched(part_as(&whole, 6, 0, 1_400, 0, true), LINK + 6, &[0x60]),
        Allowed,
    );
}

fn x13_parts_of_one_protocol_follow_no_other(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125", "web -> checkout tcp/443"]);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let datagram = udp(web, checkout, (40_125, 8_125), &[0x5a; 3_000]);
        let segment = packet(
            web,
            checkout,
            6,
            &[tcp(web, checkout, FLOW, SYN).split_off(if family == 0 { 34 } else { 54 }), vec![0; 3_000]]
                .concat(),
        );
        scene.sends("a datagram's first part", &part(&datagram, 9, 0, 1_400), Allowed);
        scene.sends("a segment's rest", &part(&segment, 9, 1_400, 2_800), Denied("frag-unknown"));
        scene.sends("a segment's first part", &part(&segment, 9, 0, 1_000), Allowed);
        scene.sends(
            "its rest, where the datagram ended",
            &part(&segment, 9, 1_400, 2_800),
            Denied("frag-order"),
        );
        scene.sends("the datagram's rest", &part(&datagram, 9, 1_400, 2_800), Allowed);
    }
}

fn x14_fragment_headers_in_a_row(scene: &mut Scene<'_>) {
    let whole = || tcp(WEB[1], CHECKOUT[1], FLOW, SYN);
    const ATOMIC: (u8, &[u8]) = (44, &[0, 0, 0, 0, 0, 0, 1]);
    const PART: (u8, &[u8]) = (44, &[0, 0, 1, 0, 0, 0, 2]);
    let large = || packet(WEB[1], CHECKOUT[1], 6, &[whole().split_off(54), vec![0; 28]].concat());
    scene.sends("two atomic ones", &extended(whole(), &[ATOMIC, ATOMIC]), Allowed);
    scene.sends(
        "two atomic ones before a denied port",
        &extended(tcp(WEB[1], CHECKOUT[1], (1, 22), SYN), &[ATOMIC, ATOMIC]),
        Denied("no-rule"),
    );
    scene.sends("an atomic one before a part", &extended(large(), &[ATOMIC, PART]), Allowed);
    scene.sends("a part before an atomic one", &extended(large(), &[PART, ATOMIC]), Denied("malformed"));
    scene.sends("a part in a part", &extended(large(), &[PART, PART]), Denied("malformed"));
    let reserved: (u8, &[u8]) = (44, &[0xff, 0, 6, 0, 0, 0, 3]);
    scene.sends("reserved bits in an atomic one", &extended(whole(), &[reserved]), Allowed);
    let reserved_part: (u8, &[u8]) = (44, &[0xff, 0, 7, 0, 0, 0, 4]);
    scene.sends(
        "reserved bits in a part",
        &extended(
            packet(WEB[1], CHECKOUT[1], 6, &[whole().split_off(54), vec![0; 4]].concat()),
            &[reserved_part],
        ),
        Allowed,
    );
    let late: (u8, &[u8]) = (44, &[0, 5, 0xc8, 0, 0, 0, 2]);
    scene.sends(
        "an atomic one before a later part",
        &extended(large(), &[ATOMIC, late]),
        Denied("frag-order"),
    );
}

fn x15_nothing_follows_the_end(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    for family in [0, 1] {
        let whole = udp(WEB[family], CHECKOUT[family], (40_125, 8_125), &[0x5a; 1_000]);
        scene.sends("first", &part(&whole, 1, 0, 504), Allowed);
        scene.sends("last", &part(&whole, 1, 504, 1_008), Allowed);
        scene.denied(
            "frag-unknown",
            &[
                ("behind the end", part_as(&whole, 1, 504, 1_008, 126, false)),
                ("behind a gap", part_as(&whole, 1, 504, 1_008, 127, false)),
                ("the last part again", part(&whole, 1, 504, 1_008)),
            ],
        );
        scene.sends("the next of its name", &part(&whole, 1, 0, 504), Allowed);
        scene.sends("behind a gap", &part_as(&whole, 1, 504, 1_008, 126, false), Denied("frag-order"));
        scene.sends("its own last part", &part(&whole, 1, 504, 1_008), Allowed);
    }
}

fn x16_hop_by_hop_stands_first_or_nowhere(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let whole = || tcp(WEB[1], CHECKOUT[1], FLOW, SYN);
    let hop: (u8, &[u8]) = (0, PADDING);
    let options: (u8, &[u8]) = (60, PADDING);
    scene.denied(
        "malformed",
        &[
            ("behind options", extended(whole(), &[options, hop])),
            ("twice", extended(whole(), &[hop, hop])),
            ("behind an atomic fragment", extended(whole(), &[(44, &[0, 0, 0, 0, 0, 0, 1]), hop])),
            ("behind an authentication header", extended(whole(), &[(51, &[0; 7]), hop])),
        ],
    );
    scene.sends("first", &extended(whole(), &[hop, options]), Allowed);
    let alert: (u8, &[u8]) = (0, &[0, 5, 2, 0, 0, 1, 0]);
    scene.sends("a router alert", &extended(whole(), &[alert]), Allowed);
}

fn x17_small_jumbograms(scene: &mut Scene<'_>) {
    let jumbo: (u8, &[u8]) = (0, &[0, 0xc2, 4, 0, 1, 0, 0]);
    let frame = || extended(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), &[jumbo]);
    scene.sends("with both lengths", &frame(), Allowed);
    scene.sends(
        "to a denied port",
        &extended(tcp(WEB[1], CHECKOUT[1], (1, 22), SYN), &[jumbo]),
        Denied("no-rule"),
    );
    scene.sends("with the jumbo length alone", &patched(frame(), LINK + 4, &[0, 0]), Denied("malformed"));
    scene.sends("no next header, no payload", &packet(WEB[1], CHECKOUT[1], 59, &[]), Denied("proto"));
    let claimed = patched(packet(WEB[1], CHECKOUT[1], 59, &[]), LINK + 6, &[6]);
    scene.sends("TCP without a payload", &claimed, Denied("malformed"));
}

fn x18_authentication_headers_of_any_length(scene: &mut Scene<'_>) {
    for words in [0_usize, 1, 2, 5, 100, 254, 255] {
        // The field counts words of four bytes, less two. The fixed part alone has three words.
        let rest = [&[words as u8][..], &vec![0; (words + 2) * 4 - 2]].concat();
        let note = format!("{} bytes", (words + 2) * 4);
        let (named, other) = if words == 0 {
            (Denied("malformed"), Denied("malformed"))
        } else {
            (Allowed, Denied("no-rule"))
        };
        scene.sends(&note, &extended(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), &[(51, &rest)]), named);
        scene.sends(&note, &extended(tcp(WEB[1], CHECKOUT[1], (1, 22), SYN), &[(51, &rest)]), other);
    }
    let long = extended(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), &[(51, &[255, 0, 0, 0, 0, 0, 0])]);
    scene.sends("longer than the packet", &long, Denied("malformed"));
    scene.sends("on IPv4", &packet(WEB[0], CHECKOUT[0], 51, &[6, 4, 0, 0, 0, 0, 0, 0]), Denied("proto"));
}

fn x19_the_other_familys_icmp(scene: &mut Scene<'_>) {
    for rules in
        [&[EVERYTHING][..], &["web -> checkout icmp", "web -> checkout icmpv6"], &["web -> checkout tcp/443"]]
    {
        scene.rules(rules);
        for kind in [8, 0, 128, 3, 134, 136, 5, 137] {
            let body = [kind, 0, 0, 0, 0, 7, 0, 1];
            let note = format!("type {kind}");
            scene.sends(&note, &packet(WEB[1], CHECKOUT[1], 1, &body), Denied("malformed"));
            scene.sends(&note, &packet(WEB[0], CHECKOUT[0], 58, &body), Denied("malformed"));
            scene.gets(&note, &packet(CHECKOUT[1], WEB[1], 1, &body), Denied("malformed"));
        }
    }
}

fn x20_strange_addresses(scene: &mut Scene<'_>) {
    let own = |family: usize| tcp(WEB[family], WEB[family], (443, 443), SYN);
    for family in [0, 1] {
        scene.sends("land, from web", &own(family), Denied("no-rule"));
        scene.gets("land, to web", &own(family), Denied("no-rule"));
    }
    scene.rules(&["web -> checkout tcp/443", "{entity: world} -> web tcp/443"]);
    scene.gets("land is not the world", &own(0), Denied("no-rule"));
    scene.sends("class E", &tcp(WEB[0], "240.0.0.1", FLOW, SYN), Denied("no-rule"));
    scene.sends("from class E", &tcp("240.0.0.1", CHECKOUT[0], FLOW, SYN), Denied("spoof-ip"));
    scene.rules(&[EVERYTHING]);
    for (note, from) in [
        ("this network", "0.0.0.1"),
        ("loopback's net", "127.1.2.3"),
        ("everybody", "255.255.255.255"),
        ("a group", "239.1.2.3"),
    ] {
        scene.gets(note, &tcp(from, WEB[0], FLOW, SYN), Denied("martian"));
    }
    for (note, from) in [
        ("IPv4-compatible", "::192.0.2.1"),
        ("mapped", "::ffff:192.0.2.1"),
        ("a group of the node", "ff01::1"),
    ] {
        scene.gets(note, &tcp(from, WEB[1], FLOW, SYN), Denied("martian"));
    }
    scene.gets("to nobody here", &tcp(CHECKOUT[0], "10.77.0.11", FLOW, SYN), Denied("foreign-destination"));
}

fn x21_fields_that_decide_nothing(scene: &mut Scene<'_>) {
    let [four, six] = [0, 1].map(|family| tcp(WEB[family], CHECKOUT[family], FLOW, SYN));
    let [far, far6] = [0, 1].map(|family| tcp(WEB[family], CHECKOUT[family], (1, 22), SYN));
    for (note, byte) in [("ECN", 3_u8), ("DSCP", 0xb8), ("everything", 0xff)] {
        scene.sends(note, &patched(four.clone(), LINK + 1, &[byte]), Allowed);
        scene.sends(note, &patched(far.clone(), LINK + 1, &[byte]), Denied("no-rule"));
        scene.sends(
            note,
            &patched(six.clone(), LINK, &[0x60 | byte >> 4, byte << 4 | 5, byte, byte]),
            Allowed,
        );
        scene.sends(
            note,
            &patched(far6.clone(), LINK, &[0x60 | byte >> 4, byte << 4 | 5, byte, byte]),
            Denied("no-rule"),
        );
    }
    scene.sends("a time to live of 0", &patched(four, LINK + 8, &[0]), Allowed);
    scene.sends("a hop limit of 0", &patched(six, LINK + 7, &[0]), Allowed);
}
