//! Flow records: the packet that opened each is made and judged at the hooks on its path.

use crate::audit::Audit;
use crate::flows::{Flow, Key};
use crate::judge::Ruling;
use crate::packets::opening;
use crate::unsure::Held;
use enforcer_flows::{self as flows, Opener, Recorded, Side, Time};
use rustc_hash::FxHashMap;

const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Verdicts on openings, by ends, protocol and port, and by how many policies had ended.
#[derive(Default)]
pub(crate) struct Cache {
    known: FxHashMap<(u64, u64), Option<Ruling>>,
}

impl Cache {
    /// More than this aren't kept: a port scan would fill any memory.
    const MOST: usize = 1 << 20;
}

/// What a record's ICMP message is to the verdict function.
enum Message {
    /// A request, or something that stands for itself: what opens.
    Opens(u16),
    /// Its answer.
    Answers(u16),
    /// About another flow, which a record doesn't quote.
    Error,
}

fn message(protocol: u8, kind: u8, code: u8) -> Message {
    let port = |kind| u16::from_be_bytes([kind, code]);
    match (protocol, kind) {
        (ICMP, 0) => Message::Answers(port(8)),
        (ICMP, 14 | 16 | 18) => Message::Answers(port(kind - 1)),
        (ICMPV6, 129) => Message::Answers(port(128)),
        (ICMP, 3 | 4 | 11 | 12) | (ICMPV6, 1..=4) => Message::Error,
        _ => Message::Opens(port(kind)),
    }
}

fn held(record: &flows::Flow, ends: (u32, u32), ports: (u16, u16), seen: Option<(Time, Time)>) -> Held {
    Held {
        from: ends.0,
        to: ends.1,
        ports,
        protocol: record.protocol,
        seen_at: record.seen,
        recorded: record.recorded,
        packets: record.packets,
        bytes: record.bytes,
        seen,
    }
}

impl Audit {
    pub(crate) fn record(&mut self, record: &flows::Flow) {
        self.totals.records += 1;
        let seen = match (record.start, record.end) {
            (Some(start), Some(end)) => Some((start, end.max(start))),
            (start, end) => start.or(end).map(|time| (time, time)),
        };
        self.widen(seen);
        let time = seen.map(|(first, _)| first);
        if let Some(time) = time {
            self.set_boot(time);
        }
        let flows::Flow { source, destination, .. } = record;
        let from = self.ends.at(source.address, time, source.who.as_ref(), &mut self.ground);
        let to = self.ends.at(destination.address, time, destination.who.as_ref(), &mut self.ground);
        let mut ports = (source.port, destination.port);
        let mut answers = false;
        if matches!(record.protocol, ICMP | ICMPV6) {
            let echo = if record.protocol == ICMP { 8 } else { 128 };
            if record.icmp.is_none() {
                self.totals.icmp_assumed += 1;
            }
            let (kind, code) = record.icmp.unwrap_or((echo, 0));
            // Identifiers aren't recorded.
            let port = match message(record.protocol, kind, code) {
                Message::Opens(port) => port,
                Message::Answers(port) => {
                    answers = true;
                    port
                }
                Message::Error => {
                    self.totals.icmp_errors += 1;
                    return;
                }
            };
            ports = if answers { (port, 0) } else { (0, port) };
        }
        let tells = !answers && matches!(record.protocol, 6 | UDP | 132);
        let backward = match record.opener {
            Opener::Source => answers,
            Opener::Destination => true,
            Opener::Unknown => {
                self.totals.openers_inferred += 1;
                match self.receiver_opened((from, to), record.protocol, ports) {
                    Some(receiver_opened) => answers || (tells && receiver_opened),
                    None if !tells => answers,
                    None => return self.hold(held(record, (from, to), ports, seen)),
                }
            }
        };
        // A record of replies has the ports of the request the other way round, whoever says which it is.
        if backward && !answers && matches!(record.protocol, ICMP | ICMPV6) {
            ports = (ports.1, ports.0);
        }
        if record.opener != Opener::Unknown {
            let (end, port) = if backward { (from, ports.0) } else { (to, ports.1) };
            self.listeners.add(end, record.protocol, port);
        }
        self.directed(&held(record, (from, to), ports, seen), backward);
    }

    /// Takes in a record of which is known whether its sender answered.
    pub(crate) fn directed(&mut self, record: &Held, backward: bool) {
        let Held { from, to, ports, seen, .. } = *record;
        let (from, to, ports) = if backward { (to, from, (ports.1, ports.0)) } else { (from, to, ports) };
        let key = Key::new(from, to, record.protocol, ports);
        let ruling = self.ruling(from, to, record.protocol, ports);
        if ruling.is_none() {
            self.totals.records_unjudged += 1;
        }
        let side = match (record.seen_at, backward) {
            (None, _) => 0,
            (Some(Side::Source), false) | (Some(Side::Destination), true) => Flow::AT_SOURCE,
            (Some(Side::Destination), false) | (Some(Side::Source), true) => Flow::AT_DESTINATION,
        };
        // Of a flow that is recorded at both ends, one end's figures count.
        let both = Flow::AT_SOURCE | Flow::AT_DESTINATION;
        let counted = self.flows.get(key).map_or(0, |flow| flow.flags & both);
        let (packets, bytes, side) = if counted != 0 && side != 0 && counted != side {
            self.totals.seen_at_both_ends += 1;
            (0, 0, 0)
        } else {
            (record.packets, record.bytes, side)
        };
        self.totals.record_packets += packets;
        self.totals.record_bytes += bytes;
        let replied = if backward { Flow::REPLIED } else { 0 };
        let did = match record.recorded {
            Some(Recorded::Passed) => Flow::PASSED,
            Some(Recorded::Refused) => Flow::REFUSED,
            None => 0,
        };
        let group = self.count(key, ruling, Flow::OPENED | replied | side | did, packets, bytes, seen);
        self.groups.get(group).record(record.recorded);
    }

    /// Whether the receiver of a record's packets opened its flow: that is known already, else by the ports. `None` where nothing tells.
    fn receiver_opened(&self, (from, to): (u32, u32), protocol: u8, ports: (u16, u16)) -> Option<bool> {
        let is_known = |from, to, ports| self.flows.get(Key::new(from, to, protocol, ports)).is_some();
        match (is_known(from, to, ports), is_known(to, from, (ports.1, ports.0))) {
            (true, false) => Some(false),
            (false, true) => Some(true),
            _ => self.listeners.receiver_opened((from, to), protocol, ports),
        }
    }

    /// The verdict on the packet that opens such a flow.
    fn ruling(&mut self, from: u32, to: u32, protocol: u8, ports: (u16, u16)) -> Option<Ruling> {
        if self.hooks(from, to).is_unhooked() {
            return None;
        }
        // The source port matters where a DHCP server's is, and nowhere else.
        let serves = protocol == UDP && matches!(ports, (67, 68) | (547, 546));
        let ends = u64::from(from) << 32 | u64::from(to);
        let rest = (self.past as u64) << 32
            | u64::from(serves) << 24
            | u64::from(protocol) << 16
            | u64::from(ports.1);
        if let Some(known) = self.cache.known.get(&(ends, rest)) {
            return *known;
        }
        let path = self.path(from, to);
        let (source, destination) = (self.ends.get(from).address, self.ends.get(to).address);
        let frame = opening(source, destination, protocol, ports)?;
        let ruling = self.ground.judge.opening(&frame, path);
        if self.cache.known.len() >= Cache::MOST {
            self.cache.known.clear();
        }
        self.cache.known.insert((ends, rest), ruling);
        ruling
    }
}
