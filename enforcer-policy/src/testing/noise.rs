//! What goes wrong on a network, and what is done on purpose.

use super::ground::Ground;
use super::pools::martians;
use super::probes::{Pick, pick};
use crate::reference::{Direction, Family, Packet, Payload, Quoted};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is wrong with a packet of an exchange.
#[derive(Clone, Debug)]
pub(super) enum Twist {
    /// The number that tells flows apart is one off.
    OtherNumber,
    /// The peer is somebody else.
    OtherPeer(Pick),
    /// The subject's address is somebody else's.
    OtherOwn(Pick),
    /// The source can't be on a wire.
    Martian(Index),
    /// It goes the other way through the hook.
    OtherWay,
}

/// Type and code of an ICMP error.
#[derive(Clone, Debug)]
pub(super) struct About {
    kind: Index,
    code: u8,
    from_router: Option<Pick>,
}

/// What is wrong with an ICMP error.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    Unreadable,
    OtherNumber,
    Swapped,
    OtherTarget(Pick),
}

pub(super) fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        2 => Just(Twist::OtherNumber),
        1 => pick().prop_map(Twist::OtherPeer),
        1 => pick().prop_map(Twist::OtherOwn),
        1 => any::<Index>().prop_map(Twist::Martian),
        1 => Just(Twist::OtherWay),
    ]
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Unreadable),
        Just(Damage::OtherNumber),
        Just(Damage::Swapped),
        pick().prop_map(Damage::OtherTarget),
    ]
}

pub(super) fn about() -> impl Strategy<Value = About> {
    (any::<Index>(), select(vec![0u8, 1, 4]), option::weighted(0.5, pick()))
        .prop_map(|(kind, code, from_router)| About { kind, code, from_router })
}

/// Moves the number that the sender of a payload chose by one.
fn other_number(payload: &mut Payload) {
    match payload {
        Payload::Tcp { sport, .. } | Payload::Ports { sport, .. } => *sport ^= 1,
        Payload::Icmp { id, .. } => *id ^= 1,
        // A number for experiments, which no rule of the pools names.
        Payload::Other(protocol) => *protocol = 253,
    }
}

impl Twist {
    pub(super) fn apply(self, ground: &Ground<'_>, packet: &mut Packet) {
        let family = Family::of(packet.source);
        let outward = packet.direction == Direction::Egress;
        match self {
            Twist::OtherNumber => other_number(&mut packet.payload),
            Twist::OtherPeer(pick) if outward => packet.destination = pick.meet(ground, family, true),
            Twist::OtherPeer(pick) => packet.source = pick.meet(ground, family, false),
            Twist::OtherOwn(pick) if outward => packet.source = pick.meet(ground, family, false),
            Twist::OtherOwn(pick) => packet.destination = pick.meet(ground, family, true),
            Twist::Martian(index) => {
                let of_family: Vec<_> =
                    martians().into_iter().filter(|martian| Family::of(*martian) == family).collect();
                packet.source = *index.get(&of_family);
            }
            Twist::OtherWay => packet.direction = packet.direction.opposite(),
        }
    }
}

/// An ICMP error about `about_packet`, which went the other way through the hook.
pub(super) fn error(
    ground: &Ground<'_>,
    about_packet: &Packet,
    about: &About,
    damage: Option<Damage>,
) -> Packet {
    let family = Family::of(about_packet.source);
    let kinds: &[u8] = match family {
        Family::V4 => &[3, 11, 12, 3, 4, 5],
        Family::V6 => &[1, 2, 3, 4, 137],
    };
    let mut quoted = Quoted {
        source: about_packet.source,
        destination: about_packet.destination,
        payload: Box::new(about_packet.payload.clone()),
    };
    let direction = about_packet.direction.opposite();
    // What a workload sends, it sends itself; what it receives may come from a router on the way.
    let source = match &about.from_router {
        Some(router) if direction == Direction::Ingress => router.meet(ground, family, false),
        _ => about_packet.destination,
    };
    let mut destination = about_packet.source;
    let mut readable = true;
    match damage {
        Some(Damage::Unreadable) => readable = false,
        Some(Damage::OtherNumber) => other_number(&mut quoted.payload),
        Some(Damage::Swapped) => std::mem::swap(&mut quoted.source, &mut quoted.destination),
        Some(Damage::OtherTarget(pick)) => destination = pick.meet(ground, family, false),
        None => {}
    }
    let payload = Payload::Icmp {
        kind: *about.kind.get(kinds),
        code: about.code,
        id: 0,
        quoted: readable.then_some(quoted),
    };
    let subject = about_packet.subject.clone();
    Packet { at: about_packet.at, subject, direction, source, destination, payload }
}
