//! Packets in sequence: scenarios of (packet at web's hook, expected verdict).

use super::build::*;
use crate::model::{Action, Entity, FlowPolicy, PolicySet, PortSpec, SegmentMode, Selector, Tier};
use crate::reference::{Direction, Packet, Payload, Quoted, TcpFlags, Tracker};
use jiff::ToSpan;

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const PEER: &str = "10.0.0.3";

fn at_web(direction: Direction, source: &str, destination: &str, payload: Payload) -> Packet {
    Packet {
        at: now(),
        subject: "web".into(),
        direction,
        source: ip(source),
        destination: ip(destination),
        payload,
    }
}

fn out(to: &str, payload: Payload) -> Packet {
    let own = if to.contains(':') { "fd00::1" } else { WEB };
    at_web(Direction::Egress, own, to, payload)
}

fn into(from: &str, payload: Payload) -> Packet {
    let own = if from.contains(':') { "fd00::1" } else { WEB };
    at_web(Direction::Ingress, from, own, payload)
}

fn segment_of(sport: u16, dport: u16, flags: TcpFlags) -> Payload {
    Payload::Tcp { sport, dport, flags }
}

fn datagram(sport: u16, dport: u16) -> Payload {
    Payload::Ports { protocol: 17, sport, dport }
}

fn message(kind: u8, code: u8, id: u16) -> Payload {
    Payload::Icmp { kind, code, id, quoted: None }
}

fn error(kind: u8, code: u8, source: &str, destination: &str, payload: Payload) -> Payload {
    let quoted = Quoted { source: ip(source), destination: ip(destination), payload: Box::new(payload) };
    Payload::Icmp { kind, code, id: 0, quoted: Some(quoted) }
}

fn web_may(ports: PortSpec) -> FlowPolicy {
    allow("out", by_label("app=web"), by_entity(Entity::All), ports)
}

fn to_web(ports: PortSpec) -> FlowPolicy {
    allow("in", by_entity(Entity::All), by_label("app=web"), ports)
}

fn tracker(policies: Vec<FlowPolicy>) -> Tracker {
    Tracker::new(shop(policies), vec![], SegmentMode::Enforce)
}

fn expect(scenario: &str, tracker: &mut Tracker, rows: Vec<(&str, Packet, &str)>) {
    for (row, packet, expected) in rows {
        let got = tracker.packet(&packet).expect("web has a hook").to_string();
        assert_eq!(got, expected, "{scenario}: {row}");
    }
}

use TcpFlags as F;

#[test]
fn a_tcp_flow_runs_both_ways_and_starts_with_a_syn() {
    let mut tracker = tracker(vec![web_may(tcp(443))]);
    expect(
        "client",
        &mut tracker,
        vec![
            ("data before all", out(DB, segment_of(5000, 443, F::ACK)), "denied state"),
            ("reply before all", into(DB, segment_of(443, 5000, F::SYN_ACK)), "denied state"),
            ("reset before all", into(DB, segment_of(443, 5000, F::RST)), "denied state"),
            ("syn", out(DB, segment_of(5000, 443, F::SYN)), "allowed out#0"),
            ("syn again", out(DB, segment_of(5000, 443, F::SYN)), "allowed out#0"),
            ("answer", into(DB, segment_of(443, 5000, F::SYN_ACK)), "allowed out#0"),
            ("data", out(DB, segment_of(5000, 443, F::ACK)), "allowed out#0"),
            ("data back", into(DB, segment_of(443, 5000, F::ACK)), "allowed out#0"),
            ("end", out(DB, segment_of(5000, 443, F::FIN_ACK)), "allowed out#0"),
            ("reset", into(DB, segment_of(443, 5000, F::RST)), "allowed out#0"),
            ("another client port", out(DB, segment_of(5001, 443, F::ACK)), "denied state"),
            ("another server", into(PEER, segment_of(443, 5000, F::ACK)), "denied state"),
            ("denied syn", out(DB, segment_of(5000, 444, F::SYN)), "denied no-rule"),
            ("after a denied syn", out(DB, segment_of(5000, 444, F::ACK)), "denied state"),
            ("the peer opens with the same ports", into(DB, segment_of(443, 5000, F::SYN)), "denied no-rule"),
            ("and the flow goes on", out(DB, segment_of(5000, 443, F::ACK)), "allowed out#0"),
            ("tuple of the same ports, other way", out(DB, segment_of(443, 5000, F::ACK)), "denied state"),
        ],
    );
}

