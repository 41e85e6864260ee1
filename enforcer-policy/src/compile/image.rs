//! What the compiler hands to whoever enforces: the contents of one bank, or a change to it.

use enforcer_common::maps::{Endpoint, Generation, PairKey};
use enforcer_common::{Decision, Interval, PortSet};
use ipnet::{Ipv4Net, Ipv6Net};

/// A whole generation as the maps hold it. Keys that carry a bank carry bank 0; whoever installs it puts in the bank.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// What the bank says beside its tables.
    pub generation: Generation,
    /// Exact IPv4 addresses.
    pub addresses4: Vec<([u32; 1], Endpoint)>,
    /// Exact IPv6 addresses.
    pub addresses6: Vec<([u32; 4], Endpoint)>,
    /// IPv4 prefixes.
    pub prefixes4: Vec<(Ipv4Net, Endpoint)>,
    /// IPv6 prefixes.
    pub prefixes6: Vec<(Ipv6Net, Endpoint)>,
    /// Port sets of pairs of classes.
    pub pairs: Vec<(PairKey, PortSet)>,
    /// Break points of all port sets.
    pub intervals: Vec<Interval>,
    /// Decisions of all break points; the first is [`Decision::NONE`].
    pub decisions: Vec<Decision>,
}

/// A change to the generation in force, written in place: `None` takes an entry out. Break points and decisions are only
/// ever added behind those that are there, so whoever reads meanwhile finds the old ones whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delta {
    /// The new word on everything beside the tables, where it changes.
    pub generation: Option<Generation>,
    /// Exact IPv4 addresses.
    pub addresses4: Vec<([u32; 1], Option<Endpoint>)>,
    /// Exact IPv6 addresses.
    pub addresses6: Vec<([u32; 4], Option<Endpoint>)>,
    /// IPv4 prefixes.
    pub prefixes4: Vec<(Ipv4Net, Option<Endpoint>)>,
    /// IPv6 prefixes.
    pub prefixes6: Vec<(Ipv6Net, Option<Endpoint>)>,
    /// Port sets of pairs of classes.
    pub pairs: Vec<(PairKey, Option<PortSet>)>,
    /// Break points with their indexes.
    pub intervals: Vec<(u32, Interval)>,
    /// Decisions with their indexes.
    pub decisions: Vec<(u32, Decision)>,
}
