//! The verdict on a packet: parse, find its flow, else ask the rules, then count and report.
//!
//! Guarantees, for a managed workload in mode `enforce`:
//!
//! - what isn't understood is denied with a reason of its own;
//! - a packet passes only under a rule of the generation in force when the packet came, or as neighbour discovery that claims nothing foreign;
//! - a flow's packets and its replies get the verdict of the packet that opened it, judged anew when the epoch or a deadline has passed;
//! - every packet is counted once, under the rule or the reason that decided it.
//!
//! And of a quarantined one, in every mode: nothing passes but the path that its quarantine leaves.

mod arp;
mod decide;
mod failsafe;
mod flow;
mod fragment;
mod lease;
mod neighbour;
mod quarantine;
mod quota;
mod rejection;
mod related;
mod silence;

pub use decide::port_decision;
pub use rejection::Rejection;
pub use silence::{encapsulates, silence, unremarkable};

use crate::Reason;
use crate::address::record;
use crate::answer::Decision;
use crate::event::FlowEvent;
use crate::flow::{FlowEntry, FlowKey};
use crate::maps::{Control, Direction, Endpoint, Generation, Subject, Tally, mode};
use crate::packet::Packet;
use crate::parse::{
    IcmpKind, Link, Network, Transport, ethertype, hardware, is_tag, link, network, transport,
};
use crate::tables::{Clock, FamilyTables, Tables};
use crate::verdict::{Cause, Outcome, Word};
use decide::Decided;
use flow::Ask;

pub use failsafe::{Ends, stays_open};
pub use related::related;

/// Where a packet is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Interface index, or [`Subject::hosted`].
    pub subject: u32,
    /// As the subject sees it.
    pub direction: Direction,
}

/// What is known before the IP header is looked at.
pub struct Context {
    hook: Hook,
    control: Control,
    len: u32,
    mode: u8,
    /// As [`Subject::flags`].
    flags: u8,
    link: Link,
}

impl Context {
    const EMPTY: Self = Self {
        hook: Hook { subject: 0, direction: Direction::Egress },
        control: Control(0),
        len: 0,
        mode: mode::ENFORCE,
        flags: 0,
        link: Link::NONE,
    };

    /// What was in force when the packet came.
    #[must_use]
    pub const fn control(&self) -> Control {
        self.control
    }

    /// Whether the subject is known by its cgroup: it has the machine's addresses, and its packets no link header.
    #[inline(always)]
    fn hosted<T: Tables>(&self) -> bool {
        T::HOSTED.unwrap_or(self.has(Subject::HOSTED))
    }

    /// Whether the subject is the machine itself, its kernel included.
    #[inline(always)]
    fn is_host<T: Tables>(&self) -> bool {
        T::HOSTED != Some(false) && self.has(Subject::IS_HOST)
    }

    /// Offset of the IP header.
    #[inline(always)]
    const fn network<P: Packet>(&self) -> u32 {
        if P::NETWORK == 0 { 0 } else { self.link.network }
    }

    /// Whether a flag is set.
    #[inline(always)]
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
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
    #[expect(dead_code, reason = "fills what would be padding")]
    reserved: u16,
}

impl Ruling {
    #[inline(always)]
    const fn quiet(outcome: Outcome) -> Self {
        Self { outcome, peer: 0, flags: 0, report: false, reserved: 0 }
    }

    /// Passed packets are reported by who calls this; dropped ones always (up to a rate).
    #[inline(always)]
    const fn told(outcome: Outcome, peer: u32, flags: u8) -> Self {
        Self { outcome, peer, flags, report: true, reserved: 0 }
    }

    #[inline(always)]
    const fn deny(reason: Reason) -> Self {
        Self::told(Outcome::deny(reason), 0, 0)
    }
}

/// How far a packet got without the rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To its verdict, in [`Sight::ruling`].
    Done,
    /// The rules have to be asked [`Sight::ask`].
    Ask,
}

/// Room for what is found out about a packet, apart from the stack: kernel programs keep it in a map, both because their stack is
/// small and because the verifier then forgets how each value came about and walks what follows once.
pub struct Scratch {
    /// Whom to tell of the packet judged last.
    pub rejection: Rejection,
    context: Context,
    four: Sight<1>,
    six: Sight<4>,
}

impl Scratch {
    /// Nothing found out.
    pub const EMPTY: Self =
        Self { rejection: Rejection::NONE, context: Context::EMPTY, four: Sight::EMPTY, six: Sight::EMPTY };

