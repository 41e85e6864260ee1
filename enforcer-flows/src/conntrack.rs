//! Linux connection tracking: `conntrack -L`, with and without `-o extended`, `/proc/net/nf_conntrack`, and events of `conntrack -E`.
//!
//! An entry has two tuples: that of the packets that opened it, and that of the packets which are expected back. Each becomes a record with
//! its own counters. Where the reply isn't the original turned round, addresses are translated, and each end's hook sees its own: the
//! client's the original, the server's the reply turned round. Then the entry becomes both, each with the side at which it is seen.

use crate::error::ReadError;
use crate::item::{End, Flow, Opener, Recorded, Side, Time};
use crate::read::Lines;
use crate::report::Report;
use crate::text::{address, number, small, words};
use std::net::IpAddr;

/// Longest event prefix and state that can stand before the first tuple.
const BEFORE: usize = 8;

/// Reads entries and events.
pub(crate) struct Reader;

/// One direction of an entry.
#[derive(Clone, Copy, Debug, Default)]
struct Tuple {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: u16,
    destination_port: u16,
    icmp: (Option<u8>, Option<u8>),
    packets: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Entry {
    event: Option<Event>,
    time: Option<Time>,
    protocol: u8,
    original: Tuple,
    reply: Tuple,
    unreplied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    New,
    Update,
    Destroy,
}

impl Lines for Reader {
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        // What the command says on stderr is often in the file as well.
        if line.starts_with(b"conntrack v") {
            report.skipped();
            return Ok(());
        }
        let entry = match Entry::read(line) {
            Ok(entry) => entry,
            Err(what) => return report.damaged_text(place, what, line),
        };
        // Its beginning and its end tell everything; what is between counts nothing.
        if entry.event == Some(Event::Update) {
            report.skipped();
            return Ok(());
        }
        if entry.flows(report).is_none() {
            report.damaged_text(place, "addresses of two kinds, or none, are in the entry", line)?;
        }
        Ok(())
    }
}

/// Whether a line may be an entry.
pub(crate) fn recognises(line: &[u8]) -> bool {
    Entry::read(line).is_ok_and(|entry| entry.original.source.is_some() && entry.reply.source.is_some())
}

impl Entry {
    fn read(line: &[u8]) -> Result<Self, &'static str> {
        let mut entry = Self::default();
        let mut before: Vec<&[u8]> = Vec::with_capacity(BEFORE);
        let mut tuples = 0;
        for word in words(line) {
            if let Some(at) = word.iter().position(|byte| *byte == b'=') {
                let (key, value) = (&word[..at], &word[at + 1..]);
                tuples += usize::from(key == b"src");
                let tuple = match tuples {
                    1 => &mut entry.original,
                    2 => &mut entry.reply,
                    _ => continue,
                };
                tuple.set(key, value).ok_or("a number or an address doesn't make sense in the entry")?;
            } else if word == b"[UNREPLIED]" {
                entry.unreplied = true;
            } else if tuples == 0 && word.starts_with(b"[") {
                entry.bracket(word);
            } else if tuples == 0 && before.len() < BEFORE {
                before.push(word);
            }
        }
        let before = match before.as_slice() {
            [b"ipv4" | b"ipv6", _, rest @ ..] => rest,
            rest => rest,
        };
        let [_, protocol, ..] = before else { return Err("no protocol is in the entry") };
        entry.protocol = small(protocol).ok_or("no protocol number is in the entry")?;
        if tuples != 2 {
            return Err("not two addresses of a source are in the entry");
        }
        Ok(entry)
    }

    /// What stands in brackets before the tuples: an event, or its time.
    fn bracket(&mut self, word: &[u8]) {
        match word {
            b"[NEW]" => self.event = Some(Event::New),
            b"[UPDATE]" => self.event = Some(Event::Update),
            b"[DESTROY]" => self.event = Some(Event::Destroy),
            _ => self.time = self.time.or_else(|| stamp(word)),
        }
    }

    /// Hands on what the entry says. `None` where its addresses don't fit together.
    fn flows(&self, report: &mut Report<'_>) -> Option<()> {
        let (original, reply) = (&self.original, &self.reply);
        let client = original.ends()?;
        let server = reply.ends().map(|(source, destination)| (destination, source))?;
        if client == server {
            self.both_ways(&client, None, report);
            return Some(());
        }
        self.both_ways(&client, Some(Side::Source), report);
        self.both_ways(&server, Some(Side::Destination), report);
        Some(())
    }

    /// The packets of the one who opened and, where there were any, those that came back.
    fn both_ways(&self, (opened, answered): &(End, End), seen: Option<Side>, report: &mut Report<'_>) {
        let mut flow = Flow {
            start: self.time,
            end: self.time,
            protocol: self.protocol,
            source: opened.clone(),
            destination: answered.clone(),
            icmp: self.original.icmp(self.protocol),
            opener: Opener::Source,
            packets: self.original.packets,
            bytes: self.original.bytes,
            // An entry is made of a packet that got through.
            recorded: Some(Recorded::Passed),
            seen,
        };
        report.flow(&flow);
        if self.unreplied {
            return;
        }
        std::mem::swap(&mut flow.source, &mut flow.destination);
        flow.icmp = self.reply.icmp(self.protocol);
        flow.opener = Opener::Destination;
        (flow.packets, flow.bytes) = (self.reply.packets, self.reply.bytes);
        flow.seen = seen.map(|side| match side {
            Side::Source => Side::Destination,
            Side::Destination => Side::Source,
        });
        report.flow(&flow);
    }
}

impl Tuple {
    /// `None` where the value isn't one of the key's kind.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"src" => self.source = Some(address(value)?),
            b"dst" => self.destination = Some(address(value)?),
            b"sport" => self.source_port = small(value)?,
            b"dport" => self.destination_port = small(value)?,
            b"type" => self.icmp.0 = Some(small(value)?),
            b"code" => self.icmp.1 = Some(small(value)?),
            b"packets" => self.packets = number(value)?,
            b"bytes" => self.bytes = number(value)?,
            // Identifiers, marks, zones, and what is yet to come.
            _ => {}
        }
        Some(())
    }

    fn ends(&self) -> Option<(End, End)> {
        let (source, destination) = (self.source?, self.destination?);
        let end = |address, port| End { address, port, who: None };
        let same = source.is_ipv4() == destination.is_ipv4();
        same.then(|| (end(source, self.source_port), end(destination, self.destination_port)))
    }

    const fn icmp(&self, protocol: u8) -> Option<(u8, u8)> {
        match self.icmp {
            (Some(kind), Some(code)) if matches!(protocol, 1 | 58) => Some((kind, code)),
            _ => None,
        }
    }
}

/// `[1700000000.123456]`, as `-o timestamp` writes it.
fn stamp(word: &[u8]) -> Option<Time> {
    let inner = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let at = inner.iter().position(|byte| *byte == b'.')?;
    let (seconds, micros): (i64, i64) = (small(&inner[..at])?, small(&inner[at + 1..])?);
    seconds.checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1000)?)
}
