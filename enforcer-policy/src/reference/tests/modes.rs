//! Modes, and whole paths through two hooks.

use super::build::*;
use crate::model::{Action, Entity, FlowPolicy, PolicySet, Segment, SegmentMode, Tier};
use crate::reference::{Direction, Place, World};

fn world(set: &PolicySet, default_mode: SegmentMode) -> World<'_> {
    World { set, hosts: &[], default_mode, now: now() }
}

#[test]
fn the_strictest_segment_wins_and_the_default_only_where_there_is_none() {
    use SegmentMode::{Audit, Enforce, Off};
    let prod = || by_label("env=prod");
    let rows: Vec<(&str, Vec<Segment>, SegmentMode, SegmentMode)> = vec![
        ("no segment", vec![], Audit, Audit),
        ("another's segment", vec![segment("s", by_label("app=db"), Off)], Enforce, Enforce),
        ("one", vec![segment("s", prod(), Audit)], Enforce, Audit),
        ("laxer than the default", vec![segment("s", prod(), Off)], Enforce, Off),
        ("audit over off", vec![segment("a", prod(), Audit), segment("b", prod(), Off)], Enforce, Audit),
        (
            "enforce over audit",
            vec![segment("a", prod(), Audit), segment("b", prod(), Enforce)],
            Off,
            Enforce,
        ),
        ("by its address", vec![segment("s", by_cidr("10.0.0.1/32", ""), Audit)], Enforce, Audit),
        ("by any of its addresses", vec![segment("s", by_cidr("fd00::1/128", ""), Audit)], Enforce, Audit),
        ("all", vec![segment("s", by_entity(Entity::All), Audit)], Enforce, Audit),
        ("workloads", vec![segment("s", by_entity(Entity::Workloads), Audit)], Enforce, Audit),
        ("the world isn't a workload", vec![segment("s", by_entity(Entity::World), Off)], Enforce, Enforce),
        (
            "one address excepted, the other not held",
            vec![segment("s", by_cidr("10.0.0.0/24", "10.0.0.1/32"), Off)],
            Enforce,
            Enforce,
        ),
    ];
    for (row, segments, default, expected) in rows {
        let set = PolicySet { segments, ..shop(vec![]) };
        assert_eq!(world(&set, default).mode(&set.workloads[0]), expected, "{row}");
    }
}

#[test]
fn a_mode_changes_what_happens_at_its_own_hook() {
    let allow_it = || anything("a", Action::Allow, Tier::Application);
    let rows: Vec<(&str, Vec<FlowPolicy>, SegmentMode, &str)> = vec![
        ("enforce, denied", vec![], SegmentMode::Enforce, "denied no-rule"),
        ("audit, denied", vec![], SegmentMode::Audit, "audited(passes) no-rule"),
        ("audit, allowed", vec![allow_it()], SegmentMode::Audit, "allowed a#0"),
        ("audit, audited and dropped", vec![audited(allow_it())], SegmentMode::Audit, "audited(passes) a#0"),
        (
            "enforce, audited and dropped",
            vec![audited(allow_it())],
            SegmentMode::Enforce,
            "audited(dropped) a#0",
        ),
        ("off, denied", vec![], SegmentMode::Off, "allowed segment-off"),
        ("off, allowed", vec![allow_it()], SegmentMode::Off, "allowed segment-off"),
    ];
    for (row, policies, mode, expected) in rows {
        let set = shop(policies);
        let world = world(&set, mode);
        let peer = world.end(ip("10.0.0.3"));
        for direction in [Direction::Egress, Direction::Ingress] {
            let verdict =
                world.judge_hook(&set.workloads[0], Place::At(ip("10.0.0.1")), direction, &peer, 6, 80);
            assert_eq!(verdict.to_string(), expected, "{row}, {direction:?}");
        }
    }
}

#[test]
fn a_path_passes_if_every_hook_on_it_does() {
    use SegmentMode::{Audit, Enforce, Off};
    let (web, db, peer) = ("10.0.0.1", "10.0.0.2", "10.0.0.3");
    let allow_it = || anything("a", Action::Allow, Tier::Application);
    // Modes of web and db.
    let rows = [
        ("both enforce", (Enforce, Enforce), vec![], web, db, "denied no-rule"),
        ("source lets it through, destination doesn't", (Audit, Enforce), vec![], web, db, "denied no-rule"),
        (
            "destination would let it through, source doesn't",
            (Enforce, Audit),
            vec![],
            web,
            db,
            "denied no-rule",
        ),
        ("both audit", (Audit, Audit), vec![], web, db, "audited(passes) no-rule"),
        ("source off, destination enforces", (Off, Enforce), vec![], web, db, "denied no-rule"),
        ("source off, destination audits", (Off, Audit), vec![], web, db, "audited(passes) no-rule"),
        ("source off, allowed", (Off, Enforce), vec![allow_it()], web, db, "allowed a#0"),
        ("destination off, allowed", (Enforce, Off), vec![allow_it()], web, db, "allowed a#0"),
        ("both off", (Off, Off), vec![], web, db, "allowed segment-off"),
        ("only the source has a hook", (Off, Enforce), vec![], web, peer, "allowed segment-off"),
        ("only the destination has a hook", (Enforce, Off), vec![], peer, db, "allowed segment-off"),
        ("from the world", (Off, Enforce), vec![], "198.51.100.1", db, "denied no-rule"),
        ("no hook at all: the rules", (Off, Off), vec![allow_it()], peer, "192.0.2.1", "allowed a#0"),
        ("no hook and no rule", (Off, Off), vec![], peer, "192.0.2.1", "denied no-rule"),
        ("to itself", (Audit, Off), vec![], web, web, "audited(passes) no-rule"),
    ];
    for (row, (of_web, of_db), policies, from, to, expected) in rows {
        let mut set = shop(policies);
        set.segments =
            vec![segment("web", by_label("app=web"), of_web), segment("db", by_label("app=db"), of_db)];
        let world = world(&set, Enforce);
        let path = world.judge_path(&world.end(ip(from)), &world.end(ip(to)), 6, 80);
        assert_eq!(path.verdict.to_string(), expected, "{row}");
    }
}