#[test]
fn a_syn_on_the_reversed_tuple_takes_it_over_if_the_rules_allow_it() {
    let mut tracker = tracker(vec![web_may(tcp(443)), to_web(tcp(5000))]);
    expect(
        "reversed",
        &mut tracker,
        vec![
            ("web opens", out(DB, segment_of(5000, 443, F::SYN)), "allowed out#0"),
            ("db answers", into(DB, segment_of(443, 5000, F::SYN_ACK)), "allowed out#0"),
            ("db opens", into(DB, segment_of(443, 5000, F::SYN)), "allowed in#0"),
            ("web answers db", out(DB, segment_of(5000, 443, F::SYN_ACK)), "allowed in#0"),
            ("db goes on", into(DB, segment_of(443, 5000, F::ACK)), "allowed in#0"),
        ],
    );
}

#[test]
fn flags_no_stack_sends_are_denied_before_everything() {
    let mut tracker = tracker(vec![anything("a", Action::Allow, Tier::Guardrail)]);
    let opened = tracker.packet(&out(DB, segment_of(1, 2, F::SYN))).unwrap();
    assert!(opened.passes);
    let flags = |text: &str| F {
        fin: text.contains('F'),
        syn: text.contains('S'),
        rst: text.contains('R'),
        ack: text.contains('A'),
    };
    for bits in
        ["", "F", "S", "R", "A", "FS", "FR", "FA", "SR", "SA", "RA", "FSR", "FSA", "FRA", "SRA", "FSRA"]
    {
        let fine = ["S", "R", "A", "SA", "FA", "RA", "FRA"].contains(&bits);
        let expected = if fine { "allowed a#0" } else { "denied tcp-flags" };
        let got = tracker.packet(&out(DB, segment_of(1, 2, flags(bits)))).unwrap().to_string();
        assert_eq!(got, expected, "flags `{bits}`");
    }
}

#[test]
fn udp_and_other_protocols_are_tracked_by_tuple() {
    let sctp = |sport, dport| Payload::Ports { protocol: 132, sport, dport };
    let mut tracker = tracker(vec![
        web_may(udp(53)),
        allow("sctp", by_label("app=web"), by_label("app=db"), PortSpec::Protocol(132)),
        allow("gre", by_label("app=web"), by_label("app=db"), PortSpec::Protocol(47)),
        to_web(udp(6000)),
    ]);
    expect(
        "udp",
        &mut tracker,
        vec![
            ("unasked reply", into(DB, datagram(53, 6001)), "denied no-rule"),
            ("question", out(DB, datagram(6001, 53)), "allowed out#0"),
            ("reply", into(DB, datagram(53, 6001)), "allowed out#0"),
            ("reply from elsewhere", into(PEER, datagram(53, 6001)), "denied no-rule"),
            ("reply to another port", into(DB, datagram(53, 6002)), "denied no-rule"),
            ("of its own right", into(DB, datagram(53, 6000)), "allowed in#0"),
            ("its reply", out(DB, datagram(6000, 53)), "allowed in#0"),
            ("sctp unasked", into(DB, sctp(2, 1)), "denied proto"),
            ("sctp", out(DB, sctp(1, 2)), "allowed sctp#0"),
            ("sctp reply", into(DB, sctp(2, 1)), "allowed sctp#0"),
            ("gre unasked", into(DB, Payload::Other(47)), "denied encap"),
            ("gre", out(DB, Payload::Other(47)), "allowed gre#0"),
            ("gre reply", into(DB, Payload::Other(47)), "allowed gre#0"),
            ("esp", out(DB, Payload::Other(50)), "denied proto"),
        ],
    );
}

