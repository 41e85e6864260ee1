//! Who an address is, and which selectors mean it.

use super::build::*;
use crate::model::{Entity, Labels, Lease, Operator, PolicySet, SegmentMode, Selector};
use crate::reference::{End, Family, Identity, Place, World, selects};
use jiff::SignedDuration;
use std::net::IpAddr;

const WEB: &str = "10.0.0.1";
const OFFICE: &str = "192.0.2.9";
const HOST: &str = "10.0.0.5";
const OUTSIDE: &str = "198.51.100.1";
const GROUPCAST: &str = "224.0.0.251";

fn world<'a>(set: &'a PolicySet, hosts: &'a [IpAddr]) -> World<'a> {
    World { set, hosts, default_mode: SegmentMode::Enforce, now: now() }
}

fn name_of(identity: Identity<'_>) -> &str {
    match identity {
        Identity::Workload(workload) => &workload.name,
        Identity::Group(group) => &group.name,
        Identity::Labelled(_) => "(labelled)",
        Identity::Host => "(host)",
        Identity::Multicast => "(multicast)",
        Identity::World => "(world)",
    }
}

#[test]
fn an_address_is_who_the_precedence_says() {
    let mut set = shop(vec![]);
    set.groups = vec![
        group("ten", "zone=ten", "10.0.0.0/8 fd00::/16"),
        group("net", "zone=net", "10.0.0.0/24 fd00::/64"),
        group("one", "zone=one", "10.0.0.1/32 10.0.0.9/32"),
        group("upper", "zone=upper", "192.0.0.0/2"),
    ];
    let hosts = [ip("10.0.0.5"), ip("10.0.0.2"), ip("10.0.0.9")];
    let rows = [
        ("workload beats a group of one address", "10.0.0.1", "web"),
        ("workload beats host", "10.0.0.2", "db"),
        ("host beats a group", "10.0.0.5", "(host)"),
        ("host beats a group of one address", "10.0.0.9", "(host)"),
        ("longest prefix, not first written", "10.0.0.77", "net"),
        ("shorter prefix outside the longer", "10.0.1.0", "ten"),
        ("last address of the longer", "10.0.0.255", "net"),
        ("IPv6 longest prefix", "fd00::77", "net"),
        ("IPv6 shorter prefix", "fd00:0:0:1::", "ten"),
        ("nothing names it", "11.0.0.0", "(world)"),
        ("IPv4 and IPv6 don't mix", "::10.0.0.1", "(world)"),
        ("below multicast", "223.255.255.255", "upper"),
        ("first multicast", "224.0.0.0", "(multicast)"),
        ("last multicast", "239.255.255.255", "(multicast)"),
        ("above multicast", "240.0.0.0", "upper"),
        ("broadcast", "255.255.255.255", "(multicast)"),
        ("IPv6 multicast", "ff02::1", "(multicast)"),
        ("below IPv6 multicast", "feff::1", "(world)"),
    ];
    for (row, address, expected) in rows {
        assert_eq!(name_of(world(&set, &hosts).identify(ip(address))), expected, "{row}");
    }
}

#[test]
fn a_selector_means_what_its_form_says() {
    let set = shop(vec![]);
    let hosts = [ip(HOST)];
    let everything = [WEB, OFFICE, HOST, OUTSIDE, GROUPCAST];
    let prod = values("prod");
    let mut both = by_label("app=web");
    if let Selector::Labels(selector) = &mut both
        && let Selector::Labels(other) = by_expression("env", Operator::NotIn(prod.clone()))
    {
        selector.expressions = other.expressions;
    }
    let rows: Vec<(&str, Selector, &[&str])> = vec![
        ("one label", by_label("app=web"), &[WEB]),
        ("all labels of several", by_label("app=web,env=prod"), &[WEB]),
        ("one of two labels differs", by_label("app=web,env=dev"), &[]),
        ("a group by label", by_label("zone=office"), &[OFFICE]),
        ("in", by_expression("env", Operator::In(values("dev prod"))), &[WEB]),
        ("in, other values", by_expression("env", Operator::In(values("dev"))), &[]),
        ("notIn: absent key counts, no labels don't", by_expression("env", Operator::NotIn(prod)), &[OFFICE]),
        ("notIn, other values", by_expression("env", Operator::NotIn(values("dev"))), &[WEB, OFFICE]),
        ("exists", by_expression("env", Operator::Exists(true)), &[WEB]),
        ("not exists: only labelled", by_expression("env", Operator::Exists(false)), &[OFFICE]),
        ("labels and expressions: all of them", both, &[]),
        ("host", by_entity(Entity::Host), &[HOST]),
        ("world", by_entity(Entity::World), &[OUTSIDE]),
        ("workloads, groups included", by_entity(Entity::Workloads), &[WEB, OFFICE]),
        ("all but multicast", by_entity(Entity::All), &[WEB, OFFICE, HOST, OUTSIDE]),
        ("cidr of a labelled peer", by_cidr("10.0.0.0/30", ""), &[WEB]),
        ("cidr of anything", by_cidr("0.0.0.0/0", ""), &[WEB, OFFICE, HOST, OUTSIDE]),
        ("cidr without its exception", by_cidr("0.0.0.0/0", "10.0.0.0/8"), &[OFFICE, OUTSIDE]),
        ("exception of one address", by_cidr("10.0.0.0/24", "10.0.0.1/32"), &[HOST]),
        ("several blocks", by_cidr("10.0.0.1/32 198.51.100.0/24", ""), &[WEB, OUTSIDE]),
        ("exceptions apply to all blocks", by_cidr("10.0.0.0/8 10.0.0.5/32", "10.0.0.4/30"), &[WEB]),
        ("cidr of the other family", by_cidr("::/0", ""), &[]),
        ("a block that holds multicast doesn't name it", by_cidr("192.0.0.0/2", ""), &[OFFICE, OUTSIDE]),
        ("a block of multicast", by_cidr("224.0.0.0/4", ""), &[GROUPCAST]),
        ("a block in multicast", by_cidr("224.0.0.251/32", ""), &[GROUPCAST]),
        ("multicast with an exception", by_cidr("224.0.0.0/4", "224.0.0.0/24"), &[]),
    ];
    let world = world(&set, &hosts);
    for (row, selector, expected) in rows {
        for address in everything {
            let got = selects(std::slice::from_ref(&selector), &world.end(ip(address)), now());
            assert_eq!(got, expected.contains(&address), "{row}: {address}");
        }
    }
}

