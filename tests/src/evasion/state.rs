//! E44 to E58: what belongs to a flow, and when it ends.

use std::time::Duration;

use enforcer_common::packet::flags::{ACK, FIN, PSH, RST, SYN, URG};

use super::Verdict::{Allowed, Denied, Passes};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, LEDGER, Scene, WEB, workload, workloads};
use crate::forge::{packet, segment, tcp, udp};
use crate::policy;

const FLOW: (u16, u16) = (40_000, 443);
const BACK: (u16, u16) = (443, 40_000);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E44", "SYN+ACK without a SYN", "`state`").cases(cases![e44_an_answer_needs_its_syn]),
        Attack::new("E45", "A bare ACK, or data, in no flow", "`state`")
            .note("There is no adoption window to configure: what the enforcer didn't see begin is denied.")
            .cases(cases![e45_packets_of_no_flow_are_denied]),
        Attack::new("E46", "NULL, FIN, XMAS, SYN+FIN, SYN+RST", "`tcp-flags`")
            .cases(cases![e46_impossible_flags_are_denied]),
        Attack::new(
            "E48",
            "A SYN from the same port on a tuple that is still remembered, after revocation",
            "judged anew: denied",
        )
        .cases(cases![e48_a_remembered_tuple_is_judged_anew]),
        Attack::new("E49", "The tuple of a closed connection used again", "a new flow with a verdict and an event of its own")
            .cases(cases![e49_a_closed_tuple_is_a_new_flow]),
        Attack::new(
            "E50",
            "A forged RST or FIN, to end what is remembered of a flow, then packets in its place",
            "ends nothing by itself: one RST without silence behind it, or one FIN without the other end's, leaves the flow as it was",
        )
        .note(
            "Sequence numbers aren't followed. A RST makes a flow be forgotten after two minutes of silence instead of a day, and the next packet of \
             either end takes that back. Only who can send in the name of one of the ends gets this far: a workload can't (its own hook has no such flow: `state`).",
        )
        .cases(cases![e50_a_forged_reset_ends_nothing, e50_nothing_takes_the_place_of_a_reset_flow]),
        Attack::new(
            "E51",
            "Split handshake; data on a SYN (TCP Fast Open)",
            "judged at the first SYN; a denied one passes no data",
        )
        .cases(cases![e51_handshakes_are_judged_at_their_first_syn]),
        Attack::new("E52", "**Revocation, forward**: an allowed flow whose rule is removed", "the client's packets are denied from the next one on")
            .note("The record carries what denies the flow now (`no-rule`, or a rule), `changed: true` and how soon after the change it came (`cut`), rather than a word for the change.")
            .cases(cases![e52_e55_a_revoked_flow_stops_and_others_go_on]),
        Attack::new(
            "E53",
            "**Revocation, reverse**: the server goes on streaming",
            "the server's packets are denied too; under `onDeny: reset` both ends get a RST, which ends their sockets",
        )
        .cases(cases![e53_a_revoked_flow_stops_in_both_directions]),
        Attack::new("E54", "Revocation by a label change, an expiry, the end of an attested label, a quarantine", "as E52 and E53")
            .cases(cases![
                e54_other_labels_are_another_identity,
                e54_a_quarantine_cuts_both_directions,
                e54_a_quarantine_holds_in_every_mode,
                e54_a_quarantine_leaves_one_path,
                e54_labels_with_a_time_to_live_end_by_it,
                e54_a_mode_ends_with_the_labels_that_it_is_for,
            ]),
        Attack::new("E55", "Rule A is revoked while rule B still allows the flow", "the flow goes on")
            .cases(cases![e55_another_rule_keeps_a_flow]),
        Attack::new("E56", "A flow that was idle for too long, then data", "judged as if there had been none: `state` for TCP, by the rules for the rest; under `onDeny: reset` a RST instead of silence")
            .cases(cases![e56_what_was_idle_for_too_long_is_judged_anew]),
        Attack::new("E57", "A UDP answer from port 53 that nobody asked for", "`no-rule`")
            .cases(cases![e57_datagrams_pass_back_only_after_a_request]),
        Attack::new("E58", "SCTP with several addresses and bundled INIT; UDP-Lite; DCCP", "`proto` unless a rule names it")
            .cases(cases![e58_other_transports_pass_by_name_only]),
    ]
}

