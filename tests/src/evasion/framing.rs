//! E01 to E15: frames, IP headers and lengths.

use enforcer_common::packet::flags::{ACK, RST, SYN};

use super::Verdict::{Allowed, Denied, Passes};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, Scene, WEB};
use crate::forge::{
    LINK, arp, datagram, extended, message, packet, patched, rechecksum, segment, tagged, tcp, udp,
    with_options,
};

const FLOW: (u16, u16) = (40_000, 443);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "E01",
            "A frame that ends early, at each byte from 0 to its end: Ethernet, ARP, IPv4, IPv6, TCP, UDP, ICMP",
            "never passes: `short` where a header is cut, `malformed` where what it states doesn't fit",
        )
        .note("Cut behind all headers, a packet contradicts its own length: that is `malformed`.")
        .cases(cases![e01_frames_cut_anywhere_never_pass, e01_headers_cut_short_are_short]),
        Attack::new(
            "E02",
            "Headers outside the linear part of the socket buffer (AF_PACKET TX_RING leaves 14 bytes in it)",
            "the same verdict as the same bytes in one piece",
        ),
        Attack::new(
            "E03",
            "A UDP GSO fragment list, which panics kernels before 6.16 when a program pulls it in",
            "no panic, the normal verdict",
        )
        .note("The programs never pull: no `bpf_skb_pull_data` among the helpers that the object calls."),
        Attack::new(
            "E04",
            "IPv4 options, header lengths of 24 to 60 bytes, an allowed port forged inside the options",
            "judged by the real transport header; source route and record route `ip-option`",
        )
        .note("More than 16 options are `ip-option` as well: no one looks further.")
        .cases(cases![e04_options_neither_steer_nor_hide_the_ports]),
        Attack::new(
            "E05",
            "IPv4 header shorter than 20 bytes, longer than its packet; a packet longer than its frame",
            "`malformed`",
        )
        .cases(cases![e05_lengths_that_contradict_each_other]),
        Attack::new(
            "E06",
            "Bytes behind the end of the packet",
            "judged within the length the header states",
        )
        .cases(cases![e06_what_stands_behind_a_packet_is_no_part_of_it]),
        Attack::new("E07", "A version that isn't the ethertype's", "`malformed`")
            .cases(cases![e07_versions_that_contradict_their_ethertype]),
        Attack::new("E09", "An 802.1Q tag from a workload", "`vlan`")
            .cases(cases![e09_tags_are_denied]),
        Attack::new(
            "E10",
            "Stacked tags, 802.1ad, VLAN 0 under another, two VLAN 0",
            "`vlan`; a single 802.1Q VLAN 0 is read as no tag",
        )
        .cases(cases![e10_only_one_priority_tag_is_looked_through]),
        Attack::new("E12", "Unknown ethertypes: MPLS, PPPoE, EAPOL, LLDP, IPX, 802.3 lengths", "`ethertype`")
            .cases(cases![e12_unknown_ethertypes]),
        Attack::new(
            "E13",
            "A wrong IPv4 header checksum; wrong TCP, UDP or ICMP checksums",
            "an IPv4 header with a wrong checksum is `malformed`; a wrong transport checksum gains nothing: it opens only what a rule allows, \
             and what it claims is over goes on",
        )
        .note(
            "Transport checksums can't be told from the bytes: a device may leave them to be computed later (CHECKSUM_PARTIAL, the rule on \
             veth), and a program isn't told. Whoever receives the packet drops it, so all that it can do is move what is remembered of a flow \
             that a rule allows anyway.",
        )
        .cases(cases![
            e13_a_wrong_header_checksum_neither_opens_nor_moves_a_flow,
            e13_a_wrong_transport_checksum_gains_nothing
        ]),
        Attack::new(
            "E14",
            "Aggregated segments of 64 KiB and more, jumbo payload headers, MTU 9000",
            "the verdict of the segments; bytes counted right",
        )
        .cases(cases![e14_packets_without_a_length_need_to_be_that_large]),
        Attack::new(
            "E15",
            "UDP without or with too much length, TCP data offset below 5 or past the end",
            "`malformed`",
        )
        .cases(cases![e15_transport_lengths_that_contradict_the_packet]),
    ]
}

