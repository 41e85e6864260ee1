//! E76 to E90: tunnels, detours and addresses with another meaning.

use enforcer_common::packet::flags::{ACK, SYN};

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, HOST, LEDGER, OUTSIDE, Scene, WEB};
use crate::forge::{LINK, message, packet, tcp, udp};

const FLOW: (u16, u16) = (40_000, 443);
/// Protocols that carry another flow inside.
const TUNNELS: [u8; 7] = [4, 41, 47, 94, 97, 115, 137];

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("E76", "IPIP, 6in4, 4in6, GRE, EtherIP, L2TP, MPLS in IP from a workload", "`encap`, also under `any`")
            .cases(cases![e76_tunnels_pass_by_number_only]),
        Attack::new("E77", "VXLAN or Geneve from a workload to a node, with a forged network identifier", "`encap` unless a rule names the port")
            .note("No identity is ever read from a tunnel's header, so a forged one tells nobody anything. `udp` and `any` name these ports, as they name every port.")
            .cases(cases![e77_overlay_packets_are_named_for_what_they_are]),
        Attack::new("E78", "A tunnel that arrives: its inner flow", "the tunnel is denied")
            .cases(cases![e78_arriving_tunnels_are_denied]),
        Attack::new("E79", "Two workloads on one bridge", "judged at both devices")
            .cases(cases![e79_each_hook_judges_for_itself]),
        Attack::new("E80", "A workload to itself, through a service address", "judged as a flow from it to it")
            .cases(cases![e80_a_workload_reaches_itself_by_rule_only]),
        Attack::new("E81", "A process of the host, or a pod on the host's network, to a local workload", "judged as the host")
            .cases(cases![e81_the_host_is_an_identity]),
        Attack::new("E82", "NodePort, load balancer, external address; source translation hides who it is", "judged by the true source, or as nobody known")
            .waits("Kubernetes services; an address that nothing names is the world's")
            .cases(cases![e82_an_unknown_source_is_the_worlds]),
        Attack::new("E83", "IPv4-mapped IPv6 addresses, on a socket and on the wire", "a socket's packets are IPv4 and judged so; on the wire `martian`")
            .cases(cases![e83_mapped_addresses_stand_on_no_wire]),
        Attack::new("E85", "Link-local addresses, the metadata service", "`no-rule` unless named")
            .cases(cases![e85_link_local_addresses_need_a_name]),
        Attack::new("E86", "Multicast, broadcast, subnet broadcast, mDNS, SSDP, IGMP, MLD", "`multicast` unless named; never matches a unicast identity")
            .note("A subnet's broadcast address is told by the frame that carries it: the hosts' netmasks are not the enforcer's to know. In a unicast frame it is an address like any other.")
            .cases(cases![e86_groups_match_no_unicast_rule, e86_broadcast_frames_reach_no_unicast_address]),
        Attack::new("E87", "IP_HDRINCL, AF_PACKET, AF_XDP", "the device's hook judges the first two; AF_XDP past it is detected, refused or reported")
            .note("AF_XDP sockets in zero-copy mode are past every hook: `enforcer doctor` finds them and has them mended. What a service sends by a packet socket meets no hook of sockets: `doctor` names who has one."),
        Attack::new("E88", "vsock, RDMA, unix sockets, /dev/net/tun", "documented as outside, reported by `doctor`")
            .note("No hook sees them. Unix sockets are files: their modes say who may use them."),
        Attack::new("E89", "A name in a rule: forged answers, CNAME chains, TTL 0, shared addresses, rebinding", "only answers of the pinned resolver; never internal ranges")
            .waits("rules by name"),
        Attack::new("E90", "A failsafe port used as a service port by a workload", "the failsafe is the host's and the management network's only")
            .note("The path is looked at where the machine itself is the subject."),
    ]
}

fn e76_tunnels_pass_by_number_only(scene: &mut Scene<'_>) {
    for number in TUNNELS {
        for family in [0, 1] {
            let inner = tcp(LEDGER[0], CHECKOUT[0], FLOW, SYN).split_off(LINK);
            let frame = packet(WEB[family], CHECKOUT[family], number, &inner);
            scene.rules(&["web -> checkout tcp/443"]);
            scene.sends(&format!("protocol {number}"), &frame, Denied("encap"));
            scene.rules(&[EVERYTHING]);
            scene.sends(&format!("protocol {number} under `any`"), &frame, Denied("encap"));
            scene.rules(&[&format!("web -> checkout proto/{number}")]);
            scene.sends(&format!("protocol {number}, named"), &frame, Allowed);
        }
    }
}

fn e77_overlay_packets_are_named_for_what_they_are(scene: &mut Scene<'_>) {
    let inner = tcp(LEDGER[0], CHECKOUT[0], FLOW, SYN);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
    for family in [0, 1] {
        for port in [4_789, 8_472, 6_081] {
            for to in [HOST[family], CHECKOUT[family], OUTSIDE[family]] {
                let frame = udp(WEB[family], to, (40_000, port), &vxlan);
                scene.sends(&format!("port {port} to {to}"), &frame, Denied("encap"));
            }
        }
    }
    scene.rules(&["web -> {entity: host} udp/4789"]);
    scene.sends("named", &udp(WEB[0], HOST[0], (40_000, 4_789), &vxlan), Allowed);
    scene.sends("the inner flow gains nothing", &inner, Denied("spoof-ip"));
}