#[test]
fn icmp_replies_need_their_request() {
    let mut tracker =
        tracker(vec![web_may(icmp(1, 8, None)), web_may(icmp(58, 128, None)), web_may(icmp(1, 13, None))]);
    expect(
        "icmp",
        &mut tracker,
        vec![
            ("reply before all", into(DB, message(0, 0, 7)), "denied state"),
            ("request", out(DB, message(8, 0, 7)), "allowed out#0"),
            ("reply", into(DB, message(0, 0, 7)), "allowed out#0"),
            ("another identifier", into(DB, message(0, 0, 8)), "denied state"),
            ("another peer", into(PEER, message(0, 0, 7)), "denied state"),
            ("reply sent rather than received", out(DB, message(0, 0, 7)), "denied state"),
            ("request from the other end", into(DB, message(8, 0, 7)), "denied no-rule"),
            ("timestamp reply to an echo", into(DB, message(14, 0, 7)), "denied state"),
            ("timestamp", out(DB, message(13, 0, 7)), "allowed out#0"),
            ("timestamp reply", into(DB, message(14, 0, 7)), "allowed out#0"),
            ("address mask", out(DB, message(17, 0, 7)), "denied no-rule"),
            ("IPv6 reply before all", into("fd00::2", message(129, 0, 7)), "denied state"),
            ("IPv6 request", out("fd00::2", message(128, 0, 7)), "allowed out#0"),
            ("IPv6 reply", into("fd00::2", message(129, 0, 7)), "allowed out#0"),
            ("IPv4's reply type on IPv6 is none", into("fd00::2", message(0, 0, 7)), "denied no-rule"),
            ("address mask reply before all", into(DB, message(18, 0, 7)), "denied state"),
        ],
    );
}

#[test]
fn two_ends_can_ping_each_other_with_one_identifier() {
    let mut tracker = tracker(vec![web_may(icmp(1, 8, None)), to_web(icmp(1, 8, None))]);
    expect(
        "ping",
        &mut tracker,
        vec![
            ("web asks", out(DB, message(8, 0, 7)), "allowed out#0"),
            ("db asks", into(DB, message(8, 0, 7)), "allowed in#0"),
            ("db answers", into(DB, message(0, 0, 7)), "allowed out#0"),
            ("web answers", out(DB, message(0, 0, 7)), "allowed in#0"),
        ],
    );
}

#[test]
fn errors_pass_about_flows_and_are_judged_by_rules_otherwise() {
    let mut tracker = tracker(vec![
        web_may(tcp(443)),
        to_web(udp(53)),
        allow("mtu", by_entity(Entity::World), by_label("app=web"), icmp(1, 3, Some(4))),
    ]);
    let router = "10.9.9.9";
    let sent = || segment_of(5000, 443, F::ACK);
    expect(
        "errors",
        &mut tracker,
        vec![
            ("about nothing", into(PEER, error(3, 1, WEB, DB, sent())), "denied related-unknown"),
            ("about nothing, but a rule has it", into(router, error(3, 4, WEB, DB, sent())), "allowed mtu#0"),
            ("syn", out(DB, segment_of(5000, 443, F::SYN)), "allowed out#0"),
            ("about the flow, from the peer", into(DB, error(3, 3, WEB, DB, sent())), "allowed related"),
            ("from a router", into(router, error(3, 4, WEB, DB, sent())), "allowed related"),
            ("time exceeded", into(router, error(11, 0, WEB, DB, sent())), "allowed related"),
            ("parameter problem", into(router, error(12, 0, WEB, DB, sent())), "allowed related"),
            ("source quench", into(router, error(4, 0, WEB, DB, sent())), "allowed related"),
            ("redirect", into(router, error(5, 1, WEB, DB, sent())), "denied redirect"),
            ("nothing to read", into(router, message(3, 1, 0)), "denied related-unknown"),
            (
                "quotes what the peer sent",
                into(router, error(3, 1, DB, WEB, segment_of(443, 5000, F::ACK))),
                "denied related-unknown",
            ),
            (
                "quotes another port",
                into(router, error(3, 1, WEB, DB, segment_of(5001, 443, F::ACK))),
                "denied related-unknown",
            ),
            (
                "web reports to the peer",
                out(DB, error(3, 4, DB, WEB, segment_of(443, 5000, F::ACK))),
                "allowed related",
            ),
            (
                "web reports to somebody else",
                out(PEER, error(3, 4, DB, WEB, segment_of(443, 5000, F::ACK))),
                "denied related-unknown",
            ),
            ("question to web", into(PEER, datagram(9000, 53)), "allowed in#0"),
            (
                "web has no such port",
                out(PEER, error(3, 3, PEER, WEB, datagram(9000, 53))),
                "allowed related",
            ),
            (
                "a reply was too big",
                into(router, error(3, 1, WEB, PEER, datagram(53, 9000))),
                "allowed related",
            ),
        ],
    );
    tracker.replace(shop(vec![to_web(udp(53))]));
    expect(
        "errors after the flow was revoked",
        &mut tracker,
        vec![("about it", into(router, error(3, 1, WEB, DB, sent())), "denied no-rule")],
    );
}