#[test]
fn broadcast_and_ipv6_multicast_are_named_by_their_own_blocks_only() {
    let set = PolicySet::default();
    let rows = [
        ("broadcast itself", "255.255.255.255/32", "255.255.255.255", true),
        ("two addresses with broadcast among them", "255.255.255.254/31", "255.255.255.255", false),
        ("multicast isn't broadcast", "224.0.0.0/4", "255.255.255.255", false),
        ("a block that is one shorter than multicast", "224.0.0.0/3", "224.0.0.1", false),
        ("half of multicast", "224.0.0.0/5", "224.0.0.1", true),
        ("the other half", "232.0.0.0/5", "224.0.0.1", false),
        ("IPv6 multicast", "ff00::/8", "ff02::fb", true),
        ("one shorter", "fe00::/7", "ff02::fb", false),
        ("all of IPv6", "::/0", "ff02::fb", false),
    ];
    for (row, block, address, expected) in rows {
        let end = world(&set, &[]).end(ip(address));
        assert_eq!(selects(&[by_cidr(block, "")], &end, now()), expected, "{row}");
    }
}

#[test]
fn any_entry_of_a_list_is_enough_and_none_of_an_empty_one() {
    let set = shop(vec![]);
    let end = world(&set, &[]).end(ip("10.0.0.1"));
    assert!(selects(&[by_label("app=db"), by_label("app=web")], &end, now()));
    assert!(!selects(&[by_label("app=db"), by_label("app=peer")], &end, now()));
    assert!(!selects(&[], &end, now()));
}

#[test]
fn only_whole_families_hold_an_end_without_an_address() {
    let somewhere = |family| End { identity: Identity::World, place: Place::Somewhere(family) };
    let rows = [
        ("any family, IPv4 block", None, "0.0.0.0/0", "", true),
        ("any family, IPv6 block", None, "::/0", "", true),
        ("IPv4, IPv4 block", Some(Family::V4), "0.0.0.0/0", "", true),
        ("IPv4, IPv6 block", Some(Family::V4), "::/0", "", false),
        ("half of a family", None, "0.0.0.0/1", "", false),
        ("narrow exception", None, "0.0.0.0/0", "10.0.0.0/8", true),
        ("whole exception", None, "0.0.0.0/0", "0.0.0.0/0", false),
    ];
    for (row, family, block, except, expected) in rows {
        assert_eq!(selects(&[by_cidr(block, except)], &somewhere(family), now()), expected, "{row}");
    }
}

#[test]
fn leased_labels_end_with_their_lease() {
    let mut set = shop(vec![]);
    let lease = Lease { labels: Labels::from([("posture.ok".to_owned(), "yes".to_owned())]), until: now() };
    set.workloads[0].set_lease(Some(lease));
    let address = set.workloads[0].addresses[0];
    let (own, leased) = (Selector::Entity(Entity::Workloads), by_label("posture.ok=yes"));
    for (before, expected) in [(true, true), (false, false)] {
        let now = if before { now() - SignedDuration::from_nanos(1) } else { now() };
        let world = World { now, ..world(&set, &[]) };
        assert_eq!(selects(std::slice::from_ref(&leased), &world.end(address), now), expected);
        assert!(selects(std::slice::from_ref(&own), &world.end(address), now));
    }
}