/// One frame of each kind that passes when whole.
fn whole() -> Vec<(&'static str, Vec<u8>)> {
    let mac = [2, 0, 0, 0, 0, 1];
    vec![
        ("TCP", tcp(WEB[0], CHECKOUT[0], FLOW, SYN)),
        ("TCP on IPv6", tcp(WEB[1], CHECKOUT[1], FLOW, SYN)),
        (
            "TCP with options",
            packet(WEB[0], CHECKOUT[0], 6, &segment(FLOW, SYN, &[2, 4, 5, 0xb4, 1, 3, 3, 7])),
        ),
        ("UDP", udp(WEB[0], CHECKOUT[0], (40_000, 53), b"twelve bytes")),
        ("UDP on IPv6", udp(WEB[1], CHECKOUT[1], (40_000, 53), b"twelve bytes")),
        ("ICMP", message(WEB[0], CHECKOUT[0], 8, 0, 7, b"12345678")),
        ("ICMPv6", message(WEB[1], CHECKOUT[1], 128, 0, 7, b"12345678")),
        (
            "SCTP",
            packet(WEB[0], CHECKOUT[0], 132, &[0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4]),
        ),
        ("IPv4 options", with_options(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), &[148, 4, 0, 0, 1, 1])),
        (
            "a header chain",
            extended(
                tcp(WEB[1], CHECKOUT[1], FLOW, SYN),
                &[(0, &[0, 1, 4, 0, 0, 0, 0]), (60, &[0, 1, 4, 0, 0, 0, 0])],
            ),
        ),
        ("a priority tag", tagged(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), 0x8100, 0)),
        ("ARP", arp(1, mac, WEB[0], CHECKOUT[0])),
    ]
}

fn e01_frames_cut_anywhere_never_pass(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for (kind, frame) in whole() {
        let passed = if kind == "ARP" { Passes("neighbour") } else { Allowed };
        scene.sends(&format!("{kind}, whole"), &frame, passed);
        for length in 0..frame.len() {
            scene.sends_cut(&format!("{kind}, {length} bytes"), &frame[..length]);
        }
    }
}

fn e01_headers_cut_short_are_short(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let four = tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    let six = tcp(WEB[1], CHECKOUT[1], FLOW, SYN);
    for length in (0..34).chain(34..54) {
        scene.sends(&format!("IPv4, {length} bytes"), &four[..length], Denied("short"));
    }
    for length in (0..54).chain(54..74) {
        scene.sends(&format!("IPv6, {length} bytes"), &six[..length], Denied("short"));
    }
    let arp = arp(1, [2, 0, 0, 0, 0, 1], WEB[0], CHECKOUT[0]);
    for length in 14..42 {
        scene.sends(&format!("ARP, {length} bytes"), &arp[..length], Denied("short"));
    }
}

fn e04_options_neither_steer_nor_hide_the_ports(scene: &mut Scene<'_>) {
    let allowed = || tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    for words in 1..=10 {
        let padding = [&[68, (words * 4) as u8, 5, 0][..], &vec![0; words * 4 - 4]].concat();
        let note = format!("a header of {} bytes", 20 + words * 4);
        scene.sends(&note, &with_options(allowed(), &padding), Allowed);
        let denied = with_options(tcp(WEB[0], CHECKOUT[0], (40_000, 22), SYN), &padding);
        scene.sends(&note, &denied, Denied("no-rule"));
    }
    scene.allowed(&[
        ("no operation", with_options(allowed(), &[1, 1, 1, 1])),
        ("router alert", with_options(allowed(), &[148, 4, 0, 0])),
        ("an end, and noise behind it", with_options(allowed(), &[0, 131, 7, 4, 10, 77, 0, 1])),
    ]);
    // Where a header without options would have its ports, the option says 40000 to 443.
    let forged =
        with_options(tcp(WEB[0], CHECKOUT[0], (40_000, 22), SYN), &[0x9c, 8, 1, 0xbb, 0x9c, 0x40, 1, 0xbb]);
    scene.sends("an allowed port inside the options", &forged, Denied("no-rule"));
    let with = |options: &[u8]| with_options(allowed(), options);
    scene.denied(
        "ip-option",
        &[
            ("loose source route", with(&[131, 7, 4, 10, 77, 0, 1])),
            ("strict source route", with(&[137, 7, 4, 10, 77, 0, 1])),
            ("record route", with(&[7, 7, 4, 0, 0, 0, 0])),
            ("a source route behind others", with(&[1, 1, 148, 4, 0, 0, 131, 7, 4, 10, 77, 0, 1])),
            ("forty of them", with(&[1; 40])),
        ],
    );
    scene.denied(
        "malformed",
        &[
            ("an option without length", with(&[148, 0, 0, 0])),
            ("an option of one byte", with(&[148, 1, 0, 0])),
            ("an option past its header", with(&[148, 5, 0, 0])),
            ("an option whose length is the next header's", with(&[1, 1, 1, 148])),
        ],
    );
}

