//! The verdict on a packet: parse, find its flow, else ask the rules, then count and report.
//!
//! Guarantees, for a managed workload in mode `enforce`:
//!
//! - what isn't understood is denied with a reason of its own;
//! - a packet passes only under a rule of the generation in force when the packet came, or as neighbour discovery that claims nothing foreign;
//! - a flow's packets and its replies get the verdict of the packet that opened it, judged anew when the epoch or a deadline has passed;
//! - every packet is counted once, under the rule or the reason that decided it.

mod arp;
mod decide;
mod flow;
mod fragment;
mod neighbour;
mod related;

use crate::address::{Address, record};
use crate::event::FlowEvent;
use crate::maps::{Control, Direction, Subject, mode};
use crate::packet::Packet;
use crate::parse::{IcmpKind, Link, ethertype, link, network, protocol, transport};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome, Word};
use crate::{Reason, flow::FlowEntry};

/// Where a packet is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Interface index.
    pub subject: u32,
    /// As the subject sees it.
    pub direction: Direction,
}

/// What is known before the packet is looked at.
#[derive(Clone, Copy)]
struct Context {
    hook: Hook,
    control: Control,
    subject: Subject,
    len: u32,
}

/// What is known of a packet as far as it was parsed.
#[derive(Clone, Copy)]
struct Facts<const N: usize> {
    source: Address<N>,
    destination: Address<N>,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
}

impl<const N: usize> Facts<N> {
    const UNKNOWN: Self =
        Self { source: [0; N], destination: [0; N], source_port: 0, destination_port: 0, protocol: 0 };

    /// The subject's end: address and port.
    #[inline(always)]
    fn local(&self, direction: Direction) -> (Address<N>, u16) {
        match direction {
            Direction::Egress => (self.source, self.source_port),
            Direction::Ingress => (self.destination, self.destination_port),
        }
    }

    /// The peer's end: address and port.
    #[inline(always)]
    fn remote(&self, direction: Direction) -> (Address<N>, u16) {
        match direction {
            Direction::Egress => (self.destination, self.destination_port),
            Direction::Ingress => (self.source, self.source_port),
        }
    }
}

/// An outcome and what is to be told of it.
#[derive(Clone, Copy)]
struct Ruling {
    outcome: Outcome,
    /// The peer's identity, where it was looked up.
    peer: u32,
    /// [`FlowEvent::NEW`] and the like.
    flags: u8,
    /// Whether a record is made.
    report: bool,
}

impl Ruling {
    #[inline(always)]
    const fn quiet(outcome: Outcome) -> Self {
        Self { outcome, peer: 0, flags: 0, report: false }
    }

    /// Passed packets are reported by who calls this; dropped ones always (up to a rate).
    #[inline(always)]
    const fn told(outcome: Outcome, peer: u32, flags: u8) -> Self {
        Self { outcome, peer, flags, report: true }
    }

    #[inline(always)]
    const fn deny(reason: Reason) -> Self {
        Self::told(Outcome::deny(reason), 0, 0)
    }
}

/// Judges one packet at one hook, counts it and reports it.
#[inline(always)]
pub fn judge<P: Packet, T: Tables>(packet: &P, hook: Hook, tables: &mut T) -> Outcome {
    let control = tables.control();
    let bank = control.bank();
    let len = packet.len();
    let known = tables.subject(bank, hook.subject);
    let Some(subject) = known.filter(|subject| subject.identity != 0 && control.epoch() != 0) else {
        let outcome = Outcome::deny(Reason::UnknownSubject);
        tables.count(&outcome, len, false);
        return outcome;
    };
    if subject.mode == mode::OFF {
        let outcome = Outcome::pass(Reason::SegmentOff);
        tables.count(&outcome, len, false);
        return outcome;
    }
    let context = Context { hook, control, subject, len };
    match link(packet, subject.flags & Subject::NO_LINK_HEADER != 0) {
        Ok(link) if spoofs_mac(&context, &link) => outside_ip(&context, tables, Err(Reason::SpoofedMac)),
        Ok(link) => match link.ethertype {
            ethertype::IPV4 => family::<1, P, T>(packet, &context, &link, tables),
            ethertype::IPV6 => family::<4, P, T>(packet, &context, &link, tables),
            ethertype::ARP => {
                let ruling = arp::arp(packet, &context, &link, tables);
                outside_ip(&context, tables, ruling)
            }
            tag if crate::parse::is_tag(tag) => outside_ip(&context, tables, Err(Reason::Vlan)),
            _ => outside_ip(&context, tables, Err(Reason::Ethertype)),
        },
        Err(reason) => outside_ip(&context, tables, Err(reason)),
    }
}

#[inline(always)]
fn spoofs_mac(context: &Context, link: &Link) -> bool {
    context.subject.flags & Subject::HAS_MAC != 0
        && context.hook.direction == Direction::Egress
        && link.source != context.subject.mac
}