fn e44_an_answer_needs_its_syn(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.sends("SYN+ACK", &tcp(web, checkout, FLOW, SYN | ACK), Denied("state"));
        scene.gets("SYN+ACK received", &tcp(checkout, web, BACK, SYN | ACK), Denied("state"));
        scene.sends("a SYN that is denied", &tcp(web, checkout, (40_000, 22), SYN), Denied("no-rule"));
        scene.gets("its answer", &tcp(checkout, web, (22, 40_000), SYN | ACK), Denied("state"));
    }
}

fn e45_packets_of_no_flow_are_denied(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        for (note, flags) in
            [("ACK", ACK), ("data", PSH | ACK), ("FIN", FIN | ACK), ("RST", RST), ("RST+ACK", RST | ACK)]
        {
            scene.sends(note, &tcp(WEB[family], CHECKOUT[family], FLOW, flags), Denied("state"));
            scene.gets(note, &tcp(CHECKOUT[family], WEB[family], BACK, flags), Denied("state"));
        }
        scene.gets(
            "they left nothing behind",
            &tcp(CHECKOUT[family], WEB[family], BACK, SYN | ACK),
            Denied("state"),
        );
    }
}

fn e46_impossible_flags_are_denied(scene: &mut Scene<'_>) {
    let impossible = |flags: u8| {
        let syn = flags & SYN != 0 && flags & (FIN | RST) != 0;
        let bare = flags & (SYN | ACK) == 0 && flags & (RST | FIN) != RST;
        syn || bare
    };
    for family in [0, 1] {
        for flags in 0..64 {
            let frame = tcp(WEB[family], CHECKOUT[family], FLOW, flags);
            if impossible(flags) {
                scene.sends(&format!("flags {flags:#04x}"), &frame, Denied("tcp-flags"));
            }
        }
        scene.connects(family, (40_001, 443));
        for flags in [0, FIN, FIN | PSH | URG, SYN | FIN, SYN | RST, 0x3f] {
            let frame = tcp(WEB[family], CHECKOUT[family], (40_001, 443), flags);
            scene.sends(&format!("flags {flags:#04x} in a flow"), &frame, Denied("tcp-flags"));
        }
    }
}

fn e48_a_remembered_tuple_is_judged_anew(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        scene.rules(&["web -> checkout tcp/443"]);
        scene.connects(family, FLOW);
        scene.rules(&["web -> checkout tcp/444"]);
        let syn = tcp(WEB[family], CHECKOUT[family], FLOW, SYN);
        scene.sends("a SYN on it", &syn, Denied("no-rule"));
        scene.checkout_gets("received", &syn, Denied("no-rule"));
        scene.sends("data on it", &tcp(WEB[family], CHECKOUT[family], FLOW, ACK), Denied("no-rule"));
        scene.sends("a SYN after that", &syn, Denied("no-rule"));
    }
}

fn e49_a_closed_tuple_is_a_new_flow(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.connects(family, FLOW);
        scene.sends("FIN", &tcp(web, checkout, FLOW, FIN | ACK), Allowed);
        scene.gets("the other half goes on", &tcp(checkout, web, BACK, PSH | ACK), Allowed);
        scene.gets("FIN", &tcp(checkout, web, BACK, FIN | ACK), Allowed);
        scene.sends("last ACK", &tcp(web, checkout, FLOW, ACK), Allowed);
        scene.gets("the tuple from the other end", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.sends("the next connection", &tcp(web, checkout, FLOW, SYN), Allowed);
        scene.gets("answered", &tcp(checkout, web, BACK, SYN | ACK), Allowed);
        scene.sends("confirmed", &tcp(web, checkout, FLOW, ACK), Allowed);
    }
}