fn e05_lengths_that_contradict_each_other(scene: &mut Scene<'_>) {
    let frame = || tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    let at = |place: usize, bytes: &[u8]| patched(frame(), LINK + place, bytes);
    let mut cases = vec![
        ("a total shorter than the header".to_owned(), at(2, &[0, 19])),
        ("a total of nothing".to_owned(), at(2, &[0, 0])),
        ("a total one past the frame".to_owned(), at(2, &[0, 41])),
        ("a total far past the frame".to_owned(), at(2, &[0xff, 0xff])),
        ("a header as long as the packet".to_owned(), at(0, &[0x4a])),
        ("a header longer than the packet".to_owned(), at(0, &[0x4f])),
        ("the reserved flag".to_owned(), at(6, &[0x80])),
        (
            "an IPv6 payload past the frame".to_owned(),
            patched(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), LINK + 4, &[0, 21]),
        ),
        (
            "an IPv6 payload of nothing".to_owned(),
            patched(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), LINK + 4, &[0, 0]),
        ),
    ];
    cases.extend((0..5).map(|words| (format!("a header of {words} words"), at(0, &[0x40 | words]))));
    for (note, frame) in cases {
        scene.sends(&note, &frame, Denied("malformed"));
    }
}

fn e06_what_stands_behind_a_packet_is_no_part_of_it(scene: &mut Scene<'_>) {
    for (family, checkout) in CHECKOUT.iter().enumerate() {
        let trailing = [tcp(WEB[family], checkout, FLOW, SYN), vec![0xff; 40]].concat();
        scene.sends("bytes behind the packet", &trailing, Allowed);
        let hidden =
            [tcp(WEB[family], checkout, (40_000, 22), SYN), tcp(WEB[family], checkout, FLOW, SYN)].concat();
        scene.sends("an allowed packet behind one that isn't", &hidden, Denied("no-rule"));
    }
    // What stands behind it would make the header whole.
    let shortened = patched(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), LINK + 2, &[0, 39]);
    scene.sends("a header that ends behind the packet", &shortened, Denied("malformed"));
    let shortened = patched(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), LINK + 4, &[0, 19]);
    scene.sends("the same on IPv6", &shortened, Denied("malformed"));
}

fn e07_versions_that_contradict_their_ethertype(scene: &mut Scene<'_>) {
    let [four, six] = [0, 1].map(|family| tcp(WEB[family], CHECKOUT[family], FLOW, SYN));
    let retyped = |frame: &[u8], ethertype: [u8; 2]| [&frame[..12], &ethertype, &frame[14..]].concat();
    scene.denied(
        "malformed",
        &[
            ("IPv4 that says 6", patched(four.clone(), LINK, &[0x65])),
            ("IPv4 that says 5", patched(four.clone(), LINK, &[0x55])),
            ("IPv6 that says 4", patched(six.clone(), LINK, &[0x40])),
            ("IPv6 that says 0", patched(six.clone(), LINK, &[0])),
            ("IPv6 as IPv4", retyped(&six, [8, 0])),
            // Long enough to have an IPv6 header.
            ("IPv4 as IPv6", retyped(&[four, vec![0; 40]].concat(), [0x86, 0xdd])),
        ],
    );
}

fn e09_tags_are_denied(scene: &mut Scene<'_>) {
    let plain = || tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    for id in [1, 5, 0x0fff, 0xe005, 0x1001] {
        scene.sends(&format!("tag {id:#x}"), &tagged(plain(), 0x8100, id), Denied("vlan"));
    }
    scene.sends(
        "a tag on ARP",
        &tagged(arp(1, [2, 0, 0, 0, 0, 1], WEB[0], CHECKOUT[0]), 0x8100, 5),
        Denied("vlan"),
    );
}