    /// What a stage works on whose packet is of IPv4.
    #[inline(always)]
    pub const fn of4(&mut self) -> (&Context, &mut Sight<1>) {
        (&self.context, &mut self.four)
    }

    /// The same of IPv6.
    #[inline(always)]
    pub const fn of6(&mut self) -> (&Context, &mut Sight<4>) {
        (&self.context, &mut self.six)
    }
}

/// What is found out about an IP packet.
pub struct Sight<const N: usize> {
    key: FlowKey<N>,
    net: Network,
    transport: Transport,
    /// The flow an ICMP error quotes, where `quotes`.
    about: FlowKey<N>,
    quotes: bool,
    /// The flow that it quotes isn't tracked.
    stray: bool,
    ask: Ask,
    own: Endpoint,
    peer: Endpoint,
    best: Decision,
    decided: Decided,
    refused: bool,
    /// Both ends are the subject's own.
    within: bool,
    ruling: Ruling,
    /// What is to be remembered of a flow that the packet opens.
    fresh: FlowEntry,
}

impl<const N: usize> Sight<N> {
    const EMPTY: Self = Self {
        key: FlowKey::of(0),
        net: Network::NONE,
        transport: Transport::NONE,
        about: FlowKey::of(0),
        quotes: false,
        stray: false,
        ask: Ask::OPEN,
        own: Endpoint::NONE,
        peer: Endpoint::NONE,
        best: Decision::NONE,
        decided: Decided { outcome: Outcome::deny(Reason::NoRule), deadline: u64::MAX, peer: 0, resident: 0 },
        refused: false,
        within: false,
        ruling: Ruling::deny(Reason::NoRule),
        fresh: FlowEntry::NONE,
    };

    /// The flow the rules are asked about.
    #[inline(always)]
    fn target(&self) -> &FlowKey<N> {
        if self.quotes { &self.about } else { &self.key }
    }

    /// The same, and both its ends: the subject, and the peer.
    #[inline(always)]
    fn ends(&mut self) -> (&FlowKey<N>, &mut Endpoint, &mut Endpoint) {
        let target = if self.quotes { &self.about } else { &self.key };
        (target, &mut self.own, &mut self.peer)
    }
}

/// Ends a stage: what follows reads everything anew.
#[inline(always)]
fn settle<T>(sight: &mut T) -> &mut T {
    core::hint::black_box(sight)
}

/// Judges one packet at one hook, counts it and reports it.
#[inline(always)]
pub fn judge<P: Packet, T: Tables>(packet: &P, hook: Hook, tables: &mut T) -> Outcome {
    let mut scratch = Scratch::EMPTY;
    judge_in(packet, hook, &mut scratch, tables)
}

/// As [`judge`], with room that the caller has. What it holds before doesn't matter.
#[inline(always)]
pub fn judge_in<P: Packet, T: Tables>(
    packet: &P,
    hook: Hook,
    scratch: &mut Scratch,
    tables: &mut T,
) -> Outcome {
    scratch.rejection = Rejection::NONE;
    let control = in_force(tables);
    let len = packet.len();
    let known = tables.subject_entry(control.bank(), hook.subject);
    let Some(subject) = known.filter(|subject| subject.identity != 0 && control.epoch() != 0) else {
        return nobody(control, hook, len, tables);
    };
    let (mode, flags) = lease::now(control.bank(), hook, subject, tables);
    let (held, flags) = quarantine::held(control.bank(), subject.identity, mode, flags, tables);
    if held == mode::OFF {
        let outcome = Outcome::pass(Reason::SegmentOff);
        tables.count(&outcome, Tally::new(mode::OFF, hook.direction, outcome.word), len, false);
        return outcome;
    }
    scratch.context = Context { hook, control, len, mode: held, flags, link: Link::NONE };
    let Scratch { rejection, context, four, six } = settle(scratch);
    let refused = match link(packet, context.has(Subject::NO_LINK_HEADER)) {
        Err(reason) => reason,
        Ok(link) => {
            context.link = link;
            // Whoever has no link header has no hardware address either.
            let checked = P::NETWORK != 0 && context.has(Subject::HAS_MAC);
            if checked && hook.direction == Direction::Egress && link.source != hardware(subject.mac) {
                Reason::SpoofedMac
            } else {
                match link.ethertype {
                    ethertype::IPV4 => return family(packet, context, four, rejection, tables),
                    ethertype::IPV6 => return family(packet, context, six, rejection, tables),
                    ethertype::ARP => return resolution(packet, context, four, tables),
                    tag if is_tag(tag) => Reason::Vlan,
                    _ => Reason::Ethertype,
                }
            }
        }
    };
    stranger(context, refused, four, tables)
}

