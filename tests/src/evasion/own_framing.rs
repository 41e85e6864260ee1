//! X01 and on: the Ethernet header and what may stand before IP.

use enforcer_common::packet::flags::SYN;

use super::Verdict::{Allowed, Denied};
use super::attack::{Attack, cases};
use super::scene::{CHECKOUT, EVERYTHING, Scene, WEB};
use crate::forge::{arp, neighbour, packet, patched, tagged, tcp};

const FLOW: (u16, u16) = (40_000, 443);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "X01",
            "A frame without anything behind its Ethernet header, or behind its tag",
            "`short`",
        )
        .cases(cases![x01_frames_that_end_at_their_link_header]),
        Attack::new(
            "X02",
            "An 802.1ad tag with VLAN 0 that the device takes off before the hook sees the frame",
            "`vlan`, as where it stands in the frame",
        )
        .note("A program sees such a tag beside the frame. Of those, too, only 802.1Q with VLAN 0 is none.")
        .cases(cases![x02_a_tag_taken_off_is_judged_like_one_in_the_frame]),
        Attack::new("X03", "An 802.3 length with LLC and SNAP in front of an IP packet", "`ethertype`")
            .cases(cases![x03_llc_and_snap_hide_no_packet]),
        Attack::new(
            "X04",
            "ARP with other address lengths, another protocol, or RARP and inverse ARP",
            "`malformed`",
        )
        .cases(cases![x04_odd_arp_is_malformed]),
        Attack::new(
            "X05",
            "ARP and neighbour discovery behind a tag",
            "as the tag: `vlan`; behind a priority tag, as without it",
        )
        .cases(cases![x05_a_priority_tag_hides_no_neighbour_claim]),
    ]
}

fn x01_frames_that_end_at_their_link_header(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    for ethertype in [[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]] {
        let frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &ethertype].concat();
        scene.sends("nothing behind it", &frame, Denied("short"));
        scene.gets("received", &frame, Denied("short"));
    }
    for rest in 0..4 {
        let tagged = tagged(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), 0x8100, 0);
        scene.sends("half a tag", &tagged[..14 + rest], Denied("short"));
    }
    let padded = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &[0; 46]].concat();
    scene.sends("padding alone", &padded, Denied("malformed"));
}

fn x02_a_tag_taken_off_is_judged_like_one_in_the_frame(scene: &mut Scene<'_>) {
    // In the frame here, taken off at level 3.
    for ethertype in [0x88a8, 0x9100, 0x9200, 0x9300] {
        let frame = tagged(tcp(WEB[0], CHECKOUT[0], FLOW, SYN), ethertype, 0);
        scene.sends(&format!("{ethertype:#06x} with VLAN 0"), &frame, Denied("vlan"));
        let frame = tagged(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), ethertype, 0);
        scene.sends(&format!("{ethertype:#06x} with VLAN 0 on IPv6"), &frame, Denied("vlan"));
    }
}

fn x03_llc_and_snap_hide_no_packet(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let inner = &tcp(WEB[0], CHECKOUT[0], FLOW, SYN)[14..];
    let length = (inner.len() + 8) as u16;
    let snap = [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..],
        &length.to_be_bytes(),
        &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
        inner,
    ]
    .concat();
    scene.sends("SNAP", &snap, Denied("ethertype"));
    let llc = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &length.to_be_bytes(), &[6, 6, 3], inner].concat();
    scene.sends("LLC", &llc, Denied("ethertype"));
    let spanning =
        [&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1][..], &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
    scene.sends("spanning tree", &spanning, Denied("ethertype"));
}

fn x04_odd_arp_is_malformed(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let honest = || arp(1, [2, 0, 0, 0, 0, 1], WEB[0], CHECKOUT[0]);
    let with = |at: usize, byte: u8| {
        let mut frame = honest();
        frame[at] = byte;
        frame
    };
    scene.denied(
        "malformed",
        &[
            ("other hardware", with(15, 6)),
            ("IPv6 in it", with(17, 0xdd)),
            ("hardware addresses of 8 bytes", with(18, 8)),
            ("no hardware addresses", with(18, 0)),
            ("protocol addresses of 16 bytes", with(19, 16)),
            ("no protocol addresses", with(19, 0)),
            ("operation 0", with(21, 0)),
            ("a RARP question", with(21, 3)),
            ("an inverse question", with(21, 8)),
            ("operation 257", with(20, 1)),
        ],
    );
    scene.sends(
        "a probe for no address",
        &arp(1, [2, 0, 0, 0, 0, 1], "0.0.0.0", "0.0.0.0"),
        Denied("arp-spoof"),
    );
}

fn x05_a_priority_tag_hides_no_neighbour_claim(scene: &mut Scene<'_>) {
    scene.rules(&[EVERYTHING]);
    let forged = arp(2, [2, 0, 0, 0, 0, 1], CHECKOUT[0], WEB[0]);
    scene.sends("ARP behind a tag", &tagged(forged.clone(), 0x8100, 5), Denied("vlan"));
    scene.sends("ARP behind a priority tag", &tagged(forged, 0x8100, 0), Denied("arp-spoof"));
    let forged = neighbour(136, WEB[1], "ff02::1", CHECKOUT[1]);
    scene.sends("an advertisement behind a priority tag", &tagged(forged, 0x8100, 0), Denied("nd-spoof"));
    let advertisement = neighbour(134, "fe80::1", "ff02::1", "::");
    scene.sends("a router's behind a priority tag", &tagged(advertisement, 0x8100, 0), Denied("ra-guard"));
    let cut = patched(packet(WEB[0], CHECKOUT[0], 6, &[]), 14, &[0x45]);
    scene.sends("no transport header behind one", &tagged(cut, 0x8100, 0), Denied("malformed"));
    scene.sends(
        "its own packet behind one",
        &tagged(tcp(WEB[1], CHECKOUT[1], FLOW, SYN), 0x8100, 0),
        Allowed,
    );
}