fn e78_arriving_tunnels_are_denied(scene: &mut Scene<'_>) {
    let inner = tcp(WEB[0], CHECKOUT[0], FLOW, SYN);
    for rules in [&["web -> checkout tcp/443"][..], &["{entity: all} -> {entity: all} tcp"]] {
        scene.rules(rules);
        for family in [0, 1] {
            for number in TUNNELS {
                let frame = packet(OUTSIDE[family], CHECKOUT[family], number, &inner[LINK..]);
                scene.checkout_gets(&format!("protocol {number}"), &frame, Denied("encap"));
            }
            let vxlan = udp(
                OUTSIDE[family],
                CHECKOUT[family],
                (40_000, 4_789),
                &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat(),
            );
            scene.checkout_gets("VXLAN", &vxlan, Denied("encap"));
        }
    }
}

fn e79_each_hook_judges_for_itself(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let allowed = tcp(WEB[family], CHECKOUT[family], FLOW, SYN);
        let denied = tcp(WEB[family], CHECKOUT[family], (40_000, 22), SYN);
        scene.checkout_gets("what only the second hook sees", &denied, Denied("no-rule"));
        scene.sends("what the first sees", &denied, Denied("no-rule"));
        scene.sends("allowed at the first", &allowed, Allowed);
        // The first hook's flow is nothing to the second.
        scene.checkout_gets(
            "data that the second saw no SYN of",
            &tcp(WEB[family], CHECKOUT[family], FLOW, ACK),
            Denied("state"),
        );
        scene.checkout_gets("allowed at the second", &allowed, Allowed);
    }
}

fn e80_a_workload_reaches_itself_by_rule_only(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let own = WEB[family];
        scene.rules(&["web -> checkout tcp/443"]);
        scene.gets("comes back to it", &tcp(own, own, FLOW, SYN), Denied("no-rule"));
        scene.sends("sends to itself", &tcp(own, own, FLOW, SYN), Denied("no-rule"));
        scene.rules(&["web -> web tcp/443"]);
        scene.gets("comes back to it, by its rule", &tcp(own, own, FLOW, SYN), Allowed);
        scene.sends("its answer", &tcp(own, own, (443, 40_000), SYN | ACK), Allowed);
        scene.gets("another port", &tcp(own, own, (40_000, 22), SYN), Denied("no-rule"));
    }
}

fn e81_the_host_is_an_identity(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let from_host = tcp(HOST[family], CHECKOUT[family], FLOW, SYN);
        scene.rules(&[
            "web -> checkout tcp/443",
            "{entity: world} -> checkout tcp/443",
            "{entity: workloads} -> checkout tcp/443",
        ]);
        scene.checkout_gets("without a rule for it", &from_host, Denied("no-rule"));
        scene.rules(&["{entity: host} -> checkout tcp/443"]);
        scene.checkout_gets("by its rule", &from_host, Allowed);
        scene.checkout_sends(
            "its answer",
            &tcp(CHECKOUT[family], HOST[family], (443, 40_000), SYN | ACK),
            Allowed,
        );
        scene.checkout_sends(
            "a flow to the host",
            &tcp(CHECKOUT[family], HOST[family], FLOW, SYN),
            Denied("no-rule"),
        );
    }
}

fn e82_an_unknown_source_is_the_worlds(scene: &mut Scene<'_>) {
    for family in [0, 1] {
        let frame = tcp(OUTSIDE[family], CHECKOUT[family], FLOW, SYN);
        scene.rules(&["{entity: workloads} -> checkout tcp/443", "{entity: host} -> checkout tcp/443"]);
        scene.checkout_gets("without a rule for the world", &frame, Denied("no-rule"));
        scene.rules(&["{entity: world} -> checkout tcp/443"]);
        scene.checkout_gets("by the world's rule", &frame, Allowed);
        scene.checkout_gets(
            "a workload isn't the world",
            &tcp(WEB[family], CHECKOUT[family], FLOW, SYN),
            Denied("no-rule"),
        );
    }
}

fn e83_mapped_addresses_stand_on_no_wire(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    scene.denied(
        "martian",
        &[
            ("mapped source", tcp("::ffff:10.77.0.10", CHECKOUT[1], FLOW, SYN)),
            ("mapped destination", tcp(WEB[1], "::ffff:10.77.0.20", FLOW, SYN)),
            ("both", tcp("::ffff:10.77.0.10", "::ffff:10.77.0.20", FLOW, SYN)),
            ("a mapped ping", message("::ffff:10.77.0.10", CHECKOUT[1], 128, 0, 7, b"x")),
        ],
    );
    scene.checkout_gets("received", &tcp("::ffff:10.77.0.10", CHECKOUT[1], FLOW, SYN), Denied("martian"));
    scene.checkout_gets("to one", &tcp(WEB[1], "::ffff:10.77.0.20", FLOW, SYN), Denied("martian"));
}

