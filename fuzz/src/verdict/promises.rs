//! What holds of every judged packet.

use super::ground::{BARE, HOOKS, Owner, Set};
use enforcer_common::dissect::dissect;
use enforcer_common::event::FlowEvent;
use enforcer_common::judge::Rejection;
use enforcer_common::maps::Direction;
use enforcer_common::packet::Frame;
use enforcer_common::{Cause, Hook, Outcome, Reason, Word};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::model::Action;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Packets and bytes by cause.
pub(super) type Counted = BTreeMap<u32, (u64, u64)>;

pub(super) fn counted(tables: &MemoryTables) -> Counted {
    let rules = tables.rule_counters().map(|(number, counter)| (Cause::rule(number), counter));
    let reasons = Reason::ALL.iter().map(|reason| (Cause::reason(*reason), tables.reason_counter(*reason)));
    rules
        .chain(reasons)
        .filter(|(_, counter)| counter.packets != 0)
        .map(|(cause, counter)| (cause.0, (counter.packets, counter.bytes)))
        .collect()
}

/// A judged packet and what came of it.
pub(super) struct Seen<'a> {
    pub(super) set: &'a Set,
    pub(super) frame: &'a Frame<'a>,
    pub(super) hook: Hook,
    pub(super) outcome: Outcome,
    pub(super) events: &'a [FlowEvent],
}

impl Seen<'_> {
    fn owner(&self) -> Owner {
        HOOKS[self.hook.subject as usize]
    }

    /// Under its cause, with its length, and nothing else was counted.
    pub(super) fn counted_once(&self, before: &Counted, after: &Counted) {
        let mut expected = before.clone();
        let counter = expected.entry(self.outcome.cause.0).or_default();
        counter.0 += 1;
        counter.1 += self.frame.bytes.len() as u64;
        assert_eq!(&expected, after, "{:?}", self.outcome);
    }

    pub(super) fn word_and_cause_agree(&self) {
        let Outcome { passes, word, cause, .. } = self.outcome;
        match (cause.as_rule(), cause.as_reason()) {
            (Some(number), None) => {
                let rule = self.set.compiled.rule(number).unwrap_or_else(|| panic!("no rule {number}"));
                let allows = rule.action == Action::Allow;
                let plain = matches!(word, Word::Allowed | Word::Denied);
                assert!(!plain || allows == passes, "{} and {:?}", rule.name(), self.outcome);
            }
            (None, Some(Reason::Neighbour | Reason::SegmentOff)) => assert_eq!(word, Word::Allowed),
            (None, Some(_)) => assert_ne!(word, Word::Allowed),
            _ => panic!("neither rule nor reason: {cause:?}"),
        }
        match word {
            Word::Allowed => assert!(passes),
            Word::Denied => assert!(!passes),
            Word::Audited => {}
        }
        assert!(self.events.len() <= 1);
        for event in self.events {
            let told = (event.cause, event.word, event.passes != 0, event.bytes as usize);
            assert_eq!(told, (cause.0, word as u8, passes, self.frame.bytes.len()));
            if event.flags & FlowEvent::CUT != 0 {
                assert!(
                    event.flags & FlowEvent::CHANGED != 0 && !passes,
                    "what is cut changes and is denied"
                );
            }
        }
    }

    pub(super) fn mode_holds(&self) {
        let Outcome { passes, word, cause, .. } = self.outcome;
        match self.owner() {
            Owner::Nobody => assert_eq!(cause, Cause::reason(Reason::UnknownSubject)),
            Owner::Off => assert!(passes && cause == Cause::reason(Reason::SegmentOff)),
            Owner::Audited => assert!(passes && word != Word::Denied),
            Owner::Enforced(_) if passes => {
                assert!(cause.as_rule().is_some() || cause == Cause::reason(Reason::Neighbour), "{cause:?}");
            }
            Owner::Enforced(_) => {}
        }
    }

    /// Whether it is part of a datagram, or might be.
    pub(super) fn is_part(&self) -> bool {
        let bare = self.hook.subject as usize == BARE;
        dissect(self.frame, bare).is_ok_and(|read| read.part.is_some())
    }

    /// What an enforced workload sends or receives is IP with a header that another parser takes as well, between an address of its
    /// own and somebody else's; or ARP.
    pub(super) fn passes_only_what_is_understood(&self) {
        let Owner::Enforced(workload) = self.owner() else { return };
        if !self.outcome.passes {
            return;
        }
        let (ethertype, packet) = self.network();
        let own = match (ethertype, self.hook.direction) {
            (0x0806, _) => return,
            (0x0800, direction) => {
                let header = Ipv4HeaderSlice::from_slice(packet).unwrap();
                assert!(usize::from(header.total_len()) <= packet.len());
                own(direction, header.source_addr().into(), header.destination_addr().into())
            }
            (0x86dd, direction) => {
                let header = Ipv6HeaderSlice::from_slice(packet).unwrap();
                assert!(usize::from(header.payload_length()) + 40 <= packet.len());
                own(direction, header.source_addr().into(), header.destination_addr().into())
            }
            (other, _) => panic!("ethertype {other:#06x} passed"),
        };
        let neighbour = self.outcome.cause == Cause::reason(Reason::Neighbour);
        let group = self.hook.direction == Direction::Ingress && is_group(own);
        assert!(neighbour || group || self.set.owns(workload, own), "{own} isn't {workload}'s");
    }

    /// Only what was denied is answered, only where a Segment asks for it, and by what the packet really holds: no group, no part, no reset.
    pub(super) fn told_where_asked(&self, rejection: &Rejection) {
        if rejection.family == 0 {
            return;
        }
        assert!(!self.outcome.passes, "{:?} and {rejection:?}", self.outcome);
        assert_eq!(self.owner(), Owner::Enforced(self.set.told));
        assert!(!self.is_part());
        let (network, transport) = (usize::from(rejection.network), usize::from(rejection.transport));
        let bytes = self.frame.bytes;
        let (packet, header) = (&bytes[network..], transport - network);
        let source: IpAddr = match rejection.family {
            4 => {
                let ip = Ipv4HeaderSlice::from_slice(packet).unwrap();
                assert_eq!((ip.slice().len(), ip.protocol().0), (header, rejection.protocol));
                ip.source_addr().into()
            }
            6 => {
                let ip = Ipv6HeaderSlice::from_slice(packet).unwrap();
                assert!(header >= ip.slice().len());
                ip.source_addr().into()
            }
            other => panic!("an answer of family {other}"),
        };
        assert!(!is_group(source) && !source.is_unspecified(), "{source} is told");
        match rejection.protocol {
            6 => assert_eq!(TcpHeaderSlice::from_slice(&bytes[transport..]).map(|tcp| tcp.rst()), Ok(false)),
            _ => assert_eq!(rejection.both, 0, "only TCP has two ends to tell"),
        }
    }

    /// Ethertype and IP packet; one priority tag is read as none.
    fn network(&self) -> (u16, &[u8]) {
        let bytes = self.frame.bytes;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        if self.hook.subject as usize == BARE {
            return (if bytes[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, bytes);
        }
        match word(12) {
            0x8100 => {
                assert_eq!(word(14) & 0xfff, 0, "a tag passed");
                (word(16), &bytes[18..])
            }
            ethertype => (ethertype, &bytes[14..]),
        }
    }
}

fn own(direction: Direction, source: IpAddr, destination: IpAddr) -> IpAddr {
    match direction {
        Direction::Egress => source,
        Direction::Ingress => destination,
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}
