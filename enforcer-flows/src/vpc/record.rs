//! One record of a flow log.

use super::fields::{FIELDS, Field, Layout};
use crate::item::{End, Flow, Gap, Opener, Recorded, Side, Time};
use crate::opener::{by_flags, by_ports, first};
use crate::text::{address, name, number, small};
use std::net::{IpAddr, Ipv4Addr};

const TCP: u8 = 6;
const SECOND: i64 = 1_000_000_000;

/// What a record was.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    /// A flow; it stands in the record.
    Flow,
    Gap(Gap),
}

/// A record, used again for every line.
pub(super) struct Record {
    pub(super) flow: Flow,
}

impl Default for Record {
    fn default() -> Self {
        let end = End { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, who: None };
        let flow = Flow {
            start: None,
            end: None,
            protocol: 0,
            source: end.clone(),
            destination: end,
            icmp: None,
            opener: Opener::Unknown,
            packets: 0,
            bytes: 0,
            recorded: None,
            seen: None,
        };
        Self { flow }
    }
}

/// The fields of a line. What a log doesn't have, or has as `-`, is empty.
struct Texts<'l>([&'l [u8]; FIELDS]);

impl<'l> Texts<'l> {
    fn of(layout: &Layout, line: &'l [u8]) -> Option<Self> {
        let mut texts = [&line[..0]; FIELDS];
        let mut columns = layout.columns.iter();
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if word.is_empty() {
                continue;
            }
            if let (Some(field), true) = (columns.next()?, word != b"-") {
                texts[*field as usize] = word;
            }
        }
        columns.next().is_none().then_some(Self(texts))
    }

    const fn get(&self, field: Field) -> &'l [u8] {
        self.0[field as usize]
    }

    /// The first of two fields that the record has.
    fn either(&self, one: Field, other: Field) -> &'l [u8] {
        match self.get(one) {
            b"" => self.get(other),
            text => text,
        }
    }

    fn time(&self, field: Field) -> Result<Option<Time>, &'static str> {
        match self.get(field) {
            b"" => Ok(None),
            text => {
                let seconds: i64 = small(text).ok_or("a time isn't a number of seconds in the record")?;
                seconds.checked_mul(SECOND).map(Some).ok_or("a time is out of range in the record")
            }
        }
    }

    /// A number; 0 where the record has none.
    fn count<T: TryFrom<u64> + Default>(&self, field: Field, wrong: &'static str) -> Result<T, &'static str> {
        match self.get(field) {
            b"" => Ok(T::default()),
            text => small(text).ok_or(wrong),
        }
    }
}

impl Record {
    /// Reads a line. An error says what is wrong with it.
    pub(super) fn read(&mut self, layout: &Layout, line: &[u8]) -> Result<Read, &'static str> {
        let texts =
            Texts::of(layout, line).ok_or("not as many fields as the format has are in the record")?;
        let word = match texts.get(Field::Status) {
            b"OK" => None,
            b"NODATA" => Some("NODATA"),
            b"SKIPDATA" => Some("SKIPDATA"),
            // A log without the field still has records without addresses: nothing was seen, or not all.
            b"" => texts.either(Field::PacketSource, Field::Source).is_empty().then_some("unrecorded"),
            _ => return Err("an unknown `log-status` is in the record"),
        };
        if let Some(word) = word {
            return texts.gap(word).map(Read::Gap);
        }
        self.fill(layout, &texts)?;
        Ok(Read::Flow)
    }

    fn fill(&mut self, layout: &Layout, texts: &Texts<'_>) -> Result<(), &'static str> {
        let flow = &mut self.flow;
        let wrong = "a port isn't a number up to 65535 in the record";
        flow.source.address = address(texts.either(Field::PacketSource, Field::Source))
            .ok_or("no source address is in the record")?;
        flow.destination.address = address(texts.either(Field::PacketDestination, Field::Destination))
            .ok_or("no destination address is in the record")?;
        flow.source.port = texts.count(Field::SourcePort, wrong)?;
        flow.destination.port = texts.count(Field::DestinationPort, wrong)?;
        flow.protocol = small(texts.get(Field::Protocol)).ok_or("no protocol number is in the record")?;
        flow.packets = texts.count(Field::Packets, "the packets aren't counted in the record")?;
        flow.bytes = texts.count(Field::Bytes, "the bytes aren't counted in the record")?;
        flow.start = texts.time(Field::Start)?;
        flow.end = texts.time(Field::End)?;
        flow.recorded = match texts.get(Field::Action) {
            b"ACCEPT" => Some(Recorded::Passed),
            b"REJECT" => Some(Recorded::Refused),
            b"" => None,
            _ => return Err("an unknown `action` is in the record"),
        };
        flow.seen = match texts.get(Field::Direction) {
            b"egress" => Some(Side::Source),
            b"ingress" => Some(Side::Destination),
            b"" => None,
            _ => return Err("an unknown `flow-direction` is in the record"),
        };
        let flags = match texts.get(Field::Flags) {
            b"" => 0,
            text => number(text).ok_or("the TCP flags aren't a number in the record")?,
        };
        let flags = if flow.protocol == TCP { by_flags(flags, layout.acks) } else { Opener::Unknown };
        flow.opener = first([flags, by_ports(flow.source.port, flow.destination.port)]);
        Ok(())
    }
}

impl Texts<'_> {
    fn gap(&self, word: &'static str) -> Result<Gap, &'static str> {
        let of = self.get(Field::Interface);
        let of = (!of.is_empty()).then(|| name(of));
        Ok(Gap { start: self.time(Field::Start)?, end: self.time(Field::End)?, of, word, missing: None })
    }
}
