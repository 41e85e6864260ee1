//! What belongs to one flow.

use super::packet::icmp_protocol;
use super::rules::is_icmp_error;
use super::{Direction, Family, Payload};
use std::net::IpAddr;

/// A flow that was opened at one subject's hook, as its initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) subject: String,
    /// Which way the opening packet went: `Egress` where the subject is the initiator.
    pub(super) direction: Direction,
    pub(super) initiator: IpAddr,
    pub(super) responder: IpAddr,
    pub(super) protocol: u8,
    pub(super) key: Key,
}

/// What tells flows between the same addresses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Ports { initiator: u16, responder: u16 },
    Message { kind: u8, code: u8, id: u16 },
    Nothing,
}

/// ICMP requests with the type of their reply, per family.
const QUERIES: [(Family, u8, u8); 5] = [
    (Family::V4, 8, 0),
    (Family::V4, 13, 14),
    (Family::V4, 15, 16),
    (Family::V4, 17, 18),
    (Family::V6, 128, 129),
];

fn query_with_request(family: Family, kind: u8) -> Option<(Family, u8, u8)> {
    QUERIES.into_iter().find(|(of, request, _)| *of == family && *request == kind)
}

pub(super) fn query_with_reply(family: Family, kind: u8) -> Option<(Family, u8, u8)> {
    QUERIES.into_iter().find(|(of, _, reply)| *of == family && *reply == kind)
}

impl Flow {
    /// The flow this packet would open, or be a further packet of in the initiator's direction.
    pub(super) fn opened(
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
                let protocol = icmp_protocol(family);
                if is_icmp_error(protocol, kind) || query_with_reply(family, kind).is_some() {
                    return None;
                }
                let id = if query_with_request(family, kind).is_some() { id } else { 0 };
                (protocol, Key::Message { kind, code, id })
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
    pub(super) fn answered(
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
                (icmp_protocol(family), Key::Message { kind: request, code, id })
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
    pub(super) fn reversed(&self) -> Flow {
        let key = match self.key {
            Key::Ports { initiator, responder } => Key::Ports { initiator: responder, responder: initiator },
            Key::Message { .. } | Key::Nothing => self.key,
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
    pub(super) fn port(&self) -> u16 {
        match self.key {
            Key::Ports { responder, .. } => responder,
            Key::Message { kind, code, .. } => u16::from_be_bytes([kind, code]),
            Key::Nothing => 0,
        }
    }
}