#[test]
fn errors_on_ipv6_have_their_own_types() {
    let mut tracker = tracker(vec![web_may(udp(53))]);
    let about = |kind| into("fd00::9", error(kind, 0, "fd00::1", "fd00::2", datagram(1, 53)));
    expect(
        "errors",
        &mut tracker,
        vec![
            ("about nothing", about(2), "denied related-unknown"),
            ("opened", out("fd00::2", datagram(1, 53)), "allowed out#0"),
            ("unreachable", about(1), "allowed related"),
            ("too big", about(2), "allowed related"),
            ("time exceeded", about(3), "allowed related"),
            ("parameter problem", about(4), "allowed related"),
            ("IPv4's time exceeded", about(11), "denied no-rule"),
            ("redirect", about(137), "denied redirect"),
        ],
    );
}

#[test]
fn addresses_are_checked_before_flows_and_rules() {
    let mdns = allow("mdns", by_entity(Entity::All), by_cidr("224.0.0.251/32", ""), udp(5353));
    let mut tracker = tracker(vec![anything("a", Action::Allow, Tier::Guardrail), mdns]);
    let u = || datagram(1, 53);
    let egress = |source: &str, destination: &str| at_web(Direction::Egress, source, destination, u());
    let ingress = |source: &str, destination: &str| at_web(Direction::Ingress, source, destination, u());
    expect(
        "addresses",
        &mut tracker,
        vec![
            ("own", egress(WEB, DB), "allowed a#0"),
            ("own, IPv6", egress("fd00::1", "fd00::2"), "allowed a#0"),
            ("another workload's", egress(DB, PEER), "denied spoofed-source"),
            ("nobody's", egress("10.0.0.99", DB), "denied spoofed-source"),
            ("for another", ingress(DB, PEER), "denied foreign-destination"),
            ("for broadcast, not named", ingress(DB, "255.255.255.255"), "denied multicast"),
            (
                "for multicast, named",
                at_web(Direction::Ingress, DB, "224.0.0.251", datagram(5353, 5353)),
                "allowed mdns#0",
            ),
            ("to multicast, not named", egress(WEB, "224.0.0.252"), "denied multicast"),
            ("unspecified", egress("0.0.0.0", DB), "denied martian"),
            ("of this network", egress("0.1.2.3", DB), "denied martian"),
            ("to loopback", egress(WEB, "127.0.0.1"), "denied martian"),
            ("to mapped", egress("fd00::1", "::ffff:10.0.0.2"), "denied martian"),
            ("IPv4-compatible", egress("::10.0.0.1", "fd00::2"), "denied martian"),
            ("IPv6 unspecified", egress("::", "fd00::2"), "denied martian"),
            ("loopback", egress("127.0.0.53", DB), "denied martian"),
            ("IPv6 loopback", ingress("::1", "fd00::1"), "denied martian"),
            ("multicast", ingress("224.0.0.1", WEB), "denied martian"),
            ("IPv6 multicast", ingress("ff02::1", "fd00::1"), "denied martian"),
            ("broadcast", ingress("255.255.255.255", WEB), "denied martian"),
            ("mapped", ingress("::ffff:10.0.0.2", "fd00::1"), "denied martian"),
            (
                "bad flags before martian",
                at_web(Direction::Egress, "0.0.0.0", DB, segment_of(1, 2, F::default())),
                "denied tcp-flags",
            ),
            ("martian before spoofed", egress("127.0.0.1", DB), "denied martian"),
            (
                "spoofed before out of state",
                at_web(Direction::Egress, DB, PEER, segment_of(1, 2, F::ACK)),
                "denied spoofed-source",
            ),
            (
                "bad flags before spoofed",
                at_web(Direction::Egress, DB, PEER, segment_of(1, 2, F::default())),
                "denied tcp-flags",
            ),
        ],
    );
}