/// Ends the judgement of a packet that meets nobody's hook. A cgroup that nobody has looked at yet is held as the daemon's default mode says; a
/// device that nobody knows, strictly.
#[inline(never)]
fn nobody<T: Tables>(control: Control, hook: Hook, len: u32, tables: &mut T) -> Outcome {
    let known = if control.epoch() == 0 { None } else { tables.subject(control.bank(), hook.subject) };
    let lenient = known.filter(|subject| subject.flags & Subject::HOSTED != 0);
    let mode = lenient.map_or(mode::ENFORCE, |subject| subject.mode);
    let outcome = match mode {
        mode::OFF => Outcome::pass(Reason::SegmentOff),
        mode::AUDIT => Outcome::new(true, Word::Audited, Cause::reason(Reason::UnknownSubject)),
        _ => Outcome::deny(Reason::UnknownSubject),
    };
    tables.count(&outcome, Tally::new(mode, hook.direction, outcome.word), len, false);
    outcome
}

/// What is in force: what the control word says, unless that was for a time which has passed.
/// Where who is judged depends on it, whoever calls asks this once and answers [`Tables::control`] with it.
#[inline(always)]
pub fn in_force<T: Tables>(tables: &T) -> Control {
    let control = tables.control();
    if !control.is_unconfirmed() {
        return control;
    }
    if past(until(tables.generation(control.bank())), tables.clock()) {
        control.fallback()
    } else {
        control.meanwhile()
    }
}

#[inline(always)]
fn until(generation: Option<&Generation>) -> u64 {
    generation.map_or(0, |generation| generation.until)
}

/// Denies a frame whose IP header wasn't reached.
#[inline(never)]
fn stranger<T: Tables>(context: &Context, reason: Reason, sight: &mut Sight<1>, tables: &mut T) -> Outcome {
    sight.ruling = Ruling::deny(reason);
    elsewhere(context, sight, tables)
}

/// Judges an ARP message.
#[inline(never)]
fn resolution<P: Packet, T: Tables>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<1>,
    tables: &mut T,
) -> Outcome {
    let ruling = if quarantine::sealed(context) {
        Err(Reason::Quarantined)
    } else {
        arp::arp(packet, context, tables)
    };
    sight.ruling = ruling.unwrap_or_else(Ruling::deny);
    elsewhere(context, sight, tables)
}

/// Ends the judgement of a frame that isn't IP.
#[inline(always)]
fn elsewhere<T: Tables>(context: &Context, sight: &mut Sight<1>, tables: &mut T) -> Outcome {
    sight.key = FlowKey::of(context.hook.subject);
    conclude(context, sight, 0, tables)
}

/// Judges an IP packet of one family. A function of its own in the kernel, so that the two families don't share a stack frame.
#[inline(never)]
fn family<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<N>,
    rejection: &mut Rejection,
    tables: &mut T,
) -> Outcome {
    sight.key = FlowKey::of(context.hook.subject);
    (sight.quotes, sight.stray) = (false, false);
    if let Err(reason) = headers(packet, context, sight) {
        sight.ruling = Ruling::deny(reason);
    } else {
        let sight = settle(sight);
        if let Err(reason) = rule(packet, context, sight, tables) {
            sight.ruling = Ruling::deny(reason);
        }
    }
    let sight = settle(sight);
    let outcome = conclude(context, sight, if N == 1 { 4 } else { 6 }, tables);
    // Nobody is told at a socket.
    if T::HOSTED != Some(true) && !outcome.passes {
        *rejection = rejection::rejection(context, sight, &outcome);
    }
    outcome
}

/// Reads the IP header and, where it is here, the transport header.
#[inline(always)]
fn headers<const N: usize, P: Packet>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<N>,
) -> Result<(), Reason> {
    let direction = context.hook.direction;
    let (source, destination) = match direction {
        Direction::Egress => (&mut sight.key.local, &mut sight.key.remote),
        Direction::Ingress => (&mut sight.key.remote, &mut sight.key.local),
    };
    let read = network::<N, P>(packet, context.network::<P>(), &mut sight.net, source, destination);
    if let Err(reason) = read {
        sight.key = FlowKey::of(context.hook.subject);
        return Err(reason);
    }
    sight.key.protocol = sight.net.protocol;
    let sight = settle(sight);
    if sight.net.fragment.offset == 0 {
        let transport = transport::<N, P>(packet, &sight.net)?;
        sight.key.set_ports(direction, transport.source, transport.destination);
        sight.transport = transport;
    }
    Ok(())
}

