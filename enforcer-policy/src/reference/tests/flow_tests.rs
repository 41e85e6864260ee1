//! FlowTests, judged by the reference.

use super::build::*;
use crate::model::{
    Action, Endpoint, Entity, Expectation, FlowCase, FlowTest, PolicySet, PortSpec, SegmentMode, Tier,
};
use crate::reference::{World, run_flow_tests};

fn named(name: &str) -> Endpoint {
    Endpoint::Workload(name.into())
}

fn labelled(text: &str) -> Endpoint {
    Endpoint::Labels(labels(text))
}

/// Whether one case holds of `set`, and on how many paths.
fn run(
    set: &PolicySet,
    from: &Endpoint,
    to: &Endpoint,
    port: PortSpec,
    expect: Expectation,
) -> (bool, usize) {
    let case = FlowCase { origin: origin(3), from: from.clone(), to: to.clone(), port, expect };
    let test = FlowTest { name: "t".into(), origin: origin(1), cases: vec![case], properties: Vec::new() };
    let set = PolicySet { tests: vec![test], ..set.clone() };
    let world = World { set: &set, hosts: &[], default_mode: SegmentMode::Enforce, now: now() };
    let outcomes = run_flow_tests(&world);
    assert_eq!(outcomes.len(), 1);
    (outcomes[0].holds(), outcomes[0].paths.len())
}

#[test]
fn a_case_stands_for_every_pair_its_ends_name() {
    use Expectation::{Allow, Deny};
    let both = allow("web-db", by_label("app=web"), by_label("app=db"), tcp(5432));
    let four = allow("peer-db", by_cidr("10.0.0.3/32", ""), by_label("app=db"), tcp(5432));
    let six = allow("six", by_cidr("fd00::1/128", ""), by_label("app=db"), tcp(99));
    let open = allow("open", by_cidr("0.0.0.0/0", "10.0.0.0/8"), by_label("app=db"), tcp(443));
    let office = allow("office", by_cidr("192.0.2.0/24", ""), by_label("app=db"), tcp(22));
    let ping = allow("ping", by_label("app=web"), by_label("app=db"), icmp(1, 8, None));
    let mut set = shop(vec![both, four, six, open, office, ping]);
    set.groups.push(group("printers", "zone=printers", "192.0.2.0/28"));
    let web = labelled("app=web,env=prod");
    let db = labelled("app=db,env=prod");
    let world = Endpoint::Entity(Entity::World);
    let host = Endpoint::Entity(Entity::Host);
    let echo = icmp(1, 8, None);
    let rows = [
        ("labels of workloads, both families", &web, &db, tcp(5432), Allow, (true, 2)),
        ("not exactly their labels: somebody else", &labelled("app=web"), &db, tcp(5432), Allow, (true, 2)),
        ("allowed in one family only: not allowed", &web, &db, tcp(99), Allow, (false, 2)),
        ("allowed in one family only: not denied", &web, &db, tcp(99), Deny, (false, 2)),
        ("by name", &named("web"), &named("db"), tcp(5432), Allow, (true, 2)),
        ("one family in common", &named("peer"), &db, tcp(5432), Allow, (true, 1)),
        ("unknown name: never holds", &named("nobody"), &db, tcp(5432), Deny, (false, 0)),
        ("unknown labels, denied", &labelled("app=x"), &db, tcp(5432), Deny, (true, 2)),
        (
            "a narrow block doesn't hold unknown labels",
            &labelled("app=peer,x=y"),
            &db,
            tcp(5432),
            Deny,
            (true, 2),
        ),
        ("the world in one family only", &world, &db, tcp(443), Allow, (false, 2)),
        ("the world, denied", &world, &db, tcp(5432), Deny, (true, 2)),
        ("the host is not held by narrow blocks", &host, &db, tcp(22), Deny, (true, 2)),
        ("an address of a workload", &Endpoint::Address(ip("10.0.0.1")), &db, tcp(5432), Allow, (true, 1)),
        ("an address of the world", &Endpoint::Address(ip("198.51.100.1")), &db, tcp(443), Allow, (true, 1)),
        ("an address of the exception", &Endpoint::Address(ip("10.9.9.9")), &db, tcp(443), Deny, (true, 1)),
        (
            "a group at its first address, were it not another's",
            &labelled("zone=office"),
            &db,
            tcp(22),
            Deny,
            (true, 2),
        ),
        ("a group at its first address", &labelled("zone=printers"), &db, tcp(22), Allow, (true, 1)),
        ("icmp is judged on IPv4 only", &web, &db, echo, Allow, (true, 1)),
        ("icmpv6 on IPv6 only", &web, &db, icmp(58, 128, None), Deny, (true, 1)),
    ];
    for (row, from, to, port, expect, expected) in rows {
        assert_eq!(run(&set, from, to, port, expect), expected, "{row}");
    }
}

#[test]
fn expectations_are_words_not_what_happens() {
    use Expectation::{Allow, Audit, Deny};
    let (web, db) = (named("web"), named("db"));
    let open = || anything("a", Action::Allow, Tier::Application);
    let shut = || anything("d", Action::Deny, Tier::Guardrail);
    let cases = [
        ("allowed", shop(vec![open()]), Allow),
        ("denied", shop(vec![]), Deny),
        ("would be allowed", shop(vec![audited(open())]), Audit),
        ("would be denied", shop(vec![open(), audited(shut())]), Audit),
    ];
    for (row, set, word) in cases {
        for expect in [Allow, Deny, Audit] {
            let (holds, _) = run(&set, &web, &db, tcp(1), expect);
            assert_eq!(holds, expect == word, "{row}, expecting {expect:?}");
        }
    }
}
