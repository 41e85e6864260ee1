//! Which protocol and port an entry of `ports` means.

use super::build::*;
use crate::model::PortSpec;
use crate::reference::port_matches;

#[test]
fn a_port_entry_means_what_its_form_says() {
    let range = |first, last| PortSpec::Ports { protocol: 17, first, last };
    let code = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
    let rows = [
        ("one port", tcp(443), 6, 443, true),
        ("the port below", tcp(443), 6, 442, false),
        ("the port above", tcp(443), 6, 444, false),
        ("another protocol", tcp(443), 17, 443, false),
        ("first of a range", range(8000, 8100), 17, 8000, true),
        ("last of a range", range(8000, 8100), 17, 8100, true),
        ("before a range", range(8000, 8100), 17, 7999, false),
        ("after a range", range(8000, 8100), 17, 8101, false),
        ("port 0 in the whole range", range(0, 65535), 17, 0, true),
        ("port 65535 in the whole range", range(0, 65535), 17, 65535, true),
        ("sctp", PortSpec::Ports { protocol: 132, first: 38412, last: 38412 }, 132, 38412, true),
        ("all of a protocol", PortSpec::Protocol(6), 6, 65535, true),
        ("all of another", PortSpec::Protocol(6), 17, 1, false),
        ("protocol by number", PortSpec::Protocol(47), 47, 0, true),
        ("type with any code", icmp(1, 3, None), 1, code(3, 4), true),
        ("another type", icmp(1, 3, None), 1, code(4, 3), false),
        ("type and code", icmp(1, 3, Some(4)), 1, code(3, 4), true),
        ("another code", icmp(1, 3, Some(4)), 1, code(3, 3), false),
        ("code 0 isn't any code", icmp(1, 3, Some(0)), 1, code(3, 1), false),
        ("the other ICMP", icmp(58, 3, None), 1, code(3, 4), false),
        ("all ICMPv6", PortSpec::Protocol(58), 58, code(128, 0), true),
        ("any: TCP", PortSpec::Any, 6, 1, true),
        ("any: SCTP", PortSpec::Any, 132, 1, true),
        ("any: ESP", PortSpec::Any, 50, 0, true),
        ("any: protocol 0", PortSpec::Any, 0, 0, true),
        ("any: protocol 255", PortSpec::Any, 255, 0, true),
        ("any: VXLAN's port is a port", PortSpec::Any, 17, 4789, true),
    ];
    for (row, spec, protocol, port, expected) in rows {
        assert_eq!(port_matches(&spec, protocol, port), expected, "{row}");
    }
}

#[test]
fn any_leaves_out_the_protocols_that_hide_flows() {
    let tunnels: Vec<u8> = (0..=255).filter(|protocol| !port_matches(&PortSpec::Any, *protocol, 0)).collect();
    assert_eq!(tunnels, [4, 41, 47, 94, 97, 115, 137]);
    for protocol in tunnels {
        assert!(port_matches(&PortSpec::Protocol(protocol), protocol, 0), "{protocol} by number");
    }
}