fn e10_only_one_priority_tag_is_looked_through(scene: &mut Scene<'_>) {
    let plain = || tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    let six = || tcp(WEB[1], CHECKOUT[1], FLOW, SYN);
    scene.allowed(&[
        ("a priority tag is none", tagged(plain(), 0x8100, 0xe000)),
        ("nor on IPv6", tagged(six(), 0x8100, 0)),
        ("nor with the drop bit", tagged(plain(), 0x8100, 0x1000)),
    ]);
    let denied = tagged(tcp(WEB[0], CHECKOUT[0], (40_000, 22), SYN), 0x8100, 0);
    scene.sends("it hides nothing", &denied, Denied("no-rule"));
    scene.denied(
        "vlan",
        &[
            ("a service tag", tagged(plain(), 0x88a8, 5)),
            ("a priority service tag", tagged(plain(), 0x88a8, 0)),
            ("an old stacking tag", tagged(plain(), 0x9100, 0)),
            ("two tags", tagged(tagged(plain(), 0x8100, 5), 0x88a8, 7)),
            ("two equal tags", tagged(tagged(plain(), 0x8100, 5), 0x8100, 5)),
            ("two priority tags", tagged(tagged(plain(), 0x8100, 0), 0x8100, 0)),
            ("two priority tags on IPv6", tagged(tagged(six(), 0x8100, 0), 0x8100, 0)),
            ("a tag under a priority tag", tagged(tagged(plain(), 0x8100, 9), 0x8100, 0)),
            ("a priority tag under a tag", tagged(tagged(plain(), 0x8100, 0), 0x8100, 9)),
            ("a priority tag under a service tag", tagged(tagged(plain(), 0x8100, 0), 0x88a8, 0)),
            ("a service tag under a priority tag", tagged(tagged(plain(), 0x88a8, 0), 0x8100, 0)),
        ],
    );
}

fn e12_unknown_ethertypes(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let types: [u16; 16] = [
        0x8847, 0x8848, 0x8863, 0x8864, 0x888e, 0x88cc, 0x8137, 0x88b5, 0x0801, 0x0805, 0x0807, 0x8035,
        0x05dc, 0x0004, 0x0000, 0xffff,
    ];
    for ethertype in types {
        let frame = tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
        let frame = [&frame[..12], &ethertype.to_be_bytes(), &frame[14..]].concat();
        scene.sends(&format!("ethertype {ethertype:#06x}"), &frame, Denied("ethertype"));
        scene.gets(&format!("ethertype {ethertype:#06x}, received"), &frame, Denied("ethertype"));
        scene.sends(
            &format!("{ethertype:#06x} under a priority tag"),
            &tagged(frame, 0x8100, 0),
            Denied("ethertype"),
        );
    }
}

fn e13_a_wrong_header_checksum_neither_opens_nor_moves_a_flow(scene: &mut Scene<'_>) {
    let wrong = |mut frame: Vec<u8>| {
        frame[LINK + 10] ^= 0x40;
        frame
    };
    let syn = || tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    scene.sends("a SYN", &wrong(syn()), Denied("malformed"));
    scene.gets("opened nothing", &tcp(CHECKOUT[0], WEB[0], (443, 40_000), SYN | ACK), Denied("state"));
    let zero = patched(syn(), LINK + 8, &[64]);
    scene.sends(
        "no checksum at all",
        &[&zero[..LINK + 10], &[0, 0], &zero[LINK + 12..]].concat(),
        Denied("malformed"),
    );
    scene.sends(
        "a wrong time to live",
        &[&zero[..LINK + 8], &[63], &zero[LINK + 9..]].concat(),
        Denied("malformed"),
    );
    let options = with_options(syn(), &[148, 4, 0, 0]);
    scene.sends("right, with options", &options, Allowed);
    scene.sends("wrong, with options", &wrong(options.clone()), Denied("malformed"));
    let mut changed = options;
    changed[LINK + 23] ^= 1;
    scene.sends("wrong inside the options", &changed, Denied("malformed"));
    scene.connects(0, (40_001, 443));
    let reset = |ports| tcp(WEB[0], CHECKOUT[0], ports, RST | ACK);
    scene.sends("a reset of a flow", &wrong(reset((40_001, 443))), Denied("malformed"));
    scene.sends("which goes on", &tcp(WEB[0], CHECKOUT[0], (40_001, 443), ACK), Allowed);
    let mut tagged_frame = tagged(syn(), 0x8100, 0);
    scene.sends("right, under a priority tag", &tagged_frame, Allowed);
    tagged_frame[LINK + 4 + 10] ^= 1;
    scene.sends("wrong, under a priority tag", &tagged_frame, Denied("malformed"));
    // Both zeros of ones' complement arithmetic are right (RFC 1624).
    let mut padded = syn();
    padded[LINK + 4..LINK + 6].copy_from_slice(&[0, 0]);
    rechecksum(&mut padded);
    let sum = u16::from_be_bytes([padded[LINK + 10], padded[LINK + 11]]);
    padded[LINK + 4..LINK + 6].copy_from_slice(&sum.to_be_bytes());
    padded[LINK + 10..LINK + 12].copy_from_slice(&[0, 0]);
    scene.sends("a sum of zero", &padded, Allowed);
    padded[LINK + 10..LINK + 12].copy_from_slice(&[0xff, 0xff]);
    scene.sends("the other zero", &padded, Allowed);
}

