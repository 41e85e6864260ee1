//! `FlowPolicy`: which flows between identities are allowed or denied.

use super::{Origin, Selector};
use jiff::Timestamp;

/// A named list of flow entries in one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowPolicy {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// When it is asked.
    pub tier: Tier,
    /// Whether it is in force or only reported.
    pub mode: PolicyMode,
    /// Past this instant the policy no longer matches.
    pub expires: Option<Timestamp>,
    /// The rules, numbered from 0 in `policy#index`.
    pub flows: Vec<FlowEntry>,
}

/// Tiers in the order they are asked; the first with a match decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Asked first: what nobody below can change.
    Guardrail,
    /// Where most rules live.
    #[default]
    Application,
    /// Asked last.
    Baseline,
}

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyMode {
    /// It decides.
    #[default]
    Enforce,
    /// It is left out of enforced verdicts; where it would change one, the flow is `audited`.
    Audit,
}

/// One rule: permits or denies egress at the source and ingress at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// Where the entry starts.
    pub origin: Origin,
    /// Allow or deny.
    pub action: Action,
    /// Sources; any may match. Never empty.
    pub from: Vec<Selector>,
    /// Destinations; any may match. Never empty.
    pub to: Vec<Selector>,
    /// Protocols and ports; any may match. Never empty.
    pub ports: Vec<PortSpec>,
    /// Free text, shown wherever the flow is decided.
    pub why: Option<String>,
}

/// What a rule does with what it matches. In one tier, deny beats allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// The flow may pass.
    #[default]
    Allow,
    /// The flow may not pass.
    Deny,
}

/// One entry of `ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortSpec {
    /// `any`: every protocol that does not carry another flow inside it.
    Any,
    /// A whole protocol by number: `tcp` is 6, `icmp` is 1, `proto/47` is 47.
    Protocol(u8),
    /// Destination ports of TCP (6), UDP (17) or SCTP (132), both ends included: `udp/8000-8100`.
    Ports {
        /// IP protocol number.
        protocol: u8,
        /// First port.
        first: u16,
        /// Last port, not below `first`.
        last: u16,
    },
    /// An ICMP (1) or ICMPv6 (58) message: `icmp/echo-request`, `icmp/3/4`.
    Icmp {
        /// IP protocol number, 1 or 58.
        protocol: u8,
        /// ICMP type.
        kind: u8,
        /// ICMP code; any where it is not given.
        code: Option<u8>,
    },
}

impl Tier {
    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guardrail => "guardrail",
            Self::Application => "application",
            Self::Baseline => "baseline",
        }
    }
}

impl PolicyMode {
    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

impl Action {
    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
