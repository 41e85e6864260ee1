//! Tiers, precedence, audit, expiry and the reasons where no rule decides.

use super::build::*;
use crate::model::{Action, Entity, FlowPolicy, PolicySet, PortSpec, SegmentMode, Tier};
use crate::reference::{RuleAnswer, World};

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";

fn decide<'a>(set: &'a PolicySet, from: &str, to: &str, protocol: u8, port: u16) -> RuleAnswer<'a> {
    let world = World { set, hosts: &[], default_mode: SegmentMode::Enforce, now: now() };
    world.decide(&world.end(ip(from)), &world.end(ip(to)), protocol, port)
}

fn web_to_db() -> FlowPolicy {
    allow("web-db", by_label("app=web"), by_label("app=db"), tcp(5432))
}

#[test]
fn the_deciding_rule_is_the_first_by_tier_action_and_order() {
    use Action::{Allow, Deny};
    use Tier::{Application, Baseline, Guardrail};
    let mut two = anything("two", Allow, Application);
    two.flows.push(anything("x", Deny, Application).flows.remove(0));
    two.flows.push(anything("x", Deny, Application).flows.remove(0));
    let rows: Vec<(&str, Vec<FlowPolicy>, &str)> = vec![
        ("nothing", vec![], "denied no-rule"),
        ("an allow", vec![anything("a", Allow, Application)], "allowed a#0"),
        ("a deny", vec![anything("d", Deny, Application)], "denied d#0"),
        (
            "deny beats allow in a tier",
            vec![anything("a", Allow, Application), anything("d", Deny, Application)],
            "denied d#0",
        ),
        (
            "guardrail deny beats application allow",
            vec![anything("a", Allow, Application), anything("g", Deny, Guardrail)],
            "denied g#0",
        ),
        (
            "guardrail allow beats application deny",
            vec![anything("d", Deny, Application), anything("g", Allow, Guardrail)],
            "allowed g#0",
        ),
        (
            "application allow beats baseline deny",
            vec![anything("b", Deny, Baseline), anything("a", Allow, Application)],
            "allowed a#0",
        ),
        ("baseline alone", vec![anything("b", Allow, Baseline)], "allowed b#0"),
        (
            "a tier without a match is passed over",
            vec![deny("g", by_label("app=db"), by_label("app=web"), PortSpec::Any), web_to_db()],
            "allowed web-db#0",
        ),
        (
            "first allow in reading order",
            vec![anything("first", Allow, Application), anything("second", Allow, Application)],
            "allowed first#0",
        ),
        (
            "first deny in reading order",
            vec![anything("first", Deny, Application), anything("second", Deny, Application)],
            "denied first#0",
        ),
        ("first deny within a policy", vec![two], "denied two#1"),
    ];
    for (row, policies, expected) in rows {
        let set = shop(policies);
        assert_eq!(decide(&set, WEB, DB, 6, 5432).verdict.to_string(), expected, "{row}");
    }
}

#[test]
fn source_destination_and_port_must_all_match_in_their_places() {
    let set = shop(vec![web_to_db()]);
    let rows = [
        ("as written", WEB, DB, 6, 5432, "allowed web-db#0"),
        ("as written, IPv6", "fd00::1", "fd00::2", 6, 5432, "allowed web-db#0"),
        ("the other way round", DB, WEB, 6, 5432, "denied no-rule"),
        ("another port", WEB, DB, 6, 5433, "denied no-rule"),
        ("another protocol", WEB, DB, 17, 5432, "denied no-rule"),
        ("another source", "10.0.0.3", DB, 6, 5432, "denied no-rule"),
        ("another destination", WEB, "10.0.0.3", 6, 5432, "denied no-rule"),
        ("to itself", WEB, WEB, 6, 5432, "denied no-rule"),
    ];
    for (row, from, to, protocol, port, expected) in rows {
        assert_eq!(decide(&set, from, to, protocol, port).verdict.to_string(), expected, "{row}");
    }
}

#[test]
fn a_cidr_matches_the_subject_itself_too() {
    let set = shop(vec![allow("c", by_cidr("10.0.0.0/31", ""), by_cidr("10.0.0.2/32", ""), tcp(1))]);
    assert_eq!(decide(&set, WEB, DB, 6, 1).verdict.to_string(), "allowed c#0");
    assert_eq!(decide(&set, "fd00::1", "fd00::2", 6, 1).verdict.to_string(), "denied no-rule");
}

