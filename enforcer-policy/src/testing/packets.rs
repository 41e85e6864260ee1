//! Random packets in sequence: exchanges between a workload and its peers, interleaved, with noise and with changes
//! of the policy set in between.

use super::changes::{Change, change};
use super::ground::{Aim, Aimed, Ground, aim};
use super::noise::{About, Damage, Twist, about, damage, error, twist};
use super::pools::{NOW, multicast_groups};
use super::probes::{Pick, RawFlow, pick, raw_flow};
use super::scene::{Scene, scene};
use crate::model::{PolicySet, Workload};
use crate::reference::{Direction, Family, Packet, Payload, TcpFlags};
use jiff::{SignedDuration, Timestamp};
use proptest::collection::{SizeRange, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::net::IpAddr;

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// A packet passes a workload's hook.
    Packet(Packet),
    /// Another policy set comes into force.
    Replace(Box<PolicySet>),
}

/// A scene with steps that happen in it. There are no packets where no workload of the scene has a hook.
pub fn scene_and_steps(count: impl Into<SizeRange>) -> impl Strategy<Value = (Scene, Vec<Step>)> {
    (scene(), vec(raw_exchange(), 1..=4), vec(raw_step(), count)).prop_map(|(scene, exchanges, raw)| {
        let steps = steps(&scene, &exchanges, raw);
        (scene, steps)
    })
}

/// A subject and a peer who may talk, before they meet their scene.
#[derive(Clone, Debug)]
struct RawExchange {
    aim: Option<Aim>,
    v6: bool,
    subject: Index,
    own: Index,
    peer: Pick,
    direction: Direction,
    /// The subject is reached by a group it belongs to.
    grouped: bool,
    flow: RawFlow,
    sport: u16,
    id: u16,
}

/// A subject and a peer who may talk.
#[derive(Clone, Debug)]
struct Exchange {
    subject: String,
    direction: Direction,
    initiator: IpAddr,
    responder: IpAddr,
    /// What the initiator sends first.
    opening: Payload,
}

#[derive(Clone, Debug)]
enum RawStep {
    Send { exchange: Index, backward: bool, flags: TcpFlags, twist: Option<Twist> },
    Error { exchange: Index, sent_backward: bool, about: About, damage: Option<Damage> },
    Wait(i64),
    Change(Box<Change>),
}

fn raw_exchange() -> impl Strategy<Value = RawExchange> {
    let direction = prop_oneof![Just(Direction::Egress), Just(Direction::Ingress)];
    let sport = prop_oneof![3 => Just(40_000u16), 1 => Just(443), 1 => Just(8000)];
    (
        (option::weighted(0.7, aim()), prop::bool::weighted(0.3)),
        any::<Index>(),
        any::<Index>(),
        pick(),
        direction,
        prop::bool::weighted(0.1),
        raw_flow(),
        sport,
        select(vec![0u16, 7]),
    )
        .prop_map(|((aim, v6), subject, own, peer, direction, grouped, flow, sport, id)| RawExchange {
            aim,
            v6,
            subject,
            own,
            peer,
            direction,
            grouped,
            flow,
            sport,
            id,
        })
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    prop_oneof![
        6 => Just(TcpFlags::SYN),
        3 => Just(TcpFlags::SYN_ACK),
        5 => Just(TcpFlags::ACK),
        2 => Just(TcpFlags::FIN_ACK),
        1 => Just(TcpFlags::RST),
        1 => any::<(bool, bool, bool, bool)>().prop_map(|(fin, syn, rst, ack)| TcpFlags { fin, syn, rst, ack }),
    ]
}

fn raw_step() -> impl Strategy<Value = RawStep> {
    let send = (any::<Index>(), prop::bool::weighted(0.4), flags(), option::weighted(0.15, twist()))
        .prop_map(|(exchange, backward, flags, twist)| RawStep::Send { exchange, backward, flags, twist });
    let error = (any::<Index>(), any::<bool>(), about(), option::weighted(0.3, damage())).prop_map(
        |(exchange, sent_backward, about, damage)| RawStep::Error { exchange, sent_backward, about, damage },
    );
    prop_oneof![
        12 => send,
        3 => error,
        1 => select(vec![1i64, 59, 60, 3540]).prop_map(RawStep::Wait),
        1 => change().prop_map(|change| RawStep::Change(Box::new(change))),
    ]
}

