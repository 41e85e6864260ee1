//! E60 to E75: who somebody is, and when that changes.

use enforcer_common::packet::flags::{ACK, SYN};

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, HOST, LEDGER, OUTSIDE, Scene, WEB, workload, workloads};
use crate::forge::{arp, message, packet, part, tcp, udp};
use crate::policy;

const FLOW: (u16, u16) = (40_000, 443);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E60", "A raw socket with another workload's source address", "`spoof-ip`")
            .cases(cases![e60_other_addresses_are_denied]),
        Attack::new("E61", "A foreign source hardware address", "`spoof-mac`")
            .waits("a source that knows which hardware address a workload has; the programs check it once they are told")
            .cases(cases![e61_a_known_hardware_address_is_held_to]),
        Attack::new(
            "E62",
            "Source address of the host or the gateway; loopback, unspecified, multicast, broadcast",
            "`martian` for addresses that stand on no wire, `spoof-ip` for the host's and the gateway's",
        )
        .note("The host's addresses are ordinary ones: from a workload they are somebody else's, not impossible.")
        .cases(cases![e62_impossible_sources_are_denied]),
        Attack::new(
            "E64",
            "The address of a deleted workload given to another within milliseconds",
            "the other never has the first one's rights; an identity nobody knows is denied",
        )
        .cases(cases![e64_an_address_takes_no_rights_along]),
        Attack::new(
            "E65",
            "The report that an old device is gone arrives after the one that a new one of the same name has come",
            "the new one stays enforced",
        ),
        Attack::new("E66", "A workload's owner edits its labels to enter or leave a segment", "only labels from trusted sources count")
            .note("Documents are written by operators. Of a container's own labels only keys in `identityLabels` count, and none where a document names it; who may start containers chooses their values.")
            .waits("Kubernetes sources"),
        Attack::new("E67", "A selector with `exists: false` or a reserved key reaches others", "it never reaches world, host or multicast")
            .note("There are no tenants: one policy set has one author. What a selector of labels can't do is to reach what has none.")
            .cases(cases![e67_absence_of_a_label_reaches_no_one_without_labels]),
        Attack::new("E68", "An empty or missing selector that means everything", "an error when it is loaded"),
        Attack::new("E69", "The host and a workload share labels, a rule for the one matches the other", "kinds are part of the identity")
            .cases(cases![e69_rules_for_workloads_never_mean_the_host]),
        Attack::new("E70", "Labels that arrive late, and a policy that silently doesn't apply until then", "denied until they are there")
            .note("A container's device is denied as `unknown-workload` until it is known whose it is, which ordinarily is before its command runs.")
            .waits("Kubernetes sources")
            .cases(cases![e70_a_subject_nobody_knows_is_denied]),
        Attack::new(
            "E72",
            "A second path out of the workload: macvlan, ipvlan, SR-IOV, another interface, a tunnel device inside",
            "sockets are judged in their cgroup as well; an uncovered link is an event, and isolates under `strict`",
        )
        .note(
            "A workload that a cgroup match finds as well is judged at its sockets, whichever device they go by. What a packet socket sends by another device isn't; that device \
             alone is no event.",
        ),
        Attack::new("E73", "A socket opened by an allowed process and handed to a denied one; setns", "judged at use where that is possible; a stated limit elsewhere")
            .note("A socket is its maker's for as long as it lives. At a device the packet counts, whoever's socket it came from."),
        Attack::new("E74", "Sockets that are older than the agent", "listed; adopted or cut by policy")
            .note("They are cut: what the enforcer didn't see begin is `state`. `enforcer doctor` lists those that no flow table knows."),
        Attack::new("E75", "Policies deleted before the workloads that they protect", "denied until the workload is gone")
            .cases(cases![e75_workloads_without_policies_are_denied]),
    ]
}