fn e50_a_forged_reset_ends_nothing(scene: &mut Scene<'_>) {
    for (family, flags) in [(0, RST), (1, RST | ACK), (0, FIN | ACK)] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let port = 41_000 + u16::from(flags);
        scene.connects(family, (port, 443));
        scene.gets("forged in checkout's name", &tcp(checkout, web, (443, port), flags), Allowed);
        scene.sends("the flow goes on", &tcp(web, checkout, (port, 443), PSH | ACK), Allowed);
        scene.gets("both ways", &tcp(checkout, web, (443, port), ACK), Allowed);
        scene.idle(Duration::from_secs(3_600));
        scene.sends("an hour later", &tcp(web, checkout, (port, 443), PSH | ACK), Allowed);
        scene.gets("both ways", &tcp(checkout, web, (443, port), ACK), Allowed);
    }
}

fn e50_nothing_takes_the_place_of_a_reset_flow(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.connects(family, FLOW);
        scene.gets("a reset", &tcp(checkout, web, BACK, RST), Allowed);
        scene.gets("a SYN in the server's name", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.gets("another port's data", &tcp(checkout, web, (443, 40_009), ACK), Denied("state"));
        scene.ledger_sends("the reset from a workload", &tcp(checkout, web, BACK, RST), Denied("state"));
        scene.idle(Duration::from_secs(200));
        scene.gets("data after a silence", &tcp(checkout, web, BACK, PSH | ACK), Denied("state"));
        scene.sends("from the other end", &tcp(web, checkout, FLOW, PSH | ACK), Denied("state"));
    }
}

fn e51_handshakes_are_judged_at_their_first_syn(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let with_data = |ports| {
            packet(web, checkout, 6, &[segment(ports, SYN, &[34, 4, 0xf9, 0x89]), b"data".to_vec()].concat())
        };
        scene.sends("data on a denied SYN", &with_data((40_000, 22)), Denied("no-rule"));
        scene.sends("data behind it", &tcp(web, checkout, (40_000, 22), PSH | ACK), Denied("state"));
        scene.sends("data on an allowed SYN", &with_data(FLOW), Allowed);
        // The server answers with a SYN of its own, the client with SYN+ACK.
        scene.gets("a SYN for an answer", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.checkout_sends("at its own hook", &tcp(checkout, web, BACK, SYN), Denied("no-rule"));
        scene.gets("the flow is still web's", &tcp(checkout, web, BACK, SYN | ACK), Allowed);
        scene.gets(
            "both at once, the other port first",
            &tcp(checkout, web, (443, 40_001), SYN),
            Denied("no-rule"),
        );
    }
}

fn e52_e55_a_revoked_flow_stops_and_others_go_on(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.rules(&["web -> checkout tcp/443", "web -> checkout tcp/444"]);
        scene.connects(family, FLOW);
        scene.connects(family, (40_000, 444));
        scene.rules(&["web -> checkout tcp/444"]);
        let frame = tcp(web, checkout, FLOW, PSH | ACK);
        scene.sends("revoked", &frame, Denied("no-rule"));
        scene.checkout_gets("at the server's hook", &frame, Denied("no-rule"));
        scene.sends("and again", &frame, Denied("no-rule"));
        let other = tcp(web, checkout, (40_000, 444), PSH | ACK);
        scene.sends("the other flow", &other, Allowed);
        scene.checkout_gets("at the server's hook", &other, Allowed);
        scene.rules(&["web -> checkout tcp/443"]);
        scene.sends("allowed again", &frame, Allowed);
    }
}

fn e53_a_revoked_flow_stops_in_both_directions(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.rules(&["web -> checkout tcp/443", "web -> checkout udp/443"]);
        scene.connects(family, FLOW);
        scene.sends("a datagram", &udp(web, checkout, FLOW, b"x"), Allowed);
        scene.checkout_gets("received", &udp(web, checkout, FLOW, b"x"), Allowed);
        scene.rules(&["web -> ledger tcp/443"]);
        for (note, frame) in
            [("TCP", tcp(checkout, web, BACK, PSH | ACK)), ("UDP", udp(checkout, web, BACK, b"x"))]
        {
            scene.checkout_sends(note, &frame, Denied("no-rule"));
            scene.gets(note, &frame, Denied("no-rule"));
        }
    }
}

