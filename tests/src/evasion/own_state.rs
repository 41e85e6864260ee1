//! X40 and on: flows in strange company.

use std::time::Duration;

use enforcer_common::packet::flags::{ACK, FIN, RST, SYN};

use super::Verdict::{Allowed, Denied, DeniedByRule};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, Scene, WEB};
use crate::forge::{error, message, packet, tcp, udp};

const FLOW: (u16, u16) = (40_000, 443);
const BACK: (u16, u16) = (443, 40_000);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "X40",
            "A RST in answer to a SYN, from its server or forged, then an answer",
            "part of the flow; it opens nothing else",
        )
        .cases(cases![x40_a_reset_answers_a_syn]),
        Attack::new(
            "X41",
            "Both ends open at once, where both may and where one may",
            "each SYN is judged as its own sender's",
        )
        .cases(cases![x41_simultaneous_opens]),
        Attack::new("X42", "The tuple of a TCP flow under another protocol", "another flow")
            .cases(cases![x42_protocols_share_no_flows]),
        Attack::new(
            "X43",
            "The answer of a flow to a group, in the group's name or by a member that wasn't asked",
            "`martian`; `no-rule`",
        )
        .cases(cases![x43_groups_do_not_answer]),
        Attack::new(
            "X44",
            "A FIN from one end, silence, and the other end's data",
            "half-closed is open: it goes on for a day",
        )
        .cases(cases![x44_half_closed_is_open]),
        Attack::new(
            "X45",
            "An ICMP error that quotes an ICMP error, a query, or a reply",
            "only what a flow can be about",
        )
        .cases(cases![x45_errors_about_icmp]),
        Attack::new(
            "X46",
            "A deny that comes to stand before the allow of an open flow, and goes again",
            "denied while it stands, by the rule; then as before",
        )
        .cases(cases![x46_denies_cut_and_let_go]),
    ]
}

fn x40_a_reset_answers_a_syn(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.gets("before the SYN", &tcp(checkout, web, BACK, RST | ACK), Denied("state"));
        scene.sends("SYN", &tcp(web, checkout, FLOW, SYN), Allowed);
        scene.gets("refused", &tcp(checkout, web, BACK, RST | ACK), Allowed);
        scene.sends("SYN again", &tcp(web, checkout, FLOW, SYN), Allowed);
        scene.gets("answered after all", &tcp(checkout, web, BACK, SYN | ACK), Allowed);
        scene.gets("a SYN back", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.sends("goes on", &tcp(web, checkout, FLOW, ACK), Allowed);
    }
}

fn x41_simultaneous_opens(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.rules(&["web -> checkout tcp/443"]);
        scene.sends("SYN", &tcp(web, checkout, FLOW, SYN), Allowed);
        scene.gets("SYN back, which no rule allows", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.gets("the answer", &tcp(checkout, web, BACK, SYN | ACK), Allowed);
        scene.rules(&["web -> checkout tcp/443", "checkout -> web tcp/40001"]);
        scene.sends("SYN", &tcp(web, checkout, (40_001, 443), SYN), Allowed);
        scene.gets("SYN back, which a rule allows", &tcp(checkout, web, (443, 40_001), SYN), Allowed);
        scene.sends("answered", &tcp(web, checkout, (40_001, 443), SYN | ACK), Allowed);
        scene.gets("answered", &tcp(checkout, web, (443, 40_001), SYN | ACK), Allowed);
        scene.rules(&["web -> checkout tcp/443"]);
        scene.gets("whose rule goes", &tcp(checkout, web, (443, 40_001), ACK), Denied("no-rule"));
    }
}

