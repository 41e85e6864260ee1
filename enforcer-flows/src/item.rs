//! What a source of recorded traffic says, one thing at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Time = i64;

/// Takes what a source says, in the order in which it says it.
pub trait Sink {
    /// One thing. What is borrowed is gone when this returns.
    fn take(&mut self, item: Item<'_>);
}

/// One thing that a source says.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A captured packet.
    Packet(Packet<'a>),
    /// A record about a flow, or about a part of it.
    Flow(&'a Flow),
    /// A time in which the source says that it saw nothing, or not all.
    Gap(&'a Gap),
    /// Something in the source that couldn't be read. Reading goes on after it.
    Damage(&'a Damage),
}

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Option<Time>,
    /// What its bytes begin with.
    pub link: Link,
    /// What was kept of it.
    pub bytes: &'a [u8],
    /// How long it was on the wire; more than `bytes` where the capture cut it off.
    pub length: u32,
}

/// What the bytes of a captured packet begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// A Linux cooked header, version 1 (`LINUX_SLL`, 16 bytes).
    Cooked1,
    /// A Linux cooked header, version 2 (`LINUX_SLL2`, 20 bytes).
    Cooked2,
    /// The IP header itself.
    Raw,
    /// BSD loopback: an address family of 4 bytes in either byte order.
    Loopback,
}

/// A record about a flow, or about a part of it. Its ends are those of the packets it counts: `source` sent them.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// First packet.
    pub start: Option<Time>,
    /// Last packet.
    pub end: Option<Time>,
    /// IP protocol number.
    pub protocol: u8,
    /// Who sent the packets.
    pub source: End,
    /// Whom they were sent to.
    pub destination: End,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// Which end opened the flow.
    pub opener: Opener,
    /// Packets from `source` to `destination`, where the source counts them.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the recording system itself did with them.
    pub recorded: Option<Recorded>,
    /// At whose interface it was recorded, where the source tells. The other end's hook may have seen other addresses.
    pub seen: Option<Side>,
}

/// One end of a recorded flow.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 for protocols without ports, and where the source doesn't tell.
    pub port: u16,
    /// Who the source says it is. Shared between records.
    pub who: Option<Arc<Who>>,
}

/// Who a source says that an end is. All of it is attacker-controlled text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// Its name: `namespace/pod`, or a workload's.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Which end opened a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opener {
    /// The record's source.
    Source,
    /// The record's destination: the record counts replies.
    Destination,
    /// The record doesn't tell.
    Unknown,
}

/// One of a record's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The record's source.
    Source,
    /// The record's destination.
    Destination,
}

/// What a recording system did with the packets it recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// They went on.
    Passed,
    /// They were dropped.
    Refused,
}

/// A time in which a source says that it saw nothing, or not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its beginning.
    pub start: Option<Time>,
    /// Its end.
    pub end: Option<Time>,
    /// What it is about: an interface, a node. Attacker-controlled text.
    pub of: Option<String>,
    /// Why, in the source's word: `NODATA`, `SKIPDATA`, `lost`.
    pub word: &'static str,
    /// Records or packets that are missing, where the source counts them.
    pub missing: Option<u64>,
}

/// Something in a source that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The line, counted from 1, or the record, likewise.
    pub place: u64,
    /// What is wrong with it.
    pub what: String,
}
