//! What `enforcer observe -o jsonl` writes: judged packets, and how many were missed.

use crate::error::ReadError;
use crate::item::{End, Flow, Gap, Opener, Recorded, Side, Time, Who};
use crate::opener::{by_icmp, by_ports, first};
use crate::read::Lines;
use crate::report::Report;
use crate::text::{number, reason, rfc3339};
use crate::who::Known;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Reads lines of `enforcer.flow/v1` and its kin.
#[derive(Default)]
pub(crate) struct Reader {
    known: Known,
    /// When the last record was made: what is missed has no time of its own.
    last: Option<Time>,
}

/// A line, as far as it is read. Fields are only ever added, so those that aren't here don't matter.
#[derive(Deserialize)]
struct Record<'l> {
    #[serde(borrow)]
    schema: Cow<'l, str>,
    #[serde(default, borrow)]
    time: Option<Cow<'l, str>>,
    #[serde(default, borrow)]
    direction: Option<Cow<'l, str>>,
    #[serde(default)]
    passes: Option<bool>,
    #[serde(default, borrow)]
    protocol: Option<Cow<'l, str>>,
    #[serde(default)]
    icmp: Option<Icmp>,
    #[serde(default, borrow)]
    source: Option<&'l RawValue>,
    #[serde(default, borrow)]
    destination: Option<&'l RawValue>,
    #[serde(default)]
    packets: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    new: bool,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    suppressed: u64,
}

#[derive(Deserialize)]
struct Icmp {
    #[serde(rename = "type")]
    kind: u8,
    code: u8,
}

#[derive(Deserialize)]
struct Place<'l> {
    ip: Option<IpAddr>,
    port: Option<u16>,
    #[serde(default, borrow)]
    workload: Option<Cow<'l, str>>,
    #[serde(default, borrow)]
    labels: Option<&'l RawValue>,
}

/// Who an end is: what distinguishes two of them, as it stands in the line.
#[derive(Deserialize)]
struct Labels(BTreeMap<String, String>);

impl Lines for Reader {
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        let record: Record<'_> = match serde_json::from_slice(line) {
            Ok(record) => record,
            Err(error) => {
                return report.damage(place, || format!("the line isn't a record: {}", reason(&error)));
            }
        };
        match record.schema.as_ref() {
            "enforcer.flow/v1" => match self.flow(&record) {
                Ok(Some(flow)) => report.flow(&flow),
                Ok(None) => report.skipped(),
                Err(what) => report.damaged_text(place, what, line)?,
            },
            "enforcer.missed/v1" => self.missed(&record, report),
            "enforcer.tamper/v1" | "enforcer.counts/v1" => report.skipped(),
            _ => report.damaged_text(place, "no record has the schema", record.schema.as_bytes())?,
        }
        Ok(())
    }
}

impl Reader {
    /// `None` where the packet wasn't IP, or wasn't read as far as its protocol.
    fn flow(&mut self, record: &Record<'_>) -> Result<Option<Flow>, &'static str> {
        let time = record.time.as_deref().and_then(rfc3339).ok_or("no time is in the record")?;
        self.last = Some(time);
        let ends = "no source or no destination is in the record";
        let source = self.end(record.source.ok_or(ends)?)?;
        let destination = self.end(record.destination.ok_or(ends)?)?;
        let protocol = record
            .protocol
            .as_deref()
            .map(|word| protocol(word).ok_or("an unknown protocol is in the record"))
            .transpose()?;
        let (Some(source), Some(destination), Some(protocol)) = (source, destination, protocol) else {
            return Ok(None);
        };
        let icmp =
            record.icmp.as_ref().filter(|_| matches!(protocol, 1 | 58)).map(|icmp| (icmp.kind, icmp.code));
        let opener = first([
            if record.new { Opener::Source } else { Opener::Unknown },
            icmp.map_or(Opener::Unknown, |(kind, _)| by_icmp(protocol, kind)),
            by_ports(source.port, destination.port),
        ]);
        let passes = record.passes.ok_or("nothing in the record says whether the packet passed:")?;
        Ok(Some(Flow {
            start: Some(time),
            end: Some(time),
            protocol,
            source,
            destination,
            icmp,
            opener,
            packets: record.packets,
            bytes: record.bytes,
            recorded: Some(if passes { Recorded::Passed } else { Recorded::Refused }),
            seen: match record.direction.as_deref() {
                Some("egress") => Some(Side::Source),
                Some("ingress") => Some(Side::Destination),
                _ => None,
            },
        }))
    }

    fn end(&mut self, text: &RawValue) -> Result<Option<End>, &'static str> {
        let place: Place<'_> =
            serde_json::from_str(text.get()).map_err(|_| "an end makes no sense in the record")?;
        let Some(address) = place.ip else { return Ok(None) };
        let labels = place.labels.map_or("", RawValue::get);
        let name = place.workload.as_deref().unwrap_or("");
        let known = (!name.is_empty() || !labels.is_empty()).then(|| {
            self.known.who([name, labels], || {
                let labels = if labels.is_empty() {
                    BTreeMap::new()
                } else {
                    serde_json::from_str::<Labels>(labels).ok()?.0
                };
                Some(Who { name: (!name.is_empty()).then(|| name.to_owned()), labels })
            })
        });
        let who = known.map(|known| known.ok_or("labels make no sense in the record")).transpose()?;
        Ok(Some(End { address: address.to_canonical(), port: place.port.unwrap_or(0), who }))
    }

    fn missed(&self, record: &Record<'_>, report: &mut Report<'_>) {
        for (word, missing) in [("lost", record.lost), ("suppressed", record.suppressed)] {
            if missing > 0 {
                report.gap(&Gap { start: self.last, end: None, of: None, word, missing: Some(missing) });
            }
        }
    }
}

fn protocol(word: &str) -> Option<u8> {
    match word {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmpv6" => Some(58),
        "sctp" => Some(132),
        other => number(other.strip_prefix("proto/")?.as_bytes())?.try_into().ok(),
    }
}
