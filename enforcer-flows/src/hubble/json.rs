//! Hubble's records as they are written: names of its own protocol first, those of other versions and printers as aliases.

use crate::text::number;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

type Text<'l> = Option<Cow<'l, str>>;

/// A record as the server wraps it. None of it is there where a flow stands alone.
#[derive(Deserialize)]
pub(super) struct Wrapping<'l> {
    #[serde(default, borrow)]
    pub(super) flow: Option<&'l RawValue>,
    #[serde(default, borrow, alias = "lostEvents")]
    pub(super) lost_events: Option<Lost<'l>>,
    #[serde(default, borrow, alias = "nodeStatus")]
    pub(super) node_status: Option<&'l RawValue>,
    #[serde(default, borrow, alias = "agentEvent")]
    pub(super) agent_event: Option<&'l RawValue>,
    #[serde(default, borrow, alias = "debugEvent")]
    pub(super) debug_event: Option<&'l RawValue>,
    #[serde(default, borrow, alias = "nodeName")]
    pub(super) node_name: Text<'l>,
    #[serde(default, borrow)]
    pub(super) time: Text<'l>,
}

impl Wrapping<'_> {
    /// Whether it is about Hubble itself.
    pub(super) const fn is_about_hubble(&self) -> bool {
        self.node_status.is_some() || self.agent_event.is_some() || self.debug_event.is_some()
    }
}

/// Events that Hubble or its reader lost.
#[derive(Deserialize)]
pub(super) struct Lost<'l> {
    /// 64 bits wide, so a text in some printers and a number in others.
    #[serde(default, borrow, alias = "numEventsLost")]
    num_events_lost: Option<&'l RawValue>,
}

impl Lost<'_> {
    pub(super) fn count(&self) -> Option<u64> {
        number(self.num_events_lost?.get().trim_matches('"').as_bytes())
    }
}

/// A flow.
#[derive(Deserialize)]
pub(super) struct Event<'l> {
    #[serde(default, borrow)]
    pub(super) time: Text<'l>,
    #[serde(default, borrow)]
    pub(super) verdict: Text<'l>,
    #[serde(default, borrow, rename = "IP", alias = "ip")]
    pub(super) ip: Option<Addresses<'l>>,
    #[serde(default)]
    pub(super) l4: Option<Layer4>,
    #[serde(default, borrow)]
    pub(super) source: Option<&'l RawValue>,
    #[serde(default, borrow)]
    pub(super) destination: Option<&'l RawValue>,
    #[serde(default, borrow, rename = "Type", alias = "type")]
    pub(super) kind: Text<'l>,
    #[serde(default, alias = "isReply")]
    pub(super) is_reply: Option<bool>,
    /// What `is_reply` was called before; left out where it is false.
    #[serde(default)]
    pub(super) reply: Option<bool>,
    #[serde(default, borrow, alias = "trafficDirection")]
    pub(super) traffic_direction: Text<'l>,
}

impl Event<'_> {
    /// Whether it is an answer, where that is known.
    pub(super) fn reply(&self) -> Option<bool> {
        self.is_reply.or(self.reply)
    }
}

/// Addresses.
#[derive(Deserialize)]
pub(super) struct Addresses<'l> {
    #[serde(default, borrow)]
    pub(super) source: Cow<'l, str>,
    #[serde(default, borrow)]
    pub(super) destination: Cow<'l, str>,
}

/// What is above IP: one of these.
#[derive(Deserialize)]
pub(super) struct Layer4 {
    #[serde(default, rename = "TCP", alias = "tcp")]
    pub(super) tcp: Option<Ports>,
    #[serde(default, rename = "UDP", alias = "udp")]
    pub(super) udp: Option<Ports>,
    #[serde(default, rename = "ICMPv4", alias = "icmpv4")]
    pub(super) icmpv4: Option<Ports>,
    #[serde(default, rename = "ICMPv6", alias = "icmpv6")]
    pub(super) icmpv6: Option<Ports>,
    #[serde(default, rename = "SCTP", alias = "sctp")]
    pub(super) sctp: Option<Ports>,
}

/// Ports, or type and code. What is 0 is left out.
#[derive(Deserialize)]
pub(super) struct Ports {
    #[serde(default, alias = "sourcePort")]
    pub(super) source_port: u16,
    #[serde(default, alias = "destinationPort")]
    pub(super) destination_port: u16,
    #[serde(default)]
    pub(super) flags: Option<Flags>,
    #[serde(default, rename = "type")]
    pub(super) kind: u8,
    #[serde(default)]
    pub(super) code: u8,
}

/// TCP's flags. What is off is left out.
#[derive(Deserialize)]
pub(super) struct Flags {
    #[serde(default, rename = "SYN", alias = "syn")]
    pub(super) syn: bool,
    #[serde(default, rename = "ACK", alias = "ack")]
    pub(super) ack: bool,
}

/// One end, as Cilium knows it.
#[derive(Deserialize)]
pub(super) struct Endpoint<'l> {
    #[serde(default, borrow)]
    pub(super) namespace: Text<'l>,
    #[serde(default, borrow, alias = "podName")]
    pub(super) pod_name: Text<'l>,
    #[serde(default, borrow, alias = "labelsList")]
    pub(super) labels: Option<Vec<Cow<'l, str>>>,
}
