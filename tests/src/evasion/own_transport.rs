//! X30 and on: transport headers.

use enforcer_common::packet::flags::{ACK, SYN};

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, Scene, WEB};
use crate::forge::{datagram, message, packet, part_as, segment, tcp, udp};

const FLOW: (u16, u16) = (40_000, 443);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("X30", "Port 0", "a port like any other: no range that begins at 1 holds it")
            .cases(cases![x30_port_zero_is_a_port]),
        Attack::new(
            "X31",
            "A datagram of 8 bytes with more behind it; one that ends before its packet does",
            "judged by its header",
        )
        .cases(cases![x31_bytes_behind_a_datagram]),
        Attack::new(
            "X32",
            "A TCP header that is longer than the first part it begins in",
            "`frag-tiny`, on IPv6 `frag-hdr`",
        )
        .cases(cases![x32_a_tcp_header_across_parts]),
        Attack::new(
            "X33",
            "SCTP without a chunk, with an ABORT or a COOKIE first, with ports swapped",
            "by the rules for its ports; an answer needs its flow",
        )
        .note("SCTP flows open with any packet, as UDP's do: no chunk is read.")
        .cases(cases![x33_sctp_chunks_decide_nothing]),
        Attack::new(
            "X34",
            "ECE, CWR, the accurate ECN bit, URG with a pointer, options of every kind",
            "the verdict is the same",
        )
        .cases(cases![x34_tcp_fields_that_decide_nothing]),
        Attack::new(
            "X35",
            "Unassigned ICMP types, codes out of range, echo with a code",
            "by the rules for type and code; an answer has its request's code",
        )
        .cases(cases![x35_icmp_types_without_a_meaning]),
        Attack::new("X36", "An ICMP message that is shorter than its header", "`malformed`")
            .cases(cases![x36_icmp_headers_cut_short]),
    ]
}

fn x30_port_zero_is_a_port(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout tcp/1-65535", "web -> checkout udp/53"]);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("TCP to it", &tcp(web, checkout, (40_000, 0), SYN), Denied("no-rule"));
        scene.sends("UDP to it", &udp(web, checkout, (40_000, 0), b"x"), Denied("no-rule"));
        scene.sends("TCP from it", &tcp(web, checkout, (0, 443), SYN), Allowed);
        scene.sends("UDP from it", &udp(web, checkout, (0, 53), b"x"), Allowed);
        scene.gets("an answer to it", &udp(checkout, web, (53, 0), b"x"), Allowed);
    }
    scene.rules(&["web -> checkout tcp"]);
    scene.sends("all ports", &tcp(WEB[0], CHECKOUT[0], (40_000, 0), SYN), Allowed);
}

fn x31_bytes_behind_a_datagram(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/53"]);
    for family in [0, 1] {
        let with = |port, length: u16| {
            let mut bytes = datagram((40_000, port), &[0x5a; 100]);
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            packet(WEB[family], CHECKOUT[family], 17, &bytes)
        };
        scene.sends("8 bytes", &with(53, 8), Allowed);
        scene.sends("one less than there is", &with(53, 107), Allowed);
        scene.sends("8 bytes to a denied port", &with(54, 8), Denied("no-rule"));
        scene.sends("a header alone", &udp(WEB[family], CHECKOUT[family], (40_000, 53), b""), Allowed);
    }
}

fn x32_a_tcp_header_across_parts(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let reason = if family == 0 { "frag-tiny" } else { "frag-hdr" };
        for words in 6..=15_u8 {
            let bytes = segment(FLOW, SYN, &vec![1; (usize::from(words) - 5) * 4]);
            let whole = packet(WEB[family], CHECKOUT[family], 6, &[bytes, vec![0; 64]].concat());
            let header = usize::from(words) * 4;
            let before = (header - 1) / 8 * 8;
            let note = format!("{before} of {header} bytes");
            scene.sends(&note, &part_as(&whole, words.into(), 0, before, 0, true), Denied(reason));
            let after = header.next_multiple_of(8);
            scene.sends("all of it", &part_as(&whole, words.into(), 0, after, 0, true), Allowed);
        }
    }
}

