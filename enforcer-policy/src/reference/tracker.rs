//! Packets with memory: flows, replies, TCP's first packet, ICMP answers and errors.
//!
//! The naive model of flow tracking: it remembers which flows were opened at which subject's hook and nothing of
//! what was decided. Every packet of a flow is decided from the documents again, from its initiator's view, so
//! changes of policy, mode, identity and expiry need no thought. Flows never time out and never close.

use super::packet::icmp_protocol;
use super::rules::is_icmp_error;
use super::{
    Direction, Family, Packet, Payload, Place, Quoted, Reason, Verdict, World, has_hook, is_multicast,
};
use crate::model::{PolicySet, SegmentMode, Workload};
use std::net::IpAddr;

/// Judges packets one after the other, in the order of their time.
#[derive(Clone, Debug)]
pub struct Tracker {
    set: PolicySet,
    hosts: Vec<IpAddr>,
    default_mode: SegmentMode,
    flows: Vec<Flow>,
}

/// A flow that was opened at one subject's hook, as its initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    subject: String,
    /// Which way the opening packet went: `Egress` where the subject is the initiator.
    direction: Direction,
    initiator: IpAddr,
    responder: IpAddr,
    protocol: u8,
    key: Key,
}

/// What tells flows between the same addresses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Ports { initiator: u16, responder: u16 },
    Query { kind: u8, code: u8, id: u16 },
    Nothing,
}

/// ICMP requests with the type of their reply, per family.
const QUERIES: [(Family, u8, u8); 3] = [(Family::V4, 8, 0), (Family::V4, 13, 14), (Family::V6, 128, 129)];

fn query_with_request(family: Family, kind: u8) -> Option<(Family, u8, u8)> {
    QUERIES.into_iter().find(|(of, request, _)| *of == family && *request == kind)
}

fn query_with_reply(family: Family, kind: u8) -> Option<(Family, u8, u8)> {
    QUERIES.into_iter().find(|(of, _, reply)| *of == family && *reply == kind)
}

fn is_redirect(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => kind == 5,
        Family::V6 => kind == 137,
    }
}

/// Sources that can't be on a wire.
fn is_martian(source: IpAddr) -> bool {
    let mapped = match source {
        IpAddr::V4(_) => false,
        IpAddr::V6(source) => source.to_ipv4_mapped().is_some(),
    };
    source.is_unspecified() || source.is_loopback() || is_multicast(source) || mapped
}

impl Flow {
    /// The flow this packet would open, or be a further packet of in the initiator's direction.
    fn opened(
        subject: &str,
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
        payload: &Payload,
    ) -> Option<Flow> {
        let family = Family::of(source);
        let (protocol, key) = match *payload {
            Payload::Tcp { sport, dport, .. } => (6, Key::Ports { initiator: sport, responder: dport }),
            Payload::Ports { protocol, sport, dport } => {
                (protocol, Key::Ports { initiator: sport, responder: dport })
            }
            Payload::Icmp { kind, code, id, .. } => {
                query_with_request(family, kind)?;
                (icmp_protocol(family), Key::Query { kind, code, id })
            }
            Payload::Other(protocol) => (protocol, Key::Nothing),
        };
        Some(Flow {
            subject: subject.to_owned(),
            direction,
            initiator: source,
            responder: destination,
            protocol,
            key,
        })
    }

    /// The flow this packet would be a reply in.
    fn answered(
        subject: &str,
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
        payload: &Payload,
    ) -> Option<Flow> {
        let family = Family::of(source);
        let (protocol, key) = match *payload {
            // A SYN without ACK never answers anything: it asks for a flow of its own.
            Payload::Tcp { flags, .. } if flags.opens() => return None,
            Payload::Tcp { sport, dport, .. } => (6, Key::Ports { initiator: dport, responder: sport }),
            Payload::Ports { protocol, sport, dport } => {
                (protocol, Key::Ports { initiator: dport, responder: sport })
            }
            Payload::Icmp { kind, code, id, .. } => {
                let (_, request, _) = query_with_reply(family, kind)?;
                (icmp_protocol(family), Key::Query { kind: request, code, id })
            }
            Payload::Other(protocol) => (protocol, Key::Nothing),
        };
        Some(Flow {
            subject: subject.to_owned(),
            direction: direction.opposite(),
            initiator: destination,
            responder: source,
            protocol,
            key,
        })
    }

    /// The same tuple, opened by the other end.
    fn reversed(&self) -> Flow {
        let key = match self.key {
            Key::Ports { initiator, responder } => Key::Ports { initiator: responder, responder: initiator },
            Key::Query { .. } | Key::Nothing => self.key,
        };
        Flow {
            subject: self.subject.clone(),
            direction: self.direction.opposite(),
            initiator: self.responder,
            responder: self.initiator,
            protocol: self.protocol,
            key,
        }
    }

    /// The number that rules match.
    fn port(&self) -> u16 {
        match self.key {
            Key::Ports { responder, .. } => responder,
            Key::Query { kind, code, .. } => u16::from_be_bytes([kind, code]),
            Key::Nothing => 0,
        }
    }
}

/// The rules' verdict on a flow from `source` to `destination` that passes `subject`'s hook, with its mode.
fn judge<'a>(
    world: &World<'a>,
    subject: &'a Workload,
    direction: Direction,
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    port: u16,
) -> Verdict<'a> {
    let (own, peer) = match direction {
        Direction::Egress => (source, destination),
        Direction::Ingress => (destination, source),
    };
    let multicast = direction == Direction::Ingress && is_multicast(own);
    if multicast {
        // A multicast destination is no workload: the rule has to name it.
        let answer = world.decide(&world.end(peer), &world.end(own), protocol, port);
        return world.apply_mode(subject, answer.verdict);
    }
    world.judge_hook(subject, Place::At(own), direction, &world.end(peer), protocol, port)
}

