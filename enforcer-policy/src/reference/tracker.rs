//! Packets with memory: flows, replies, TCP's first packet, ICMP answers and errors.
//!
//! The naive model of flow tracking: it remembers which flows were opened at which subject's hook and nothing of
//! what was decided. Every packet of a flow is decided from the documents again, from its initiator's view, so
//! changes of policy, mode, identity and expiry need no thought. Flows never time out and never close.

use super::flow::{Flow, query_with_reply};
use super::packet::icmp_protocol;
use super::rules::is_icmp_error;
use super::{
    Direction, Family, Packet, Payload, Place, Quoted, Reason, Verdict, World, has_hook, is_martian,
    is_multicast,
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

/// The verdict on a flow as its initiator would get it now.
fn judge_flow<'a>(world: &World<'a>, subject: &'a Workload, flow: &Flow) -> Verdict<'a> {
    let (source, destination) = (flow.initiator, flow.responder);
    if let Some(reason) = not_its_own(subject, flow.direction, source, destination) {
        return world.apply_mode(subject, Verdict::denied(reason));
    }
    judge(world, subject, flow.direction, (source, destination), flow.protocol, flow.port())
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
        if let Some(reason) = forbidden(packet) {
            return Some(world.apply_mode(subject, Verdict::denied(reason)));
        }
        if let Some(verdict) = related(&world, subject, &self.flows, packet) {
            // The flow's verdict; its cause only where it is denied.
            return Some(if verdict.passes { Verdict::allowed(Reason::Related) } else { verdict });
        }

        let Packet { subject: name, direction, source, destination, payload, .. } = packet;
        let opened = Flow::opened(name, *direction, *source, *destination, payload);
        let answered = Flow::answered(name, *direction, *source, *destination, payload);
        for flow in opened.iter().chain(&answered) {
            if self.flows.contains(flow) {
                return Some(judge_flow(&world, subject, flow));
            }
        }

        let denied = not_its_own(subject, *direction, *source, *destination)
            .or_else(|| needs_a_flow(packet).then_some(Reason::State));
        if let Some(reason) = denied {
            return Some(world.apply_mode(subject, Verdict::denied(reason)));
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
                // An ICMP error that is about no flow.
                let Payload::Icmp { kind, code, .. } = *payload else {
                    unreachable!("everything else opens a flow")
                };
                let (protocol, port) = (icmp_protocol(Family::of(*source)), u16::from_be_bytes([kind, code]));
                Some(judge(&world, subject, *direction, (*source, *destination), protocol, port))
            }
        }
    }
}

fn is_redirect(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => kind == 5,
        Family::V6 => kind == 137,
    }
}

/// What is denied at the boundary whatever flows and rules say, first reason first.
fn forbidden(packet: &Packet) -> Option<Reason> {
    let family = Family::of(packet.source);
    match packet.payload {
        Payload::Tcp { flags, .. } if !flags.plausible() => return Some(Reason::TcpFlags),
        Payload::Icmp { kind, .. } if is_redirect(family, kind) => return Some(Reason::Redirect),
        _ => {}
    }
    let martian = is_martian(packet.source) || is_martian(packet.destination) || is_multicast(packet.source);
    martian.then_some(Reason::Martian)
}

/// Why a packet of `subject` can't open a flow with these addresses.
fn not_its_own(
    subject: &Workload,
    direction: Direction,
    source: IpAddr,
    destination: IpAddr,
) -> Option<Reason> {
    match direction {
        Direction::Egress if !subject.addresses.contains(&source) => Some(Reason::SpoofedSource),
        Direction::Ingress if !subject.addresses.contains(&destination) && !is_multicast(destination) => {
            Some(Reason::ForeignDestination)
        }
        Direction::Egress | Direction::Ingress => None,
    }
}

/// The verdict on the tracked flow of its subject that an ICMP error is about, where it is one and is sent to where the quoted packet
/// came from.
fn related<'a>(
    world: &World<'a>,
    subject: &'a Workload,
    flows: &[Flow],
    packet: &Packet,
) -> Option<Verdict<'a>> {
    let Payload::Icmp { kind, quoted: Some(quoted), .. } = &packet.payload else { return None };
    let Quoted { source, destination, payload } = quoted;
    // Anybody on the path may report to the subject; the subject reports only from where the quoted packet went.
    let addressed = *source == packet.destination
        && (packet.direction == Direction::Ingress || *destination == packet.source);
    if !is_icmp_error(icmp_protocol(Family::of(packet.source)), *kind) || !addressed {
        return None;
    }
    // The quoted packet went the other way.
    let way = packet.direction.opposite();
    let opened = Flow::opened(&packet.subject, way, *source, *destination, payload);
    let answered = Flow::answered(&packet.subject, way, *source, *destination, payload);
    let tracked = opened.into_iter().chain(answered).find(|flow| flows.contains(flow))?;
    Some(judge_flow(world, subject, &tracked))
}

/// Whether the packet can only belong to a flow that is open: TCP that doesn't open one, and ICMP replies.
fn needs_a_flow(packet: &Packet) -> bool {
    match packet.payload {
        Payload::Tcp { flags, .. } => !flags.opens(),
        Payload::Icmp { kind, .. } => query_with_reply(Family::of(packet.source), kind).is_some(),
        Payload::Ports { .. } | Payload::Other(_) => false,
    }
}