fn e13_a_wrong_transport_checksum_gains_nothing(scene: &mut Scene<'_>) {
    let wrong = |source, destination, ports, flags| {
        patched(tcp(source, destination, ports, flags), LINK + 36, &[0xde, 0xad])
    };
    scene.sends(
        "opens nothing that no rule allows",
        &wrong(WEB[0], CHECKOUT[0], (40_000, 22), SYN),
        Denied("no-rule"),
    );
    scene.connects(0, FLOW);
    scene.sends("a reset that nobody takes", &wrong(WEB[0], CHECKOUT[0], FLOW, RST), Allowed);
    scene.sends("the flow goes on", &tcp(WEB[0], CHECKOUT[0], FLOW, ACK), Allowed);
    scene.idle(std::time::Duration::from_secs(600));
    scene.sends("and is remembered as before", &tcp(WEB[0], CHECKOUT[0], FLOW, ACK), Allowed);
    scene.gets("both ways", &tcp(CHECKOUT[0], WEB[0], (443, 40_000), ACK), Allowed);
}

fn e14_packets_without_a_length_need_to_be_that_large(scene: &mut Scene<'_>) {
    // What is larger than 64 KiB can't be made here: level 3 does it.
    scene.sends(
        "IPv4 without a length",
        &patched(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), LINK + 2, &[0, 0]),
        Denied("malformed"),
    );
    let jumbo: (u8, &[u8]) = (0, &[0, 0xc2, 4, 0, 1, 0, 0]);
    let frame = extended(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), &[jumbo]);
    scene.sends(
        "a jumbo payload header on a small packet",
        &patched(frame, LINK + 4, &[0, 0]),
        Denied("malformed"),
    );
    let large = |ports| packet(WEB[0], CHECKOUT[0], 6, &[segment(ports, SYN, &[]), vec![0; 1_400]].concat());
    scene.sends("a full frame", &large(FLOW), Allowed);
    scene.sends("one that isn't allowed", &large((40_000, 22)), Denied("no-rule"));
}

fn e15_transport_lengths_that_contradict_the_packet(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for (family, checkout) in CHECKOUT.iter().enumerate() {
        let with = |length: u16| {
            let mut bytes = datagram((40_000, 53), b"twelve bytes");
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            packet(WEB[family], checkout, 17, &bytes)
        };
        for length in [0, 1, 7, 21, 40, 0xffff] {
            scene.sends(
                &format!("a datagram that says {length} bytes of 20"),
                &with(length),
                Denied("malformed"),
            );
        }
        for length in [8, 9, 20] {
            scene.sends(&format!("a datagram that says {length} bytes of 20"), &with(length), Allowed);
        }
        for words in (0..5).chain(6..16) {
            let mut bytes = segment((40_000, 443), SYN, &[]);
            bytes[12] = words << 4;
            let note = format!("a data offset of {words} words in 5");
            scene.sends(&note, &packet(WEB[family], checkout, 6, &bytes), Denied("malformed"));
        }
        scene.sends(
            "half a UDP header",
            &packet(WEB[family], checkout, 17, &[0x9c, 0x40, 0, 53]),
            Denied("malformed"),
        );
        scene.sends("no TCP header", &packet(WEB[family], checkout, 6, &[]), Denied("malformed"));
        scene.sends(
            "19 bytes of TCP",
            &packet(WEB[family], checkout, 6, &segment(FLOW, SYN, &[])[..19]),
            Denied("malformed"),
        );
    }
}