fn judge_flow<'a>(world: &World<'a>, subject: &'a Workload, flow: &Flow) -> Verdict<'a> {
    let ends = (flow.initiator, flow.responder);
    judge(world, subject, flow.direction, ends, flow.protocol, flow.port())
}

impl Tracker {
    /// Nothing is open yet.
    pub fn new(set: PolicySet, hosts: Vec<IpAddr>, default_mode: SegmentMode) -> Tracker {
        Tracker { set, hosts, default_mode, flows: Vec::new() }
    }

    /// Another set is in force from now on. Open flows stay known, where their subject still has a hook.
    pub fn replace(&mut self, set: PolicySet) {
        self.set = set;
        let set = &self.set;
        self.flows.retain(|flow| {
            set.workloads.iter().any(|workload| workload.name == flow.subject && has_hook(workload))
        });
    }

    /// The set in force.
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// The verdict on the next packet; `None` where its subject has no hook.
    pub fn packet(&mut self, packet: &Packet) -> Option<Verdict<'_>> {
        let world =
            World { set: &self.set, hosts: &self.hosts, default_mode: self.default_mode, now: packet.at };
        let subject = world.workload(&packet.subject).filter(|workload| has_hook(workload))?;
        if world.mode(subject) == SegmentMode::Off {
            return Some(Verdict::allowed(Reason::SegmentOff));
        }
        if let Some(reason) = forbidden(subject, packet) {
            return Some(world.apply_mode(subject, Verdict::denied(reason)));
        }
        if is_related(&world, subject, &self.flows, packet) {
            return Some(Verdict::allowed(Reason::Related));
        }

        let Packet { subject: name, direction, source, destination, payload, .. } = packet;
        let opened = Flow::opened(name, *direction, *source, *destination, payload);
        let answered = Flow::answered(name, *direction, *source, *destination, payload);
        for flow in opened.iter().chain(&answered) {
            if self.flows.contains(flow) {
                return Some(judge_flow(&world, subject, flow));
            }
        }

        if needs_a_flow(packet) {
            return Some(world.apply_mode(subject, Verdict::denied(Reason::State)));
        }
        match opened {
            Some(flow) => {
                let verdict = judge_flow(&world, subject, &flow);
                if verdict.passes {
                    // Only a SYN gets here with the reversed tuple open: the new flow takes it over.
                    let reversed = flow.reversed();
                    if flow.protocol == 6 {
                        self.flows.retain(|open| *open != reversed);
                    }
                    self.flows.push(flow);
                }
                Some(verdict)
            }
            None => {
                let (protocol, port) = single_message(packet);
                Some(judge(&world, subject, *direction, (*source, *destination), protocol, port))
            }
        }
    }
}

/// What is denied at the boundary whatever the rules say, first reason first.
fn forbidden(subject: &Workload, packet: &Packet) -> Option<Reason> {
    if is_martian(packet.source) {
        return Some(Reason::Martian);
    }
    match packet.payload {
        Payload::Tcp { flags, .. } if !flags.plausible() => return Some(Reason::TcpFlags),
        Payload::Icmp { kind, .. } if is_redirect(Family::of(packet.source), kind) => {
            return Some(Reason::Redirect);
        }
        _ => {}
    }
    match packet.direction {
        Direction::Egress if !subject.addresses.contains(&packet.source) => Some(Reason::SpoofedSource),
        Direction::Ingress
            if !subject.addresses.contains(&packet.destination) && !is_multicast(packet.destination) =>
        {
            Some(Reason::ForeignDestination)
        }
        Direction::Egress | Direction::Ingress => None,
    }
}

/// Whether the packet is an ICMP error about an open flow of its subject that passes now, sent to where the quoted
/// packet came from.
fn is_related(world: &World<'_>, subject: &Workload, flows: &[Flow], packet: &Packet) -> bool {
    let Payload::Icmp { kind, quoted: Some(quoted), .. } = &packet.payload else { return false };
    if !is_icmp_error(icmp_protocol(Family::of(packet.source)), *kind) || quoted.source != packet.destination
    {
        return false;
    }
    let Quoted { source, destination, payload } = quoted;
    // The quoted packet went the other way.
    let way = packet.direction.opposite();
    let opened = Flow::opened(&packet.subject, way, *source, *destination, payload);
    let answered = Flow::answered(&packet.subject, way, *source, *destination, payload);
    opened.iter().chain(&answered).any(|flow| {
        flows.contains(flow)
            && world.workload(&subject.name).is_some_and(|subject| judge_flow(world, subject, flow).passes)
    })
}

/// Whether the packet can only belong to a flow that is open: TCP that doesn't open one, and ICMP replies.
fn needs_a_flow(packet: &Packet) -> bool {
    match packet.payload {
        Payload::Tcp { flags, .. } => !flags.opens(),
        Payload::Icmp { kind, .. } => query_with_reply(Family::of(packet.source), kind).is_some(),
        Payload::Ports { .. } | Payload::Other(_) => false,
    }
}

/// Protocol and number of an ICMP message that opens no flow and belongs to none.
fn single_message(packet: &Packet) -> (u8, u16) {
    match packet.payload {
        Payload::Icmp { kind, code, .. } => {
            (icmp_protocol(Family::of(packet.source)), u16::from_be_bytes([kind, code]))
        }
        Payload::Tcp { dport, .. } => (6, dport),
        Payload::Ports { protocol, dport, .. } => (protocol, dport),
        Payload::Other(protocol) => (protocol, 0),
    }
}