fn e54_other_labels_are_another_identity(scene: &mut Scene<'_>) {
    let rules = policy("rules", "", &["web -> checkout tcp/443"]);
    let relabelled = workload("web", "other", &WEB) + &workload("checkout", "checkout", &CHECKOUT);
    for family in [0, 1] {
        scene.documents(&workloads(), &rules);
        scene.connects(family, FLOW);
        scene.documents(&relabelled, &rules);
        scene.sends("forward", &tcp(WEB[family], CHECKOUT[family], FLOW, PSH | ACK), Denied("no-rule"));
        scene.gets("back", &tcp(CHECKOUT[family], WEB[family], BACK, PSH | ACK), Denied("no-rule"));
        scene.checkout_sends(
            "at the server's hook",
            &tcp(CHECKOUT[family], WEB[family], BACK, PSH | ACK),
            Denied("no-rule"),
        );
    }
}

fn e54_a_quarantine_cuts_both_directions(scene: &mut Scene<'_>) {
    let cut = Denied("quarantined");
    scene.rules(&["web -> checkout tcp/443", "checkout -> ledger udp/53"]);
    for family in [0, 1] {
        let [web, checkout, ledger] = [WEB[family], CHECKOUT[family], LEDGER[family]];
        let (forward, back) = (tcp(web, checkout, FLOW, PSH | ACK), tcp(checkout, web, BACK, PSH | ACK));
        scene.connects(family, FLOW);
        scene.quarantines(&[("checkout", None)]);
        scene.sends("forward, at the client's hook", &forward, cut);
        scene.checkout_gets("forward", &forward, cut);
        scene.checkout_sends("back", &back, cut);
        scene.gets("back, at the client's hook", &back, cut);
        scene.checkout_sends("a new flow", &udp(checkout, ledger, (40_000, 53), b"x"), cut);
        scene.ledger_gets("at its peer's hook", &udp(checkout, ledger, (40_000, 53), b"x"), cut);
        scene.checkout_sends("from an address that isn't its own", &udp(ledger, web, (1, 2), b"x"), cut);
        scene.checkout_gets("flags that no connection sends", &tcp(web, checkout, FLOW, SYN | FIN), cut);
        scene.quarantines(&[]);
        scene.sends("once it is released, forward", &forward, Allowed);
        scene.checkout_gets("at the server's hook", &forward, Allowed);
        scene.checkout_sends("back", &back, Allowed);
        scene.quarantined_long_ago("checkout");
        scene.checkout_gets("past the end of a quarantine", &forward, Allowed);
        scene.gets("back", &back, Allowed);
        scene.quarantines(&[]);
    }
}

fn e54_a_quarantine_holds_in_every_mode(scene: &mut Scene<'_>) {
    let cut = Denied("quarantined");
    for (mode, passes) in [("off", Passes("segment-off")), ("audit", Allowed)] {
        let segment = format!(
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {{name: all}}\n\
             spec: {{select: [{{entity: workloads}}], mode: {mode}}}\n"
        );
        let rules = policy("rules", "", &["web -> checkout tcp/443"]);
        for family in [0, 1] {
            let [web, checkout] = [WEB[family], CHECKOUT[family]];
            let (open, back) = (tcp(web, checkout, FLOW, SYN), tcp(checkout, web, BACK, PSH | ACK));
            scene.quarantines(&[]);
            scene.documents(&workloads(), &format!("{rules}{segment}"));
            scene.checkout_gets("before", &open, passes);
            scene.quarantines(&[("checkout", None)]);
            scene.checkout_gets("what it receives", &open, cut);
            scene.checkout_sends("what it sends", &back, cut);
            if mode == "audit" {
                scene.sends("at its peer's hook", &open, cut);
            }
        }
        scene.quarantines(&[]);
    }
}