#[test]
fn open_flows_follow_every_change_in_both_directions() {
    let before = || vec![web_may(tcp(443))];
    let ended = deny("stop", by_label("app=web"), by_entity(Entity::All), PortSpec::Any);
    let mut relabelled = shop(before());
    relabelled.workloads[0].labels = labels("app=other");
    let mut moved = shop(before());
    moved.workloads[0].addresses = vec![ip("10.0.0.77")];
    let mut off = shop(vec![]);
    off.segments = vec![segment("s", by_label("app=web"), SegmentMode::Off)];
    let mut audit = shop(vec![]);
    audit.segments = vec![segment("s", by_label("app=web"), SegmentMode::Audit)];
    let other = allow("other", by_label("app=web"), by_label("app=db"), tcp(443));
    let rows: Vec<(&str, PolicySet, &str, &str)> = vec![
        ("nothing changed", shop(before()), "allowed out#0", "allowed out#0"),
        ("revoked", shop(vec![]), "denied no-rule", "denied no-rule"),
        ("denied by another", shop(vec![web_may(tcp(443)), ended]), "denied stop#0", "denied stop#0"),
        ("kept by another rule", shop(vec![other]), "allowed other#0", "allowed other#0"),
        (
            "only audited now",
            shop(vec![audited(web_may(tcp(443)))]),
            "audited(dropped) out#0",
            "audited(dropped) out#0",
        ),
        ("the subject's labels changed", relabelled, "denied no-rule", "denied no-rule"),
        ("the subject's address changed", moved, "denied spoofed-source", "denied spoofed-source"),
        ("switched off", off, "allowed segment-off", "allowed segment-off"),
        ("audited segment", audit, "audited(passes) no-rule", "audited(passes) no-rule"),
        (
            "a rule for the other direction doesn't help",
            shop(vec![to_web(PortSpec::Any)]),
            "denied no-rule",
            "denied no-rule",
        ),
    ];
    for (row, set, sent, received) in rows {
        let mut tracker = tracker(before());
        expect(row, &mut tracker, vec![("syn", out(DB, segment_of(5000, 443, F::SYN)), "allowed out#0")]);
        tracker.replace(set);
        expect(
            row,
            &mut tracker,
            vec![
                ("sent", out(DB, segment_of(5000, 443, F::ACK)), sent),
                ("received", into(DB, segment_of(443, 5000, F::ACK)), received),
            ],
        );
        tracker.replace(shop(before()));
        expect(
            row,
            &mut tracker,
            vec![("allowed again, as before", into(DB, segment_of(443, 5000, F::ACK)), "allowed out#0")],
        );
    }
}

#[test]
fn a_flow_ends_when_its_rule_expires() {
    let expires = now() + 10.seconds();
    let mut tracker = tracker(vec![FlowPolicy { expires: Some(expires), ..web_may(udp(53)) }]);
    let at = |at, packet| Packet { at, ..packet };
    let (question, answer) = (|| out(DB, datagram(1, 53)), || into(DB, datagram(53, 1)));
    expect(
        "expiry",
        &mut tracker,
        vec![
            ("opened", question(), "allowed out#0"),
            ("answered", answer(), "allowed out#0"),
            ("just before", at(expires - 1.nanosecond(), answer()), "allowed out#0"),
            ("sent at the instant", at(expires, question()), "denied no-rule"),
            ("received at the instant", at(expires, answer()), "denied no-rule"),
        ],
    );
}

#[test]
fn what_an_audited_segment_lets_through_is_a_flow() {
    let mut set = shop(vec![]);
    set.segments = vec![segment("s", by_label("app=web"), SegmentMode::Audit)];
    let mut tracker = Tracker::new(set, vec![], SegmentMode::Enforce);
    expect(
        "audit",
        &mut tracker,
        vec![
            ("data without a flow", out(DB, segment_of(1, 2, F::ACK)), "audited(passes) state"),
            ("that opened none", into(DB, segment_of(2, 1, F::ACK)), "audited(passes) state"),
            (
                "spoofed",
                at_web(Direction::Egress, DB, PEER, datagram(1, 2)),
                "audited(passes) spoofed-source",
            ),
            ("syn", out(DB, segment_of(1, 2, F::SYN)), "audited(passes) no-rule"),
            ("data", out(DB, segment_of(1, 2, F::ACK)), "audited(passes) no-rule"),
            ("data back", into(DB, segment_of(2, 1, F::ACK)), "audited(passes) no-rule"),
            ("error", into(DB, error(3, 1, WEB, DB, segment_of(1, 2, F::ACK))), "allowed related"),
        ],
    );
    tracker.replace(shop(vec![web_may(tcp(2))]));
    expect(
        "then enforced, with a rule",
        &mut tracker,
        vec![("data goes on", out(DB, segment_of(1, 2, F::ACK)), "allowed out#0")],
    );
}

