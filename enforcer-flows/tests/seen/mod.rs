//! A sink that keeps a line of text for everything, so that a test reads like the source.

#![allow(dead_code, reason = "every test program uses a part of it")]

use enforcer_flows::{
    End, Flow, Gap, Item, Opener, Options, ReadError, Recorded, Side, Sink, Summary, network, read,
};
use std::fmt::Write;

/// What came, as text.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) flows: Vec<String>,
    pub(crate) packets: Vec<String>,
    pub(crate) gaps: Vec<String>,
    pub(crate) damages: Vec<String>,
    /// Flows as they came.
    pub(crate) whole: Vec<Flow>,
}

impl Sink for Seen {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Packet(packet) => {
                let above = network(&packet).filter(|above| above.ethertype >= 0x0600);
                let above = above.map_or("-".to_owned(), |above| {
                    let host = above
                        .host
                        .map_or("", |host| if host == Side::Source { " sent" } else { " received" });
                    format!("{:04x}@{}{host}", above.ethertype, above.offset)
                });
                let time = packet.time.map_or("-".to_owned(), |time| time.to_string());
                self.packets.push(format!(
                    "{time} {:?} {}/{} {above}",
                    packet.link,
                    packet.bytes.len(),
                    packet.length
                ));
            }
            Item::Flow(flow) => {
                self.flows.push(line(flow));
                self.whole.push(flow.clone());
            }
            Item::Gap(gap) => self.gaps.push(hole(gap)),
            Item::Damage(damage) => self.damages.push(format!("{}: {}", damage.place, damage.what)),
        }
    }
}

/// `6 10.0.0.1:1 > 10.0.0.2:2`, and then what is known of the rest.
fn line(flow: &Flow) -> String {
    let mut text = format!("{} {} > {}", flow.protocol, place(&flow.source), place(&flow.destination));
    if let Some((kind, code)) = flow.icmp {
        write!(text, " icmp {kind}/{code}").unwrap();
    }
    text.push_str(match flow.opener {
        Opener::Source => " opens",
        Opener::Destination => " answers",
        Opener::Unknown => "",
    });
    text.push_str(match flow.recorded {
        Some(Recorded::Passed) => " passed",
        Some(Recorded::Refused) => " refused",
        None => "",
    });
    text.push_str(match flow.seen {
        Some(Side::Source) => " at-source",
        Some(Side::Destination) => " at-destination",
        None => "",
    });
    if flow.packets > 0 || flow.bytes > 0 {
        write!(text, " {}p {}b", flow.packets, flow.bytes).unwrap();
    }
    if let (Some(start), Some(end)) = (flow.start, flow.end) {
        write!(text, " {start}..{end}").unwrap();
    }
    text
}

fn place(end: &End) -> String {
    let who = end.who.as_deref().map_or(String::new(), |who| {
        let labels: Vec<String> = who.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("({}|{})", who.name.as_deref().unwrap_or(""), labels.join(","))
    });
    match end.port {
        0 => format!("{}{who}", end.address),
        port => format!("{}:{port}{who}", end.address),
    }
}

fn hole(gap: &Gap) -> String {
    let time = |time: Option<i64>| time.map_or("-".to_owned(), |time| time.to_string());
    let missing = gap.missing.map_or(String::new(), |missing| format!(" {missing}"));
    format!(
        "{}{missing} {} {}..{}",
        gap.word,
        gap.of.as_deref().unwrap_or("-"),
        time(gap.start),
        time(gap.end)
    )
}

/// Reads `input` as whatever it is.
pub(crate) fn seen(input: &[u8]) -> (Seen, Summary) {
    let (seen, result) = seen_by(input, &Options::default());
    (seen, result.unwrap())
}

/// Reads `input` by `options`.
pub(crate) fn seen_by(input: &[u8], options: &Options) -> (Seen, Result<Summary, ReadError>) {
    let mut seen = Seen::default();
    let result = read(input, options, &mut seen);
    if let Ok(summary) = &result {
        assert_eq!(summary.packets, seen.packets.len() as u64);
        assert_eq!(summary.flows, seen.flows.len() as u64);
        assert_eq!(summary.gaps, seen.gaps.len() as u64);
        assert_eq!(summary.damaged.min(100), seen.damages.len() as u64);
    }
    (seen, result)
}
