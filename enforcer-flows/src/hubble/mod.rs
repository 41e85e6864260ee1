//! Hubble: what `hubble observe -o json` writes, flow by flow or wrapped as it comes from the server.
//!
//! A record of layers 3 and 4 is one packet at one endpoint. Records of sockets show addresses before a service's are translated, at no
//! device; they are passed over. Those of layer 7 are requests inside connections that have records of their own, and count no packets.

mod json;

use crate::error::ReadError;
use crate::item::{End, Flow, Gap, Opener, Recorded, Side, Time, Who};
use crate::opener::{by_flags, by_icmp, by_ports, first};
use crate::read::Lines;
use crate::report::Report;
use crate::text::{address, name, reason, rfc3339};
use crate::who::Known;
use json::{Endpoint, Event, Layer4, Lost, Ports, Wrapping};
use serde_json::value::RawValue;

/// Reads Hubble's lines.
#[derive(Default)]
pub(crate) struct Reader {
    known: Known,
}

impl Lines for Reader {
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        let wrapping: Wrapping<'_> = match serde_json::from_slice(line) {
            Ok(wrapping) => wrapping,
            Err(error) => {
                return report.damage(place, || format!("the line isn't a record: {}", reason(&error)));
            }
        };
        if let Some(lost) = &wrapping.lost_events {
            report.gap(&gap(lost, wrapping.node_name.as_deref(), wrapping.time.as_deref()));
            return Ok(());
        }
        if wrapping.is_about_hubble() {
            report.skipped();
            return Ok(());
        }
        let flow = wrapping.flow.map_or(line, |flow| flow.get().as_bytes());
        let event: Event<'_> = match serde_json::from_slice(flow) {
            Ok(event) => event,
            Err(error) => {
                return report.damage(place, || format!("the flow isn't a record: {}", reason(&error)));
            }
        };
        if event.kind.as_deref() == Some("SOCK") {
            report.skipped();
            return Ok(());
        }
        match self.flow(&event, wrapping.time.as_deref()) {
            Ok(Some(flow)) => report.flow(&flow),
            Ok(None) => report.skipped(),
            Err(what) => report.damage(place, || what.to_owned())?,
        }
        Ok(())
    }
}

impl Reader {
    /// `None` where the record has no addresses or no protocol: it is about something else than IP.
    fn flow(&mut self, event: &Event<'_>, time: Option<&str>) -> Result<Option<Flow>, &'static str> {
        let (Some(ip), Some((layer4, ports))) = (&event.ip, event.l4.as_ref().and_then(protocol)) else {
            return Ok(None);
        };
        let time = match event.time.as_deref().or(time) {
            Some(text) => Some(rfc3339(text).ok_or("the record's time isn't one")?),
            None => None,
        };
        let wrong = "an address in the record isn't one";
        let mut end = |text: &str, port: u16, endpoint: Option<&RawValue>| {
            let who = match endpoint {
                Some(endpoint) => Some(self.who(endpoint).ok_or("an endpoint in the record makes no sense")?),
                None => None,
            };
            Ok::<End, &'static str>(End { address: address(text.as_bytes()).ok_or(wrong)?, port, who })
        };
        let source = end(&ip.source, ports.source_port, event.source)?;
        let destination = end(&ip.destination, ports.destination_port, event.destination)?;
        let icmp = matches!(layer4, 1 | 58).then_some((ports.kind, ports.code));
        let opener = opener(event, layer4, ports, icmp);
        let counts = event.kind.as_deref() != Some("L7");
        Ok(Some(Flow {
            start: time,
            end: time,
            protocol: layer4,
            source,
            destination,
            icmp,
            opener,
            packets: u64::from(counts),
            bytes: 0,
            recorded: recorded(event.verdict.as_deref()),
            seen: seen(event.traffic_direction.as_deref(), event.reply()),
        }))
    }

    /// Who an endpoint is. The text is the same for all records that it is in.
    fn who(&mut self, text: &RawValue) -> Option<std::sync::Arc<Who>> {
        self.known.who([text.get()], || {
            let endpoint: Endpoint<'_> = serde_json::from_str(text.get()).ok()?;
            Some(endpoint.who())
        })
    }
}

impl Endpoint<'_> {
    fn who(&self) -> Who {
        let pod = self.pod_name.as_deref().filter(|name| !name.is_empty());
        let name = pod.map(|pod| match self.namespace.as_deref() {
            None | Some("") => pod.to_owned(),
            Some(namespace) => format!("{namespace}/{pod}"),
        });
        Who { name, labels: self.labels.iter().flatten().map(|label| split(label)).collect() }
    }
}

/// A label's source is kept but for Kubernetes's own, which is what a policy means by a label: `k8s:app=web` is `app`, `reserved:world` is
/// itself.
fn split(label: &str) -> (String, String) {
    let label = label.strip_prefix("k8s:").unwrap_or(label);
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    (key.to_owned(), value.to_owned())
}

fn protocol(layer4: &Layer4) -> Option<(u8, &Ports)> {
    let all =
        [(6, &layer4.tcp), (17, &layer4.udp), (1, &layer4.icmpv4), (58, &layer4.icmpv6), (132, &layer4.sctp)];
    all.into_iter().find_map(|(number, ports)| Some((number, ports.as_ref()?)))
}

/// By what the connection tracking of Cilium says; where it doesn't, as for what was dropped, by the packet itself.
fn opener(event: &Event<'_>, protocol: u8, ports: &Ports, icmp: Option<(u8, u8)>) -> Opener {
    let flags = ports.flags.as_ref().map_or(0, |flags| u64::from(flags.syn) * 2 + u64::from(flags.ack) * 16);
    first([
        match event.reply() {
            Some(true) => Opener::Destination,
            Some(false) => Opener::Source,
            None => Opener::Unknown,
        },
        by_flags(flags, false),
        icmp.map_or(Opener::Unknown, |(kind, _)| by_icmp(protocol, kind)),
        by_ports(ports.source_port, ports.destination_port),
    ])
}

/// `AUDIT` is what would have been dropped, had the policy been enforced: it went on.
fn recorded(verdict: Option<&str>) -> Option<Recorded> {
    match verdict? {
        "FORWARDED" | "REDIRECTED" | "AUDIT" | "TRACED" | "TRANSLATED" => Some(Recorded::Passed),
        "DROPPED" | "ERROR" => Some(Recorded::Refused),
        _ => None,
    }
}

/// The direction is the connection's at the endpoint, not the packet's: an answer to what came in is `INGRESS` as well.
fn seen(direction: Option<&str>, reply: Option<bool>) -> Option<Side> {
    match (direction?, reply?) {
        ("EGRESS", false) | ("INGRESS", true) => Some(Side::Source),
        ("INGRESS", false) | ("EGRESS", true) => Some(Side::Destination),
        _ => None,
    }
}

fn gap(lost: &Lost<'_>, node: Option<&str>, time: Option<&str>) -> Gap {
    let time: Option<Time> = time.and_then(rfc3339);
    let of = node.filter(|node| !node.is_empty()).map(|node| name(node.as_bytes()));
    Gap { start: time, end: time, of, word: "lost", missing: lost.count() }
}
