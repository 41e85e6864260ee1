//! Random groups and members.

use crate::evaluate::{Group, Member, Peer, Rule, Vpc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::net::IpAddr;

const GROUPS: usize = 4;

fn rule() -> impl Strategy<Value = Rule> {
    let blocks =
        &["0.0.0.0/0", "::/0", "10.0.0.0/16", "10.0.0.0/30", "192.0.2.0/24", "fd00::/64", "fd00::2/128"][..];
    let peer = prop_oneof![
        3 => select(blocks).prop_map(|block| Peer::Block(block.to_owned())),
        1 => Just(Peer::List),
        4 => (0..GROUPS).prop_map(Peer::Group),
    ];
    let ported = (select(&["tcp", "udp"][..]), select(&[(80, 80), (53, 443), (0, 65535), (-1, -1)][..]));
    let icmp = (select(&["icmp", "icmpv6"][..]), select(&[(-1, -1), (8, -1), (3, 1), (128, 0)][..]));
    let spelled = |(protocol, ports): (&str, (i32, i32))| (protocol.to_owned(), Some(ports));
    let what = prop_oneof![
        2 => select(&["-1", "132"][..]).prop_map(|protocol| (protocol.to_owned(), None)),
        3 => ported.prop_map(spelled),
        2 => icmp.prop_map(spelled),
    ];
    (what, vec(peer, 0..4)).prop_map(|((protocol, ports), peers)| Rule { protocol, ports, peers })
}

pub(crate) fn vpcs() -> impl Strategy<Value = Vpc> {
    let group =
        (vec(rule(), 0..3), vec(rule(), 0..3)).prop_map(|(ingress, egress)| Group { ingress, egress });
    let member = (subsequence((0..GROUPS).collect::<Vec<_>>(), 1..=3), 0..3u8, any::<bool>());
    let members = vec(member, 1..6).prop_map(|members| {
        let member = |(index, (groups, families, high)): (usize, (Vec<usize>, u8, bool))| {
            let index = index as u8 + 1;
            let v4 = IpAddr::from([10, 0, u8::from(high), index]);
            let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(index)]);
            let addresses = match families {
                0 => vec![v4],
                1 => vec![v4, v6],
                _ => vec![v6],
            };
            Member { groups, addresses }
        };
        members.into_iter().enumerate().map(member).collect()
    });
    (vec(group, GROUPS), members).prop_map(|(groups, members)| Vpc { groups, members })
}
