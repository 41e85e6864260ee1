//! A kernel record with its names: the document that observers get.

use super::clock::Instants;
use super::names::Names;
use crate::protocol::{Cut, FlowRecord, Icmp};
use enforcer_common::event::FlowEvent;
use enforcer_common::maps::Direction;
use enforcer_common::{Cause, Word};
use enforcer_policy::model::PortSpec;
use jiff::{Timestamp, Unit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Gives a kernel record its names. `since` is when what it cut was to be cut, by the boot-time clock.
#[must_use]
pub(super) fn record(event: &FlowEvent, at: Timestamp, since: Option<u64>, names: &Names) -> FlowRecord {
    let egress = event.direction == Direction::Egress as u8;
    let (sender, receiver) = if egress { (event.identity, event.peer) } else { (event.peer, event.identity) };
    let ported = matches!(event.protocol, 6 | 17 | 132);
    let port = |number: u16| ported.then_some(number);
    let icmp = matches!((event.family, event.protocol), (4, 1) | (6, 58)).then(|| {
        let [kind, code] = event.destination_port.to_be_bytes();
        Icmp { kind, code }
    });
    let (source, destination) =
        (address(event.family, event.source), address(event.family, event.destination));
    let peer_hooked = names.has_hook(event.peer, if egress { destination } else { source });
    let now = Instants { wall: at, boot: event.time };
    let cut = (event.flags & FlowEvent::CUT != 0).then(|| Cut {
        since: since.map(|since| shown(now.wall_of(since))),
        // Clocks of CPUs may be a little apart.
        delay_us: since.map(|since| event.time.saturating_sub(since) / 1_000),
        epochs: event.epoch.wrapping_sub(event.before),
    });
    FlowRecord {
        schema: "enforcer.flow/v1".to_owned(),
        time: shown(at),
        direction: if egress { "egress" } else { "ingress" }.to_owned(),
        verdict: Word::from_code(event.word).word().to_owned(),
        passes: event.passes != 0,
        cause: names.cause(Cause(event.cause)),
        protocol: (event.family != 0).then(|| PortSpec::Protocol(event.protocol).to_string()),
        icmp,
        source: names.end(sender, source, port(event.source_port)),
        destination: names.end(receiver, destination, port(event.destination_port)),
        packets: 1,
        bytes: u64::from(event.bytes),
        epoch: event.epoch,
        ifindex: event.subject,
        peer_hooked,
        new: event.flags & FlowEvent::NEW != 0,
        changed: event.flags & FlowEvent::CHANGED != 0,
        cut,
    }
}

fn shown(at: Timestamp) -> String {
    at.round(Unit::Millisecond).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"))
}

/// Addresses stand as they do in the packet: words in network order.
fn address(family: u8, words: [u32; 4]) -> Option<IpAddr> {
    match family {
        4 => Some(Ipv4Addr::from(words[0].to_ne_bytes()).into()),
        6 => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}
