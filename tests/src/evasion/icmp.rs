//! E37 to E43: errors, echoes and the rest of ICMP.

use enforcer_common::packet::flags::SYN;

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, LEDGER, OUTSIDE, Scene, WEB};
use crate::forge::{LINK, error, message, packet, part_as, tcp, udp, with_options};

/// Unreachable port, too big, time exceeded, parameter problem: for each family.
const ERRORS: [[(u8, u8); 4]; 2] = [[(3, 3), (3, 4), (11, 0), (12, 0)], [(1, 4), (2, 0), (3, 0), (4, 1)]];
const FLOW: (u16, u16) = (40_125, 8_125);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E37", "An ICMP error that quotes an allowed tuple without a flow", "`related-unknown`")
            .cases(cases![e37_errors_about_no_flow_are_denied]),
        Attack::new(
            "E38",
            "ICMP fragmentation needed or too big for a live flow",
            "passes, under the flow's rule",
        )
        .note("The record carries the rule that allows the flow, which tells more than a word of its own.")
        .cases(cases![e38_errors_about_a_live_flow_pass]),
        Attack::new(
            "E40",
            "An ICMP error that quotes a later part, a header chain, options, or too little",
            "read by the rules for packets, else `related-unknown`",
        )
        .cases(cases![e40_what_an_error_quotes_is_read_like_a_packet]),
        Attack::new("E41", "An echo request against the direction of an allowed flow", "`no-rule`")
            .cases(cases![e41_requests_against_an_allowed_flow_are_denied]),
        Attack::new("E42", "An echo reply without a request; a type taken for a port", "`state`")
            .cases(cases![e42_replies_need_their_request]),
        Attack::new("E43", "Timestamp, information and address mask requests", "`no-rule`")
            .cases(cases![e43_old_requests_are_denied]),
    ]
}

fn e37_errors_about_no_flow_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    for family in [0, 1] {
        let [web, checkout, ledger] = [WEB[family], CHECKOUT[family], LEDGER[family]];
        let request = udp(web, checkout, FLOW, b"request");
        let answer = udp(checkout, web, (FLOW.1, FLOW.0), b"answer");
        for kind in ERRORS[family] {
            scene.gets("before the flow", &error(checkout, web, kind, &request), Denied("related-unknown"));
            scene.sends(
                "sent before the flow",
                &error(web, checkout, kind, &answer),
                Denied("related-unknown"),
            );
        }
        scene.sends("the flow", &request, Allowed);
        let kind = ERRORS[family][0];
        let other = udp(web, checkout, (FLOW.0 + 1, FLOW.1), b"request");
        scene.gets("about another port", &error(checkout, web, kind, &other), Denied("related-unknown"));
        scene.gets(
            "about the answer, as if web had sent it",
            &error(checkout, web, kind, &answer),
            Denied("related-unknown"),
        );
        let as_tcp = tcp(web, checkout, FLOW, SYN);
        scene.gets("about another protocol", &error(checkout, web, kind, &as_tcp), Denied("related-unknown"));
        scene.sends(
            "from web, in checkout's place",
            &error(web, checkout, kind, &request),
            Denied("related-unknown"),
        );
        scene.sends(
            "from web to a third about it",
            &error(web, ledger, kind, &answer),
            Denied("related-unknown"),
        );
        scene.gets(
            "to nobody's address",
            &error(checkout, ledger, kind, &request),
            Denied("foreign-destination"),
        );
    }
}

fn e38_errors_about_a_live_flow_pass(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    for family in [0, 1] {
        let [web, checkout, router] = [WEB[family], CHECKOUT[family], OUTSIDE[family]];
        let request = udp(web, checkout, FLOW, b"request");
        let answer = udp(checkout, web, (FLOW.1, FLOW.0), b"answer");
        scene.sends("the flow", &request, Allowed);
        for kind in ERRORS[family] {
            scene.gets("an error from its other end", &error(checkout, web, kind, &request), Allowed);
            scene.gets("from a router", &error(router, web, kind, &request), Allowed);
            scene.sends("about the answer", &error(web, checkout, kind, &answer), Allowed);
        }
    }
    scene.rules(&[]);
    for family in [0, 1] {
        let request = udp(WEB[family], CHECKOUT[family], FLOW, b"request");
        let frame = error(CHECKOUT[family], WEB[family], ERRORS[family][1], &request);
        scene.gets("once the flow is revoked", &frame, Denied("no-rule"));
    }
}