fn e60_other_addresses_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for family in [0, 1] {
        let [checkout, ledger, host] = [CHECKOUT[family], LEDGER[family], HOST[family]];
        let echo = if family == 0 { 8 } else { 128 };
        scene.denied(
            "spoof-ip",
            &[
                ("another workload's", tcp(checkout, ledger, FLOW, SYN)),
                ("nobody's", tcp(OUTSIDE[family], checkout, FLOW, SYN)),
                ("a ping", message(checkout, WEB[family], echo, 0, 7, b"x")),
                ("a datagram", udp(checkout, host, (53, 53), b"x")),
                ("any protocol", packet(checkout, host, 253, b"12345678")),
                ("a first part", part(&udp(checkout, host, (1, 2), &[0; 64]), 1, 0, 32)),
            ],
        );
        scene.sends("its own", &tcp(WEB[family], checkout, FLOW, SYN), Allowed);
        scene.sends(
            "the answer of a flow, in its peer's name",
            &tcp(checkout, WEB[family], (443, 40_000), ACK),
            Denied("state"),
        );
    }
    scene.sends(
        "a link-local address that isn't named",
        &udp("fe80::1", CHECKOUT[1], (1, 2), b"x"),
        Denied("spoof-ip"),
    );
}

fn e61_a_known_hardware_address_is_held_to(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    scene.know_hardware([2, 0, 0, 0, 0, 1]);
    for family in [0, 1] {
        let own = tcp(WEB[family], CHECKOUT[family], FLOW, SYN);
        let mut foreign = own.clone();
        foreign[11] = 9;
        scene.sends("a foreign one", &foreign, Denied("spoof-mac"));
        scene.sends("its own", &own, Allowed);
        scene.gets("it may receive from anywhere", &foreign_to(family), Allowed);
    }
    let mut foreign = arp(1, [2, 0, 0, 0, 0, 9], WEB[0], HOST[0]);
    scene.sends("ARP, foreign inside and out", &foreign, Denied("spoof-mac"));
    foreign[11] = 1;
    scene.sends("foreign inside", &foreign, Denied("arp-spoof"));
}

fn foreign_to(family: usize) -> Vec<u8> {
    let mut frame = tcp(CHECKOUT[family], WEB[family], FLOW, SYN);
    frame[11] = 9;
    frame
}

fn e62_impossible_sources_are_denied(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let four = |source| tcp(source, CHECKOUT[0], FLOW, SYN);
    let six = |source| tcp(source, CHECKOUT[1], FLOW, SYN);
    scene.denied(
        "martian",
        &[
            ("loopback", four("127.0.0.1")),
            ("all of it", four("127.255.255.254")),
            ("unspecified", four("0.0.0.0")),
            ("this network", four("0.1.2.3")),
            ("a group", four("224.0.0.5")),
            ("the last group", four("239.255.255.255")),
            ("everybody", four("255.255.255.255")),
            ("IPv6 loopback", six("::1")),
            ("IPv6 unspecified", six("::")),
            ("an IPv6 group", six("ff02::1")),
            ("another scope", six("ff0e::1")),
            ("IPv4-compatible", six("::10.77.0.10")),
            ("a datagram from a group", udp("224.0.0.5", CHECKOUT[0], (1, 2), b"x")),
            ("loopback for a destination", tcp(WEB[0], "127.0.0.1", FLOW, SYN)),
            ("IPv6 loopback for one", tcp(WEB[1], "::1", FLOW, SYN)),
            ("nothing for one", tcp(WEB[0], "0.0.0.0", FLOW, SYN)),
        ],
    );
    for (note, frame) in [
        ("a group", tcp("224.0.0.5", WEB[0], FLOW, SYN)),
        ("loopback", tcp("127.0.0.1", WEB[0], FLOW, SYN)),
        ("IPv6 loopback", tcp("::1", WEB[1], FLOW, SYN)),
    ] {
        scene.gets(note, &frame, Denied("martian"));
    }
    for family in [0, 1] {
        let frame = tcp(HOST[family], CHECKOUT[family], FLOW, SYN);
        scene.sends("the host's", &frame, Denied("spoof-ip"));
    }
}