fn e54_a_quarantine_leaves_one_path(scene: &mut Scene<'_>) {
    let cut = Denied("quarantined");
    for (family, address) in [(0, LEDGER[0]), (1, LEDGER[1])] {
        let [web, checkout, ledger] = [WEB[family], CHECKOUT[family], LEDGER[family]];
        for (port, who) in (40_000..).zip(["workload/ledger", "app=ledger", address]) {
            scene.quarantines(&[("checkout", Some((who, "tcp/22")))]);
            let (open, answer) =
                (tcp(ledger, checkout, (port, 22), SYN), tcp(checkout, ledger, (22, port), SYN | ACK));
            scene.ledger_sends("along the path", &open, Passes("forensic"));
            scene.checkout_gets("at the server's hook", &open, Passes("forensic"));
            scene.checkout_sends("the answer", &answer, Passes("forensic"));
            scene.ledger_gets("at the client's hook", &answer, Passes("forensic"));
            scene.ledger_sends("at another port", &tcp(ledger, checkout, (port, 23), SYN), cut);
            scene.checkout_gets("at the server's hook", &tcp(ledger, checkout, (port, 23), SYN), cut);
            scene.sends("from somebody else", &tcp(web, checkout, (port, 22), SYN), cut);
            scene.checkout_gets("at the server's hook", &tcp(web, checkout, (port, 22), SYN), cut);
            scene.checkout_sends("out by the same way", &tcp(checkout, ledger, (port, 22), SYN), cut);
            scene.ledger_gets("at the other hook", &tcp(checkout, ledger, (port, 22), SYN), cut);
            scene.quarantines(&[("checkout", None)]);
            scene.checkout_gets("once the path is gone", &tcp(ledger, checkout, (port, 22), ACK), cut);
        }
        scene.quarantines(&[]);
    }
}

/// Longer than it takes to send what has to pass, on the slowest machine.
const TERM: Duration = Duration::from_secs(3);
const OK: (&str, &str) = ("posture.ok", "yes");

fn e54_labels_with_a_time_to_live_end_by_it(scene: &mut Scene<'_>) {
    let denied = Denied("no-rule");
    let ok = "{labels: {posture.ok: \"yes\"}}";
    scene.rules(&[&format!("{ok} -> checkout tcp/443"), &format!("checkout -> {ok} udp/53")]);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let (forward, back) = (tcp(web, checkout, FLOW, PSH | ACK), tcp(checkout, web, BACK, PSH | ACK));
        let query = udp(checkout, web, (40_000, 53), b"x");
        let new = tcp(web, checkout, (40_001, 443), SYN);
        scene.sends("before anything is attested", &new, denied);
        scene.attests(OK, TERM);
        scene.connects(family, FLOW);
        scene.checkout_sends("a flow to it", &query, Allowed);
        scene.gets("at its own hook", &query, Allowed);
        scene.waits(TERM);
        scene.sends("past its time, forward", &forward, denied);
        scene.checkout_gets("at the server's hook", &forward, denied);
        scene.checkout_sends("back", &back, denied);
        scene.gets("at the client's hook", &back, denied);
        scene.checkout_sends("the flow to it", &query, denied);
        scene.gets("at its own hook", &query, denied);
        scene.sends("a new flow", &new, denied);
        scene.checkout_gets("at the server's hook", &new, denied);
        scene.attests(OK, TERM);
        scene.sends("once it is attested again, forward", &forward, Allowed);
        scene.gets("back", &back, Allowed);
        scene.attests(("posture.ok", "no"), TERM);
        scene.sends("once something else is", &forward, denied);
        scene.gets("back", &back, denied);
    }
}

fn e54_a_mode_ends_with_the_labels_that_it_is_for(scene: &mut Scene<'_>) {
    let segment = "---\napiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: trusted}\n\
                   spec: {select: [{labels: {posture.ok: \"yes\"}}], mode: audit}\n";
    scene.documents(&workloads(), segment);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        let packet = udp(web, checkout, (40_000, 8125), b"x");
        let answer = udp(checkout, web, (8125, 40_000), b"x");
        scene.attests(OK, TERM);
        scene.sends("while denials are told only", &packet, Passes("no-rule"));
        scene.gets("back", &answer, Passes("no-rule"));
        scene.waits(TERM);
        scene.sends("past its time", &packet, Denied("no-rule"));
        scene.gets("back", &answer, Denied("no-rule"));
    }
}