fn e85_link_local_addresses_need_a_name(scene: &mut Scene<'_>) {
    scene.rules(&["{entity: workloads} -> {entity: workloads} any", "web -> {entity: host} any"]);
    scene.denied(
        "no-rule",
        &[
            ("the metadata service", tcp(WEB[0], "169.254.169.254", (40_000, 80), SYN)),
            ("its IPv6 address", tcp(WEB[1], "fd00:ec2::254", (40_000, 80), SYN)),
            ("a link-local address", tcp(WEB[1], "fe80::1", (40_000, 80), SYN)),
        ],
    );
    scene.rules(&["web -> {cidr: [169.254.169.254/32]} tcp/80", "web -> {cidr: [\"fe80::1/128\"]} tcp/80"]);
    scene.allowed(&[
        ("the metadata service, named", tcp(WEB[0], "169.254.169.254", (40_000, 80), SYN)),
        ("a link-local address, named", tcp(WEB[1], "fe80::1", (40_000, 80), SYN)),
    ]);
}

fn e86_groups_match_no_unicast_rule(scene: &mut Scene<'_>) {
    let groups = [
        ("mDNS", udp(WEB[0], "224.0.0.251", (5_353, 5_353), b"x")),
        ("SSDP", udp(WEB[0], "239.255.255.250", (1_900, 1_900), b"x")),
        ("IGMP", packet(WEB[0], "224.0.0.22", 2, &[0x22, 0, 0, 0, 0, 0, 0, 0])),
        ("a ping to a group", message(WEB[0], "224.0.0.1", 8, 0, 7, b"x")),
        ("TCP to a group", tcp(WEB[0], "224.0.0.1", FLOW, SYN)),
        ("a tunnel to a group", packet(WEB[0], "224.0.0.1", 47, &[0; 8])),
        ("broadcast", udp(WEB[0], "255.255.255.255", (5_353, 5_353), b"x")),
        ("mDNS on IPv6", udp(WEB[1], "ff02::fb", (5_353, 5_353), b"x")),
        ("MLD", message(WEB[1], "ff02::16", 143, 0, 0, &[0; 20])),
        ("a ping to everybody", message(WEB[1], "ff02::1", 128, 0, 7, b"x")),
    ];
    for rules in [&["{entity: all} -> {entity: all} any"][..], &["web -> {cidr: [0.0.0.0/0, \"::/0\"]} any"]]
    {
        scene.rules(rules);
        scene.denied("multicast", &groups);
        scene.gets("received", &udp(CHECKOUT[0], "224.0.0.251", (5_353, 5_353), b"x"), Denied("multicast"));
    }
    scene.rules(&["web -> {cidr: [224.0.0.251/32, \"ff02::fb/128\"]} udp/5353"]);
    scene.sends("mDNS, named", &groups[0].1, Allowed);
    scene.sends("mDNS on IPv6, named", &groups[7].1, Allowed);
    scene.sends("SSDP still isn't", &groups[1].1, Denied("multicast"));
    scene.gets(
        "an answer from a group",
        &udp("224.0.0.251", WEB[0], (5_353, 5_353), b"x"),
        Denied("martian"),
    );
}

fn e86_broadcast_frames_reach_no_unicast_address(scene: &mut Scene<'_>) {
    scene.rules(&["web -> {cidr: [10.77.0.0/16, \"fd77::/16\"]} udp/5353", "web -> checkout udp/5353"]);
    let to = |hardware: [u8; 6], mut frame: Vec<u8>| {
        frame[..6].copy_from_slice(&hardware);
        frame
    };
    let subnet = || udp(WEB[0], "10.77.0.255", (5_353, 5_353), b"x");
    scene.sends("a subnet's broadcast", &to([0xff; 6], subnet()), Denied("multicast"));
    scene.sends("as a unicast frame", &subnet(), Allowed);
    for family in [0, 1] {
        let spoofed = udp(CHECKOUT[family], WEB[family], (5_354, 5_353), b"x");
        scene.sends(
            "another's address, to everybody's hardware",
            &to([0xff; 6], spoofed),
            Denied("spoof-ip"),
        );
        let unnamed = udp(WEB[family], CHECKOUT[family], (5_354, 22), b"x");
        scene.sends("a port that no rule names", &to([0xff; 6], unnamed), Denied("no-rule"));
        let frame = || udp(WEB[family], CHECKOUT[family], (5_354, 5_353), b"x");
        for hardware in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
            scene.sends("one address, to everybody's hardware", &to(hardware, frame()), Denied("multicast"));
            scene.checkout_gets("received", &to(hardware, frame()), Denied("multicast"));
        }
        scene.sends("one address, one receiver", &frame(), Allowed);
    }
}