#[test]
fn a_hook_that_is_off_remembers_nothing() {
    let off = || {
        let mut set = shop(vec![web_may(tcp(2))]);
        set.segments = vec![segment("s", by_label("app=web"), SegmentMode::Off)];
        set
    };
    let mut tracker = Tracker::new(off(), vec![], SegmentMode::Enforce);
    expect(
        "off",
        &mut tracker,
        vec![
            ("syn", out(DB, segment_of(1, 2, F::SYN)), "allowed segment-off"),
            (
                "nonsense",
                at_web(Direction::Egress, "0.0.0.0", DB, segment_of(1, 2, F::default())),
                "allowed segment-off",
            ),
        ],
    );
    tracker.replace(shop(vec![web_may(tcp(2))]));
    expect("on", &mut tracker, vec![("data", out(DB, segment_of(1, 2, F::ACK)), "denied state")]);
}

#[test]
fn each_subject_has_its_own_flows_and_some_have_no_hook() {
    let everything: Selector = by_entity(Entity::All);
    let mut tracker = tracker(vec![allow("a", everything.clone(), everything, tcp(2))]);
    expect("web", &mut tracker, vec![("syn", out(DB, segment_of(1, 2, F::SYN)), "allowed a#0")]);
    let at = |subject: &str, packet: Packet| Packet { subject: subject.into(), ..packet };
    let at_db = at("db", at_web(Direction::Ingress, WEB, DB, segment_of(1, 2, F::ACK)));
    assert_eq!(tracker.packet(&at_db).unwrap().to_string(), "denied state");
    let at_peer = at("peer", at_web(Direction::Ingress, WEB, PEER, segment_of(1, 2, F::SYN)));
    assert_eq!(tracker.packet(&at_peer), None);
    assert_eq!(tracker.packet(&at("nobody", out(DB, segment_of(1, 2, F::SYN)))), None);
}

#[test]
fn nothing_comes_from_a_group_however_it_was_spoken_to() {
    let mdns = allow("mdns", by_label("app=web"), by_cidr("224.0.0.251/32", ""), udp(5353));
    let mut tracker = tracker(vec![mdns]);
    let group = "224.0.0.251";
    expect(
        "mdns",
        &mut tracker,
        vec![
            ("to the group", out(group, datagram(5353, 5353)), "allowed mdns#0"),
            ("from the group", into(group, datagram(5353, 5353)), "denied martian"),
            ("from a member", into(DB, datagram(5353, 5353)), "denied no-rule"),
        ],
    );
}

#[test]
fn an_error_about_a_single_message_is_related_and_from_its_target_only() {
    let mut tracker = tracker(vec![web_may(icmp(1, 42, None)), web_may(udp(53))]);
    let router = "10.9.9.9";
    expect(
        "messages",
        &mut tracker,
        vec![
            (
                "about nothing",
                into(router, error(3, 1, WEB, DB, message(42, 0, 0))),
                "denied related-unknown",
            ),
            ("a message", out(DB, message(42, 0, 5)), "allowed out#0"),
            ("about it", into(router, error(3, 1, WEB, DB, message(42, 0, 5))), "allowed related"),
            ("the same message back", into(DB, message(42, 0, 5)), "denied no-rule"),
            (
                "an error about an error",
                into(router, error(3, 1, WEB, DB, message(3, 1, 0))),
                "denied related-unknown",
            ),
            ("no flow about errors", out(DB, message(3, 1, 0)), "denied related-unknown"),
        ],
    );
}

#[test]
fn a_subject_reports_only_from_where_the_packet_went() {
    let mut set = shop(vec![to_web(udp(53))]);
    set.workloads[0].addresses.push(ip("10.0.0.11"));
    let mut tracker = Tracker::new(set, vec![], SegmentMode::Enforce);
    let report =
        |from: &str| at_web(Direction::Egress, from, PEER, error(3, 3, PEER, WEB, datagram(9000, 53)));
    expect(
        "reports",
        &mut tracker,
        vec![
            ("question", into(PEER, datagram(9000, 53)), "allowed in#0"),
            ("from the asked address", report(WEB), "allowed related"),
            ("from another of its own", report("10.0.0.11"), "denied related-unknown"),
        ],
    );
}