/// Ends the judgement of a frame that isn't IP, or whose IP header wasn't reached.
#[inline(always)]
fn outside_ip<T: Tables>(context: &Context, tables: &mut T, ruling: Result<Ruling, Reason>) -> Outcome {
    let ruling = ruling.unwrap_or_else(Ruling::deny);
    conclude::<1, T>(context, &Facts::UNKNOWN, 0, ruling, tables)
}

/// Judges an IP packet of one family.
#[inline(always)]
fn family<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    link: &Link,
    tables: &mut T,
) -> Outcome {
    let mut facts = Facts::<N>::UNKNOWN;
    let ruling = rule(packet, context, link, &mut facts, tables).unwrap_or_else(Ruling::deny);
    conclude(context, &facts, if N == 1 { 4 } else { 6 }, ruling, tables)
}

#[inline(always)]
fn rule<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    link: &Link,
    facts: &mut Facts<N>,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let net = network::<N, P>(packet, link.network)?;
    facts.source = net.source;
    facts.destination = net.destination;
    facts.protocol = net.protocol;
    if net.fragment.offset != 0 {
        return fragment::later(packet, context, &net, facts, tables);
    }
    let transport = transport(packet, &net)?;
    facts.source_port = transport.source;
    facts.destination_port = transport.destination;
    let ruling = match transport.icmp {
        IcmpKind::Redirect => return Err(Reason::Redirect),
        IcmpKind::Neighbour => return neighbour::neighbour(packet, context, link, &net, tables),
        IcmpKind::Router if context.hook.direction == Direction::Egress => return Err(Reason::RogueServer),
        // Error messages are bounded by what they quote: none is large enough to be sent in parts.
        IcmpKind::Error if net.fragment.more => return Err(Reason::Malformed),
        IcmpKind::Error => related::related(packet, context, &net, facts, tables)?,
        _ => flow::flow(context, facts, &transport, tables)?,
    };
    if net.fragment.more {
        return fragment::first(context, &net, facts, ruling, tables);
    }
    Ok(ruling)
}

/// What the subject's mode makes of an outcome.
#[inline(always)]
fn apply_mode(context: &Context, outcome: Outcome) -> Outcome {
    if !outcome.passes && context.subject.mode == mode::AUDIT {
        Outcome { passes: true, word: Word::Audited, cause: outcome.cause }
    } else {
        outcome
    }
}

/// Counts and reports.
#[inline(always)]
fn conclude<const N: usize, T: Tables>(
    context: &Context,
    facts: &Facts<N>,
    family: u8,
    ruling: Ruling,
    tables: &mut T,
) -> Outcome {
    let outcome = apply_mode(context, ruling.outcome);
    tables.count(&outcome, context.len, ruling.flags & FlowEvent::NEW != 0);
    if ruling.report {
        let opened = ruling.flags & (FlowEvent::NEW | FlowEvent::CHANGED) != 0;
        let event = FlowEvent {
            time: tables.clock().boot(),
            epoch: context.control.epoch(),
            subject: context.hook.subject,
            identity: context.subject.identity,
            peer: ruling.peer,
            cause: outcome.cause.0,
            bytes: context.len,
            source: record(&facts.source),
            destination: record(&facts.destination),
            source_port: u16::from_be(facts.source_port),
            destination_port: u16::from_be(facts.destination_port),
            protocol: facts.protocol,
            family,
            direction: context.hook.direction as u8,
            word: outcome.word as u8,
            passes: outcome.passes as u8,
            flags: ruling.flags,
            reserved: [0; 6],
        };
        tables.report(&event, !(opened && outcome.passes || ruling.flags & FlowEvent::CHANGED != 0));
    }
    outcome
}

/// The verdict an entry holds.
#[inline(always)]
fn standing(entry: &FlowEntry) -> Outcome {
    Outcome { passes: entry.passes(), word: entry.word(), cause: Cause(entry.cause) }
}

/// Whether an instant of the boot-time clock has passed; asks the clock only where there is one.
#[inline(always)]
fn past<C: Clock>(deadline: u64, clock: C) -> bool {
    deadline != u64::MAX && clock.boot() >= deadline
}

/// Whether a protocol carries another flow inside (numbers of the IANA registry): such a flow is hidden from the rules.
#[inline(always)]
const fn encapsulates(number: u8) -> bool {
    matches!(number, 4 | 41 | 47 | 94 | 97 | 115 | 137)
}

/// Whether rules about a protocol are everyday: the others have a reason of their own where no rule names them.
#[inline(always)]
const fn everyday(number: u8) -> bool {
    matches!(number, protocol::ICMP | protocol::TCP | protocol::UDP | protocol::ICMPV6)
}