fn e40_what_an_error_quotes_is_read_like_a_packet(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/8125"]);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let request = udp(web, checkout, FLOW, &[0x5a; 64]);
        scene.sends("the flow", &request, Allowed);
        let kind = ERRORS[family][0];
        let about = |quoted: &[u8]| error(checkout, web, kind, quoted);
        let later = part_as(&request, 7, 8, 40, 185, true);
        let header = if family == 0 { 20 } else { 40 };
        scene.gets("a later part", &about(&later), Denied("related-unknown"));
        scene.gets("half a header", &about(&request[..LINK + header / 2]), Denied("related-unknown"));
        scene.gets("a header alone", &about(&request[..LINK + header]), Denied("related-unknown"));
        scene.gets("half of the ports", &about(&request[..LINK + header + 2]), Denied("related-unknown"));
        scene.gets("nothing", &message(checkout, web, kind.0, kind.1, 0, &[]), Denied("related-unknown"));
        let mut other_version = request.clone();
        other_version[LINK] ^= 0x20;
        scene.gets("another version", &about(&other_version), Denied("related-unknown"));
        scene.gets("the ports and no more", &about(&request[..LINK + header + 8]), Allowed);
    }
    let [web, checkout] = [WEB[0], CHECKOUT[0]];
    let request = udp(web, checkout, FLOW, &[0x5a; 64]);
    let about = |quoted: &[u8]| error(checkout, web, (3, 4), quoted);
    scene.gets("a first part", &about(&part_as(&request, 7, 0, 40, 0, true)), Allowed);
    scene.gets("harmless options", &about(&with_options(request.clone(), &[148, 4, 0, 0])), Allowed);
    // Where a header without options would have its ports, the option has those of the flow.
    let forged = with_options(udp(web, checkout, (1, 2), b"x"), &[0x9c, 8, 0x9c, 0xbd, 0x1f, 0xbd, 0, 0]);
    scene.gets("a flow inside the options", &about(&forged), Denied("related-unknown"));
    let routed = with_options(request.clone(), &[131, 7, 4, 10, 77, 0, 1]);
    scene.gets("a source route, which never passed", &about(&routed), Denied("related-unknown"));
    let mut short = request;
    short[LINK] = 0x44;
    scene.gets("a header of 16 bytes", &about(&short), Denied("related-unknown"));
    scene.gets(
        "in two parts",
        &part_as(&about(&udp(web, checkout, FLOW, &[0; 64])), 9, 0, 32, 0, true),
        Denied("malformed"),
    );
}

fn e41_requests_against_an_allowed_flow_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&[
        "web -> checkout icmp/echo-request",
        "web -> checkout icmpv6/echo-request",
        "web -> checkout tcp/443",
    ]);
    for (family, request, reply) in [(0, 8, 0), (1, 128, 129)] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("a request", &message(web, checkout, request, 0, 7, b"x"), Allowed);
        scene.gets("its reply", &message(checkout, web, reply, 0, 7, b"x"), Allowed);
        scene.gets(
            "a request the other way",
            &message(checkout, web, request, 0, 7, b"x"),
            Denied("no-rule"),
        );
        scene.sends("a reply to that", &message(web, checkout, reply, 0, 7, b"x"), Denied("state"));
        scene.connects(family, (40_000, 443));
        scene.gets(
            "a request against a TCP flow",
            &message(checkout, web, request, 0, 443, b"x"),
            Denied("no-rule"),
        );
    }
    scene.rules(&["web -> checkout any"]);
    for (family, request) in [(0, 8), (1, 128)] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("under `any`", &message(web, checkout, request, 0, 9, b"x"), Allowed);
        scene.gets("the other way", &message(checkout, web, request, 0, 9, b"x"), Denied("no-rule"));
        scene.checkout_sends(
            "at the other hook",
            &message(checkout, web, request, 0, 9, b"x"),
            Denied("no-rule"),
        );
    }
}

fn e42_replies_need_their_request(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for (family, request, reply) in [(0, 8, 0), (1, 128, 129)] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.gets("a reply to nothing", &message(checkout, web, reply, 0, 7, b"x"), Denied("state"));
        scene.sends("sent", &message(web, checkout, reply, 0, 7, b"x"), Denied("state"));
        scene.sends("a request", &message(web, checkout, request, 0, 7, b"x"), Allowed);
        scene.gets("a reply to another", &message(checkout, web, reply, 0, 8, b"x"), Denied("state"));
        scene.gets("with another code", &message(checkout, web, reply, 1, 7, b"x"), Denied("state"));
        scene.gets("from somebody else", &message(LEDGER[family], web, reply, 0, 7, b"x"), Denied("state"));
        scene.gets("its own", &message(checkout, web, reply, 0, 7, b"x"), Allowed);
        // Type and code stand where a port would.
        let port = u16::from(request) << 8;
        scene.gets("a datagram in a reply's place", &tcp(checkout, web, (port, 7), 16), Denied("state"));
    }
    for kind in [14, 16, 18] {
        scene.gets("old replies", &message(CHECKOUT[0], WEB[0], kind, 0, 7, &[0; 12]), Denied("state"));
    }
}

fn e43_old_requests_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout icmp/echo-request", "web -> checkout tcp/443"]);
    for kind in [13, 15, 17] {
        let frame = message(WEB[0], CHECKOUT[0], kind, 0, 7, &[0; 12]);
        scene.sends(&format!("type {kind}"), &frame, Denied("no-rule"));
        scene.checkout_gets(&format!("type {kind}, received"), &frame, Denied("no-rule"));
    }
    let whole = packet(WEB[0], CHECKOUT[0], 1, &[13, 0, 0, 0, 0, 7, 0, 1]);
    scene.sends("without its timestamps", &whole, Denied("no-rule"));
}