fn x33_sctp_chunks_decide_nothing(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout sctp/3724"]);
    let with = |ports: (u16, u16), chunk: &[u8]| {
        [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &[0; 8], chunk].concat()
    };
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        for (port, (note, chunk)) in (40_000..).zip([
            ("none", &[][..]),
            ("ABORT", &[6, 0, 0, 4]),
            ("COOKIE ECHO", &[10, 0, 0, 4]),
            ("a length of nothing", &[0, 3, 0, 0]),
        ]) {
            scene.sends(note, &packet(web, checkout, 132, &with((port, 3_724), chunk)), Allowed);
            scene.sends(note, &packet(web, checkout, 132, &with((port, 3_725), chunk)), Denied("proto"));
            scene.gets(
                "an answer to nothing",
                &packet(checkout, web, 132, &with((3_724, port + 9), chunk)),
                Denied("proto"),
            );
            scene.gets("its answer", &packet(checkout, web, 132, &with((3_724, port), chunk)), Allowed);
        }
    }
}

fn x34_tcp_fields_that_decide_nothing(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        for flags in [SYN | 0x40, SYN | 0x80, SYN | 0xc0, SYN | 0x20, SYN | 8] {
            scene.sends(&format!("flags {flags:#04x}"), &tcp(web, checkout, FLOW, flags), Allowed);
            scene.sends(
                &format!("flags {flags:#04x}"),
                &tcp(web, checkout, (1, 22), flags),
                Denied("no-rule"),
            );
        }
        let mut accurate = segment(FLOW, SYN, &[]);
        accurate[12] |= 0xf;
        scene.sends("the bits before the flags", &packet(web, checkout, 6, &accurate), Allowed);
        let odd = segment(FLOW, SYN, &[99, 0, 255, 254]);
        scene.sends("options that make no sense", &packet(web, checkout, 6, &odd), Allowed);
        scene.gets("ECN in an answer", &tcp(checkout, web, (443, 40_000), SYN | ACK | 0x40), Allowed);
        scene.sends("FIN under every other flag", &tcp(web, checkout, (1, 443), 0xe9), Denied("tcp-flags"));
    }
}

fn x35_icmp_types_without_a_meaning(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout icmp/echo-request", "web -> checkout icmpv6/echo-request"]);
    for kind in [1, 2, 6, 7, 19, 30, 40, 42, 43, 253, 255] {
        scene.sends(
            &format!("type {kind}"),
            &message(WEB[0], CHECKOUT[0], kind, 0, 7, &[0; 12]),
            Denied("no-rule"),
        );
    }
    for kind in [0, 5, 100, 127, 130, 138, 139, 140, 141, 148, 151, 155, 160, 200, 255] {
        scene.sends(
            &format!("ICMPv6 type {kind}"),
            &message(WEB[1], CHECKOUT[1], kind, 0, 7, &[0; 12]),
            Denied("no-rule"),
        );
    }
    for (family, request, reply) in [(0, 8, 0), (1, 128, 129)] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("a request with a code", &message(web, checkout, request, 9, 7, b"x"), Allowed);
        scene.gets("a reply without it", &message(checkout, web, reply, 0, 7, b"x"), Denied("state"));
        scene.gets("a reply with it", &message(checkout, web, reply, 9, 7, b"x"), Allowed);
    }
}

fn x36_icmp_headers_cut_short(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for (family, number) in [(0, 1), (1, 58)] {
        for kind in [0, 3, 8, 128, 129, 1, 134, 135, 136] {
            for length in 0..8 {
                let body = [kind, 0, 0, 0, 0, 7, 0, 1];
                let frame = packet(WEB[family], CHECKOUT[family], number, &body[..length]);
                scene.sends(&format!("type {kind}, {length} bytes"), &frame, Denied("malformed"));
            }
        }
    }
}