/// Finds the flow, asks the rules where there is none in force, and takes their answer: into [`Sight::ruling`], or it is an `Err`.
#[inline(always)]
fn rule<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) -> Result<(), Reason> {
    let step = if sight.net.fragment.offset != 0 {
        fragment::later(packet, context, sight, tables)?
    } else {
        match sight.transport.icmp {
            IcmpKind::Redirect => return Err(Reason::Redirect),
            IcmpKind::Neighbour if N != 1 && quarantine::sealed(context) => return Err(Reason::Quarantined),
            // Only ICMPv6 has it.
            IcmpKind::Neighbour if N != 1 => {
                if context.hosted::<T>() {
                    neighbour::hosted::<T>(context)?;
                } else {
                    neighbour::neighbour(packet, context, settle(sight), tables)?;
                }
                sight.ruling = Ruling::quiet(Outcome::pass(Reason::Neighbour));
                Step::Done
            }
            IcmpKind::Router
                if N == 1 && context.hook.direction == Direction::Egress && !context.is_host::<T>() =>
            {
                return Err(Reason::RogueServer);
            }
            // Error messages are bounded by what they quote: none is large enough to be sent in parts.
            IcmpKind::Error if sight.net.fragment.more => return Err(Reason::Malformed),
            IcmpKind::Error => tables.related(packet, context, sight),
            _ => flow::flow(context, sight, tables)?,
        }
    };
    let sight = settle(sight);
    if step == Step::Ask {
        tables.ask(context, sight);
    }
    let sight = settle(sight);
    if sight.net.fragment.more && sight.net.fragment.offset == 0 {
        fragment::first(context, sight, tables)?;
    }
    Ok(())
}

/// Asks the rules what [`Sight::ask`] says, and takes their answer, into [`Sight::ruling`].
#[inline(always)]
pub fn ask<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) {
    let sight = decide::decide(context, settle(sight), tables);
    sight.ruling = flow::answered(context, sight, tables).unwrap_or_else(Ruling::deny);
}

/// What the subject's mode makes of an outcome.
#[inline(always)]
fn apply_mode(context: &Context, outcome: Outcome) -> Outcome {
    if !outcome.passes && context.mode == mode::AUDIT && !quarantine::cuts(&outcome) {
        Outcome::new(true, Word::Audited, outcome.cause)
    } else {
        outcome
    }
}

/// Counts and reports.
#[inline(always)]
fn conclude<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &mut Sight<N>,
    family: u8,
    tables: &mut T,
) -> Outcome {
    let ruling = sight.ruling;
    let outcome = quarantine::named(context, apply_mode(context, ruling.outcome));
    let tally = Tally::new(context.mode, context.hook.direction, outcome.word);
    tables.count(&outcome, tally, context.len, ruling.flags & FlowEvent::NEW != 0);
    if ruling.report {
        sight.ruling.outcome = outcome;
        tables.tell(context, settle(sight), family);
    }
    outcome
}

/// Reports a packet, of IP version `family` or 0, with its verdict in [`Sight::ruling`].
#[inline(always)]
pub fn tell<const N: usize, T: Tables>(context: &Context, sight: &Sight<N>, family: u8, tables: &mut T) {
    let (key, ruling, outcome) = (&sight.key, &sight.ruling, &sight.ruling.outcome);
    // A verdict that was reached once for a whole flow is always told; one on a single denied packet up to a rate.
    let changed = ruling.flags & FlowEvent::CHANGED != 0;
    let limited = !(changed || ruling.flags & FlowEvent::NEW != 0 && outcome.passes);
    if !tables.wants(limited) {
        return;
    }
    let direction = context.hook.direction;
    let bank = context.control.bank();
    let identity = tables.subject_entry(bank, context.hook.subject).map_or(0, |subject| subject.identity);
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
        reserved: 0,
        before: if changed { sight.ask.epoch } else { 0 },
    });
}

/// The verdict an entry holds.
#[inline(always)]
fn standing(entry: &FlowEntry) -> Outcome {
    Outcome::new(entry.passes(), entry.word(), Cause(entry.cause))
}

/// Whether an instant of the boot-time clock has passed; asks the clock only where there is one.
#[inline(always)]
fn past<C: Clock>(deadline: u64, clock: C) -> bool {
    deadline != u64::MAX && clock.boot() >= deadline
}
