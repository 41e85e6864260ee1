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

use crate::Reason;
use crate::address::record;
use crate::event::FlowEvent;
use crate::flow::{FlowEntry, FlowKey};
use crate::maps::{Control, Direction, Subject, mode};
use crate::packet::Packet;
use crate::parse::{IcmpKind, Link, ethertype, is_tag, link, network, protocol, transport};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome, Word};

/// Where a packet is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Interface index.
    pub subject: u32,
    /// As the subject sees it.
    pub direction: Direction,
}

/// What is known before the IP header is looked at. Small: kernel programs have 512 bytes of stack, so what
/// can be looked up again in an array is not carried along.
#[derive(Clone, Copy)]
struct Context {
    hook: Hook,
    control: Control,
    len: u32,
    mode: u8,
    link: Link,
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
    let len = packet.len();
    let known = tables.subject(control.bank(), hook.subject);
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
    let mut context = Context { hook, control, len, mode: subject.mode, link: Link::NONE };
    let refused = match link(packet, subject.flags & Subject::NO_LINK_HEADER != 0) {
        Err(reason) => reason,
        Ok(link) => {
            context.link = link;
            let checked = subject.flags & Subject::HAS_MAC != 0 && hook.direction == Direction::Egress;
            if checked && link.source != subject.mac {
                Reason::SpoofedMac
            } else {
                match link.ethertype {
                    ethertype::IPV4 => return family::<1, P, T>(packet, &context, tables),
                    ethertype::IPV6 => return family::<4, P, T>(packet, &context, tables),
                    ethertype::ARP => return resolution(packet, &context, tables),
                    tag if is_tag(tag) => Reason::Vlan,
                    _ => Reason::Ethertype,
                }
            }
        }
    };
    conclude::<1, T>(&context, &FlowKey::of(hook.subject), 0, Ruling::deny(refused), tables)
}

/// Judges an ARP message.
#[inline(always)]
fn resolution<P: Packet, T: Tables>(packet: &P, context: &Context, tables: &mut T) -> Outcome {
    let ruling = arp::arp(packet, context, tables).unwrap_or_else(Ruling::deny);
    conclude::<1, T>(context, &FlowKey::of(context.hook.subject), 0, ruling, tables)
}

/// Judges an IP packet of one family. A function of its own in the kernel, so that the two families don't share a stack frame.
#[inline(never)]
fn family<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    tables: &mut T,
) -> Outcome {
    let mut key = FlowKey::<N>::of(context.hook.subject);
    let ruling = rule(packet, context, &mut key, tables).unwrap_or_else(Ruling::deny);
    conclude(context, &key, if N == 1 { 4 } else { 6 }, ruling, tables)
}

#[inline(always)]
fn rule<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    key: &mut FlowKey<N>,
    tables: &mut T,
) -> Result<Ruling, Reason> {
    let direction = context.hook.direction;
    let (net, addresses) = network::<N, P>(packet, context.link.network)?;
    (key.local, key.remote) = match direction {
        Direction::Egress => (addresses.source, addresses.destination),
        Direction::Ingress => (addresses.destination, addresses.source),
    };
    key.protocol = net.protocol;
    if net.fragment.offset != 0 {
        return fragment::later(packet, context, &net, key, tables);
    }
    let transport = transport::<N, P>(packet, &net)?;
    key.set_ports(direction, transport.source, transport.destination);
    let ruling = match transport.icmp {
        IcmpKind::Redirect => return Err(Reason::Redirect),
        IcmpKind::Neighbour => return neighbour::neighbour(packet, context, &net, key, tables),
        IcmpKind::Router if direction == Direction::Egress => return Err(Reason::RogueServer),
        // Error messages are bounded by what they quote: none is large enough to be sent in parts.
        IcmpKind::Error if net.fragment.more => return Err(Reason::Malformed),
        IcmpKind::Error => return related::related(packet, context, &net, key, tables),
        _ => flow::flow(context, key, &transport, tables)?,
    };
    if net.fragment.more {
        return fragment::first(context, &net, key, ruling, tables);
    }
    Ok(ruling)
}

/// What the subject's mode makes of an outcome.
#[inline(always)]
fn apply_mode(context: &Context, outcome: Outcome) -> Outcome {
    if !outcome.passes && context.mode == mode::AUDIT {
        Outcome { passes: true, word: Word::Audited, cause: outcome.cause }
    } else {
        outcome
    }
}

/// Counts and reports.
#[inline(always)]
fn conclude<const N: usize, T: Tables>(
    context: &Context,
    key: &FlowKey<N>,
    family: u8,
    ruling: Ruling,
    tables: &mut T,
) -> Outcome {
    let outcome = apply_mode(context, ruling.outcome);
    tables.count(&outcome, context.len, ruling.flags & FlowEvent::NEW != 0);
    // A verdict that was reached once for a whole flow is always told; one on a single denied packet up to a rate.
    let changed = ruling.flags & FlowEvent::CHANGED != 0;
    let limited = !(changed || ruling.flags & FlowEvent::NEW != 0 && outcome.passes);
    if ruling.report && tables.wants(limited) {
        let direction = context.hook.direction;
        let identity = tables.subject(context.control.bank(), context.hook.subject).map_or(0, |s| s.identity);
        let time = tables.clock().boot();
        let (source_port, destination_port) = key.ports(direction);
        tables.report(|| FlowEvent {
            time,
            epoch: context.control.epoch(),
            subject: context.hook.subject,
            identity,
            peer: ruling.peer,
            cause: outcome.cause.0,
            bytes: context.len,
            source: record(key.source(direction)),
            destination: record(key.destination(direction)),
            source_port: u16::from_be(source_port),
            destination_port: u16::from_be(destination_port),
            protocol: key.protocol,
            family,
            direction: direction as u8,
            word: outcome.word as u8,
            passes: outcome.passes as u8,
            flags: ruling.flags,
            reserved: [0; 6],
        });
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