fn x42_protocols_share_no_flows(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.connects(family, FLOW);
        scene.gets("UDP", &udp(checkout, web, BACK, b"x"), Denied("no-rule"));
        let ports = [&BACK.0.to_be_bytes()[..], &BACK.1.to_be_bytes(), &[0; 12]].concat();
        scene.gets("SCTP", &packet(checkout, web, 132, &ports), Denied("proto"));
        scene.gets("UDP-Lite", &packet(checkout, web, 136, &ports), Denied("proto"));
        let echo = if family == 0 { 0 } else { 129 };
        scene.gets("an echo reply", &message(checkout, web, echo, 0, 443, b"x"), Denied("state"));
    }
    let frame = tcp(CHECKOUT[1], WEB[1], BACK, ACK);
    scene.gets("the other family has its own", &frame, Allowed);
}

fn x43_groups_do_not_answer(scene: &mut Scene<'_>) {
    scene.rules(&["web -> {cidr: [224.0.0.251/32, \"ff02::fb/128\"]} udp/5353"]);
    for (family, group) in [(0, "224.0.0.251"), (1, "ff02::fb")] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("a question to the group", &udp(web, group, (5_353, 5_353), b"x"), Allowed);
        scene.gets("in its name", &udp(group, web, (5_353, 5_353), b"x"), Denied("martian"));
        scene.gets("from a member", &udp(checkout, web, (5_353, 5_353), b"x"), Denied("no-rule"));
        scene.gets("a SYN in its name", &tcp(group, web, FLOW, SYN), Denied("martian"));
        scene.gets(
            "an error in its name",
            &error(
                group,
                web,
                if family == 0 { (3, 3) } else { (1, 4) },
                &udp(web, group, (5_353, 5_353), b"x"),
            ),
            Denied("martian"),
        );
    }
}

fn x44_half_closed_is_open(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.connects(family, FLOW);
        scene.sends("FIN", &tcp(web, checkout, FLOW, FIN | ACK), Allowed);
        scene.idle(Duration::from_secs(3_600));
        scene.gets("data an hour later", &tcp(checkout, web, BACK, ACK), Allowed);
        scene.gets("FIN", &tcp(checkout, web, BACK, FIN | ACK), Allowed);
        scene.sends("the last ACK", &tcp(web, checkout, FLOW, ACK), Allowed);
        scene.idle(Duration::from_secs(200));
        scene.gets("long after", &tcp(checkout, web, BACK, ACK), Denied("state"));
    }
}

fn x45_errors_about_icmp(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout icmp/echo-request", "web -> checkout icmpv6/echo-request"]);
    for (family, request, reply, kind) in [(0, 8, 0, (3, 1)), (1, 128, 129, (1, 3))] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let echo = message(web, checkout, request, 0, 7, b"12345678");
        let answer = message(checkout, web, reply, 0, 7, b"12345678");
        scene.gets(
            "about a query that wasn't",
            &error(checkout, web, kind, &echo),
            Denied("related-unknown"),
        );
        scene.sends("the query", &echo, Allowed);
        scene.gets("about it", &error(checkout, web, kind, &echo), Allowed);
        let other = message(web, checkout, request, 0, 8, b"12345678");
        scene.gets("about another", &error(checkout, web, kind, &other), Denied("related-unknown"));
        scene.sends("about its reply", &error(web, checkout, kind, &answer), Allowed);
        let first = error(web, checkout, kind, &answer);
        scene.gets("about an error", &error(checkout, web, kind, &first), Denied("related-unknown"));
    }
}

fn x46_denies_cut_and_let_go(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let data = tcp(WEB[family], CHECKOUT[family], FLOW, ACK);
        scene.rules(&["web -> checkout tcp/443"]);
        scene.connects(family, FLOW);
        scene.rules(&["web -> checkout tcp/443", "deny web -> checkout tcp/400-500"]);
        scene.sends("a deny in force", &data, DeniedByRule);
        scene.gets("both ways", &tcp(CHECKOUT[family], WEB[family], BACK, ACK), DeniedByRule);
        scene.sends(
            "a new connection",
            &tcp(WEB[family], CHECKOUT[family], (40_001, 443), SYN),
            DeniedByRule,
        );
        scene.rules(&["web -> checkout tcp/443", "deny web -> checkout tcp/444-500"]);
        scene.sends("beside the port", &data, Allowed);
    }
}