fn e64_an_address_takes_no_rights_along(scene: &mut Scene<'_>) {
    let rules = policy("rules", "", &["web -> checkout tcp/443"]);
    let checkout = workload("checkout", "checkout", &CHECKOUT);
    for family in [0, 1] {
        let data = tcp(WEB[family], CHECKOUT[family], FLOW, ACK);
        let again = tcp(WEB[family], CHECKOUT[family], (40_001, 443), SYN);
        scene.documents(&workloads(), &rules);
        scene.connects(family, FLOW);
        scene.documents(&checkout, &rules);
        scene.sends("its device belongs to nobody", &data, Denied("unknown-workload"));
        scene.checkout_gets("its flow", &data, Denied("no-rule"));
        scene.checkout_gets("a new one", &again, Denied("no-rule"));
        let heir = checkout.clone() + &workload("ledger", "ledger", &[WEB[0], WEB[1]]);
        scene.documents(&heir, &rules);
        scene.ledger_sends("the flow, from the address's next owner", &data, Denied("state"));
        scene.ledger_sends("a new one", &again, Denied("no-rule"));
        scene.checkout_gets("the flow, received", &data, Denied("no-rule"));
        scene.checkout_gets("a new one, received", &again, Denied("no-rule"));
    }
}

fn e67_absence_of_a_label_reaches_no_one_without_labels(scene: &mut Scene<'_>) {
    scene.rules(&[
        "{expressions: [{key: tenant, exists: false}]} -> checkout tcp/443",
        "{expressions: [{key: tenant, notIn: [a]}]} -> checkout tcp/444",
    ]);
    for family in [0, 1] {
        for port in [443, 444] {
            let from = |source| tcp(source, CHECKOUT[family], (40_000, port), SYN);
            scene.checkout_gets("a workload", &from(LEDGER[family]), Allowed);
            scene.checkout_gets("the host", &from(HOST[family]), Denied("no-rule"));
            scene.checkout_gets("the world", &from(OUTSIDE[family]), Denied("no-rule"));
        }
        let group = if family == 0 { "224.0.0.251" } else { "ff02::fb" };
        scene.sends("a group", &tcp(WEB[family], group, FLOW, SYN), Denied("multicast"));
    }
}

fn e69_rules_for_workloads_never_mean_the_host(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let from_host = tcp(HOST[family], WEB[family], FLOW, SYN);
        let from_workload = tcp(LEDGER[family], WEB[family], FLOW, SYN);
        scene.rules(&["{entity: workloads} -> web tcp/443"]);
        scene.gets("the host", &from_host, Denied("no-rule"));
        scene.gets("a workload", &from_workload, Allowed);
        scene.rules(&["{entity: host} -> web tcp/443"]);
        scene.gets("the host, by its own rule", &from_host, Allowed);
        scene.gets("a workload, by the host's", &from_workload, Denied("no-rule"));
    }
}

fn e70_a_subject_nobody_knows_is_denied(scene: &mut Scene<'_>) {
    let others = workload("checkout", "checkout", &CHECKOUT) + &workload("ledger", "ledger", &LEDGER);
    scene.documents(&others, &policy("open", "", &[EVERYTHING]));
    for family in [0, 1] {
        scene.sends("it sends", &tcp(WEB[family], CHECKOUT[family], FLOW, SYN), Denied("unknown-workload"));
        scene.gets("it receives", &tcp(CHECKOUT[family], WEB[family], FLOW, SYN), Denied("unknown-workload"));
    }
    scene.sends(
        "it asks for a neighbour",
        &arp(1, [2, 0, 0, 0, 0, 1], WEB[0], HOST[0]),
        Denied("unknown-workload"),
    );
}

fn e75_workloads_without_policies_are_denied(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        scene.rules(&["web -> checkout tcp/443"]);
        scene.connects(family, FLOW);
        scene.rules(&[]);
        scene.sends("the open flow", &tcp(WEB[family], CHECKOUT[family], FLOW, ACK), Denied("no-rule"));
        scene.sends("a new one", &tcp(WEB[family], CHECKOUT[family], (40_001, 443), SYN), Denied("no-rule"));
        scene.checkout_gets(
            "at the other hook",
            &tcp(WEB[family], CHECKOUT[family], (40_001, 443), SYN),
            Denied("no-rule"),
        );
        scene.gets("from the world", &tcp(OUTSIDE[family], WEB[family], FLOW, SYN), Denied("no-rule"));
    }
}
