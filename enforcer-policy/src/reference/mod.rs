//! The reference evaluator: what the documents mean, as naive loops over them.
//!
//! Written from the policy language and `docs/SEMANTICS.md` alone, to hold the compiler and the shared verdict
//! function against. Obvious correctness beats speed here.
//!
//! Architecture Invariant: nothing in this module uses the compiler, its tables or `enforcer-common`, and
//! nothing outside of tests decides a packet with it.

mod flow;
mod flow_tests;
mod identity;
mod packet;
mod path;
mod rules;
mod select;
mod tracker;
mod verdict;

#[cfg(test)]
mod tests;

use crate::model::{PolicySet, SegmentMode};
use jiff::Timestamp;
use std::net::IpAddr;

pub use flow_tests::{TestOutcome, run_flow_tests};
pub use identity::{End, Family, Identity, Place, is_martian, is_multicast};
pub use packet::{Direction, Packet, Payload, Quoted, TcpFlags};
pub use path::{PathVerdict, has_hook};
pub use rules::{RuleAnswer, RuleRef, TUNNEL_PORTS, TUNNEL_PROTOCOLS, port_matches};
pub use select::selects;
pub use tracker::Tracker;
pub use verdict::{Cause, Reason, Verdict, Word};

/// Everything a verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The documents.
    pub set: &'a PolicySet,
    /// Addresses of the machine the daemon runs on.
    pub hosts: &'a [IpAddr],
    /// Mode of workloads that no Segment selects.
    pub default_mode: SegmentMode,
    /// The present instant: policies with `expires` at or before it don't match.
    pub now: Timestamp,
}