#[test]
fn an_audited_policy_is_left_out_and_reported_where_it_differs() {
    use Action::{Allow, Deny};
    use Tier::{Application, Guardrail};
    let rows: Vec<(&str, Vec<FlowPolicy>, &str)> = vec![
        ("would allow", vec![audited(web_to_db())], "audited(dropped) web-db#0"),
        ("would deny", vec![web_to_db(), audited(anything("d", Deny, Guardrail))], "audited(passes) d#0"),
        (
            "allows what is allowed: the enforced rule is the cause",
            vec![audited(anything("a", Allow, Guardrail)), web_to_db()],
            "allowed web-db#0",
        ),
        (
            "denies what no rule allows: nothing differs",
            vec![audited(anything("d", Deny, Guardrail))],
            "denied no-rule",
        ),
        (
            "would allow over an enforced deny",
            vec![anything("d", Deny, Application), audited(anything("a", Allow, Guardrail))],
            "audited(dropped) a#0",
        ),
        (
            "hidden behind an enforced rule",
            vec![anything("g", Allow, Guardrail), audited(anything("d", Deny, Application))],
            "allowed g#0",
        ),
        (
            "two audited ones that cancel out",
            vec![audited(web_to_db()), audited(anything("d", Deny, Application))],
            "denied no-rule",
        ),
    ];
    for (row, policies, expected) in rows {
        let set = shop(policies);
        assert_eq!(decide(&set, WEB, DB, 6, 5432).verdict.to_string(), expected, "{row}");
    }
    let set = shop(vec![web_to_db(), audited(anything("d", Deny, Guardrail))]);
    let answer = decide(&set, WEB, DB, 6, 5432);
    assert_eq!(answer.enforced.unwrap().to_string(), "web-db#0", "both answers are kept: enforced");
    assert_eq!(answer.full.unwrap().to_string(), "d#0", "both answers are kept: full");
    assert_eq!(answer.full.unwrap().entry().origin, origin(2), "the origin is the entry's");
}

#[test]
fn an_expired_policy_no_longer_matches() {
    let rows = [
        ("a second before it expires", "2026-06-01T12:00:01Z", "allowed web-db#0"),
        ("at the instant itself", "2026-06-01T12:00:00Z", "denied no-rule"),
        ("long past", "2020-01-01T00:00:00Z", "denied no-rule"),
    ];
    for (row, expires, expected) in rows {
        let set = shop(vec![FlowPolicy { expires: Some(expires.parse().unwrap()), ..web_to_db() }]);
        assert_eq!(decide(&set, WEB, DB, 6, 5432).verdict.to_string(), expected, "{row}");
    }
    let ended = anything("d", Action::Deny, Tier::Guardrail);
    let set = shop(vec![FlowPolicy { expires: Some(now()), ..ended }, web_to_db()]);
    assert_eq!(decide(&set, WEB, DB, 6, 5432).verdict.to_string(), "allowed web-db#0", "an expired deny");
}

#[test]
fn where_no_rule_decides_the_reason_tells_why() {
    let set = shop(vec![]);
    let rows = [
        ("tcp", DB, 6, 80, "no-rule"),
        ("udp", DB, 17, 53, "no-rule"),
        ("echo request", DB, 1, 0x0800, "no-rule"),
        ("icmp error", DB, 1, 0x0304, "related-unknown"),
        ("icmp time exceeded", DB, 1, 0x0b00, "related-unknown"),
        ("icmp parameter problem", DB, 1, 0x0c00, "related-unknown"),
        ("source quench", DB, 1, 0x0400, "related-unknown"),
        ("icmpv6 too big", "fd00::2", 58, 0x0200, "related-unknown"),
        ("icmpv6 echo", "fd00::2", 58, 0x8000, "no-rule"),
        ("vxlan", DB, 17, 4789, "encap"),
        ("vxlan of Linux", DB, 17, 8472, "encap"),
        ("geneve", DB, 17, 6081, "encap"),
        ("tcp to vxlan's port", DB, 6, 4789, "no-rule"),
        ("gre", DB, 47, 0, "encap"),
        ("ip in ip", DB, 4, 0, "encap"),
        ("sctp", DB, 132, 38412, "proto"),
        ("esp", DB, 50, 0, "proto"),
        ("multicast before all else", "224.0.0.1", 47, 0, "multicast"),
        ("broadcast", "255.255.255.255", 17, 68, "multicast"),
        ("multicast icmp error", "224.0.0.1", 1, 0x0304, "multicast"),
    ];
    for (row, to, protocol, port, reason) in rows {
        let verdict = decide(&set, WEB, to, protocol, port).verdict;
        assert_eq!(verdict.to_string(), format!("denied {reason}"), "{row}");
    }
    let set = shop(vec![anything("d", Action::Deny, Tier::Baseline)]);
    assert_eq!(
        decide(&set, WEB, DB, 132, 1).verdict.to_string(),
        "denied d#0",
        "a deny rule is its own cause"
    );
}

#[test]
fn any_to_all_reaches_neither_tunnels_nor_multicast() {
    let gre = allow("gre", by_label("app=web"), by_label("app=db"), PortSpec::Protocol(47));
    let mdns = allow("mdns", by_entity(Entity::All), by_cidr("224.0.0.251/32", ""), udp(5353));
    let open = anything("open", Action::Allow, Tier::Baseline);
    let narrow = shop(vec![open.clone()]);
    let named = shop(vec![open, gre, mdns]);
    let rows = [
        ("gre", DB, 47, 0, "denied encap", "allowed gre#0"),
        ("multicast", "224.0.0.251", 17, 5353, "denied multicast", "allowed mdns#0"),
        ("another group", "224.0.0.252", 17, 5353, "denied multicast", "denied multicast"),
        ("esp", DB, 50, 0, "allowed open#0", "allowed open#0"),
        ("the world", "198.51.100.1", 6, 1, "allowed open#0", "allowed open#0"),
    ];
    for (row, to, protocol, port, without, with) in rows {
        assert_eq!(decide(&narrow, WEB, to, protocol, port).verdict.to_string(), without, "{row}: any");
        assert_eq!(decide(&named, WEB, to, protocol, port).verdict.to_string(), with, "{row}: named");
    }
}