fn e55_another_rule_keeps_a_flow(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        scene.rules(&["web -> checkout tcp/443", "web -> checkout tcp/400-500"]);
        scene.connects(family, FLOW);
        scene.rules(&["web -> checkout tcp/400-500"]);
        scene.sends("forward", &tcp(WEB[family], CHECKOUT[family], FLOW, PSH | ACK), Allowed);
        scene.gets("back", &tcp(CHECKOUT[family], WEB[family], BACK, PSH | ACK), Allowed);
        scene.checkout_sends(
            "at the server's hook",
            &tcp(CHECKOUT[family], WEB[family], BACK, PSH | ACK),
            Allowed,
        );
    }
}

fn e56_what_was_idle_for_too_long_is_judged_anew(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout tcp/443", "web -> checkout udp/53"]);
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.connects(family, FLOW);
        scene.sends("a question", &udp(web, checkout, (40_000, 53), b"x"), Allowed);
        scene.gets("an answer", &udp(checkout, web, (53, 40_000), b"x"), Allowed);
        scene.idle(Duration::from_secs(200));
        scene.gets("an answer too late", &udp(checkout, web, (53, 40_000), b"x"), Denied("no-rule"));
        scene.sends("the next question", &udp(web, checkout, (40_000, 53), b"x"), Allowed);
        scene.sends("TCP goes on", &tcp(web, checkout, FLOW, PSH | ACK), Allowed);
        scene.idle(Duration::from_secs(86_500));
        scene.sends("until a day later", &tcp(web, checkout, FLOW, PSH | ACK), Denied("state"));
        scene.gets("both ways", &tcp(checkout, web, BACK, PSH | ACK), Denied("state"));
        scene.connects(family, FLOW);
    }
}

fn e57_datagrams_pass_back_only_after_a_request(scene: &mut Scene<'_>) {
    scene.rules(&["web -> checkout udp/53"]);
    for family in [0, 1] {
        let [web, checkout, ledger] = [WEB[family], CHECKOUT[family], LEDGER[family]];
        scene.gets("unasked", &udp(checkout, web, (53, 40_053), b"x"), Denied("no-rule"));
        scene.sends("a question", &udp(web, checkout, (40_053, 53), b"x"), Allowed);
        scene.gets("its answer", &udp(checkout, web, (53, 40_053), b"x"), Allowed);
        scene.gets("to another port", &udp(checkout, web, (53, 40_054), b"x"), Denied("no-rule"));
        scene.gets("from another port", &udp(checkout, web, (54, 40_053), b"x"), Denied("no-rule"));
        scene.gets("from somebody else", &udp(ledger, web, (53, 40_053), b"x"), Denied("no-rule"));
        scene.ledger_sends(
            "in the server's name",
            &udp(checkout, web, (53, 40_053), b"x"),
            Denied("spoof-ip"),
        );
    }
}

fn e58_other_transports_pass_by_name_only(scene: &mut Scene<'_>) {
    let init = [&[0x9c, 0x40, 0x0e, 0x8c][..], &[0; 8], &[1, 0, 0, 20], &[0; 16]].concat();
    let bundled = [&init[..], &[0, 3, 0, 17], &[0; 16]].concat();
    for family in [0, 1] {
        let [web, checkout] = [WEB[family], CHECKOUT[family]];
        scene.rules(&["web -> checkout tcp/443"]);
        for (note, number, bytes) in [
            ("SCTP", 132, &init),
            ("bundled SCTP", 132, &bundled),
            ("UDP-Lite", 136, &init),
            ("DCCP", 33, &init),
        ] {
            scene.sends(note, &packet(web, checkout, number, bytes), Denied("proto"));
        }
        scene.rules(&["web -> checkout sctp/3724"]);
        scene.sends("SCTP, named", &packet(web, checkout, 132, &init), Allowed);
        let mut other = init.clone();
        other[3] += 1;
        scene.sends("another port", &packet(web, checkout, 132, &other), Denied("proto"));
        let answer = [&init[2..4], &init[..2], &init[4..]].concat();
        scene.gets("its answer", &packet(checkout, web, 132, &answer), Allowed);
        // Another address of the same association is another flow.
        scene.gets("from another address", &packet(LEDGER[family], web, 132, &answer), Denied("proto"));
        scene.sends("UDP-Lite still isn't", &packet(web, checkout, 136, &init), Denied("proto"));
        scene.sends("eleven bytes of it", &packet(web, checkout, 132, &init[..11]), Denied("malformed"));
    }
}