fn steps(scene: &Scene, exchanges: &[RawExchange], raw: Vec<RawStep>) -> Vec<Step> {
    let ground = Ground::of(scene);
    let exchanges: Vec<Exchange> = exchanges.iter().filter_map(|raw| raw.meet(&ground)).collect();
    let mut set = scene.set.clone();
    let mut at = NOW;
    let mut steps = Vec::new();
    for (number, raw) in raw.into_iter().enumerate() {
        match raw {
            RawStep::Wait(seconds) => at += SignedDuration::from_secs(seconds),
            RawStep::Change(change) => {
                change.apply(&mut set, number);
                steps.push(Step::Replace(Box::new(set.clone())));
            }
            _ if exchanges.is_empty() => {}
            RawStep::Send { exchange, backward, flags, twist } => {
                let mut packet = exchange.get(&exchanges).packet(at, backward, flags);
                if let Some(twist) = twist {
                    twist.apply(&ground, &mut packet);
                }
                steps.push(Step::Packet(packet));
            }
            RawStep::Error { exchange, sent_backward, about, damage } => {
                let about_packet = exchange.get(&exchanges).packet(at, sent_backward, TcpFlags::ACK);
                steps.push(Step::Packet(error(&ground, &about_packet, &about, damage)));
            }
        }
    }
    steps
}

impl RawExchange {
    fn meet(&self, ground: &Ground<'_>) -> Option<Exchange> {
        self.aimed(ground).or_else(|| self.anyhow(ground))
    }

    /// An exchange that a rule matches.
    fn aimed(&self, ground: &Ground<'_>) -> Option<Exchange> {
        let family = if self.v6 { Family::V6 } else { Family::V4 };
        let hooked = ground.hooked();
        let of = |address: IpAddr| hooked.iter().find(|workload| workload.addresses.contains(&address));
        let aim = self.aim.as_ref()?;
        let aimed = match self.direction {
            Direction::Egress => ground.hit(aim, family, |from| of(from).is_some(), |_| true)?,
            Direction::Ingress => ground.hit(aim, family, |_| true, |to| of(to).is_some())?,
        };
        let subject = match self.direction {
            Direction::Egress => of(aimed.from)?,
            Direction::Ingress => of(aimed.to)?,
        };
        self.exchange(subject, aimed)
    }

    /// An exchange that no rule has in mind.
    fn anyhow(&self, ground: &Ground<'_>) -> Option<Exchange> {
        let hooked = ground.hooked();
        if hooked.is_empty() {
            return None;
        }
        let subject = self.subject.get(&hooked);
        let mut own = *self.own.get(&subject.addresses);
        let family = Family::of(own);
        let outward = self.direction == Direction::Egress;
        let peer = self.peer.meet(ground, family, outward);
        if self.grouped && !outward {
            let groups: Vec<_> =
                multicast_groups().into_iter().filter(|group| Family::of(*group) == family).collect();
            own = *self.own.get(&groups);
        }
        let (from, to) = if outward { (own, peer) } else { (peer, own) };
        let (protocol, port) = self.flow.meet(ground, family);
        self.exchange(subject, Aimed { from, to, protocol, port })
    }

    /// `None` where the subject would talk to itself, which never passes its hook.
    fn exchange(&self, subject: &Workload, flow: Aimed) -> Option<Exchange> {
        let Aimed { from, to, protocol, port } = flow;
        if subject.addresses.contains(&from) && subject.addresses.contains(&to) {
            return None;
        }
        let [kind, code] = port.to_be_bytes();
        let opening = match protocol {
            6 => Payload::Tcp { sport: self.sport, dport: port, flags: TcpFlags::SYN },
            17 | 132 => Payload::Ports { protocol, sport: self.sport, dport: port },
            1 | 58 => Payload::Icmp { kind, code, id: self.id, quoted: None },
            _ => Payload::Other(protocol),
        };
        Some(Exchange {
            subject: subject.name.clone(),
            direction: self.direction,
            initiator: from,
            responder: to,
            opening,
        })
    }
}

impl Exchange {
    fn packet(&self, at: Timestamp, backward: bool, flags: TcpFlags) -> Packet {
        let mut payload = self.opening.clone();
        if let Payload::Tcp { flags: of, .. } = &mut payload {
            *of = flags;
        }
        let (direction, source, destination) = if backward {
            payload = answer(payload, self.initiator);
            (self.direction.opposite(), self.responder, self.initiator)
        } else {
            (self.direction, self.initiator, self.responder)
        };
        Packet { at, subject: self.subject.clone(), direction, source, destination, payload }
    }
}

/// What the responder sends back: swapped ports, the reply of a request.
fn answer(payload: Payload, initiator: IpAddr) -> Payload {
    match payload {
        Payload::Tcp { sport, dport, flags } => Payload::Tcp { sport: dport, dport: sport, flags },
        Payload::Ports { protocol, sport, dport } => Payload::Ports { protocol, sport: dport, dport: sport },
        Payload::Icmp { kind, code, id, quoted } => {
            let kind = match (Family::of(initiator), kind) {
                (Family::V4, 8) => 0,
                (Family::V4, 13) => 14,
                (Family::V6, 128) => 129,
                _ => kind,
            };
            Payload::Icmp { kind, code, id, quoted }
        }
        Payload::Other(protocol) => Payload::Other(protocol),
    }
}
