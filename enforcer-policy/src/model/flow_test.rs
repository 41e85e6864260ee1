//! `FlowTest`: what must be allowed and what must be denied.

use super::{Entity, Labels, Origin, PortSpec, Selector};
use std::net::IpAddr;

/// A named list of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTest {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// The cases, in order. Empty only where there are properties.
    pub cases: Vec<FlowCase>,
    /// The properties, in order.
    pub properties: Vec<FlowProperty>,
}

/// What must hold of the whole set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowProperty {
    /// Where it starts.
    pub origin: Origin,
    /// What must hold.
    pub claim: Claim,
}

/// The claims that a [`FlowProperty`] can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// No chain of flows leads from an end of `from` to an end of `to`, each flow opened by the one that the flow before reached.
    Unreachable {
        /// Where chains begin; any entry may match. Never empty.
        from: Vec<Selector>,
        /// Where none may end. Never empty.
        to: Vec<Selector>,
        /// Longer chains don't count; none: no chain of any length.
        within: Option<u32>,
        /// Flows that count. Never empty.
        ports: Vec<PortSpec>,
    },
    /// Nobody but `from` may open `port` at an end of `to`.
    Only {
        /// Who is reached. Never empty.
        to: Vec<Selector>,
        /// Protocol and ports.
        port: PortSpec,
        /// Who may. Never empty.
        from: Vec<Selector>,
    },
}

/// One case: a flow and the verdict it must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCase {
    /// Where the case starts.
    pub origin: Origin,
    /// Who opens the flow.
    pub from: Endpoint,
    /// Who is reached.
    pub to: Endpoint,
    /// Protocol and port (a single one: never a range, a whole protocol means its port 0).
    pub port: PortSpec,
    /// What must come out.
    pub expect: Expectation,
}

/// One end of a tested or explained flow: an endpoint with exactly these properties. It is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An identity that carries exactly these labels.
    Labels(Labels),
    /// An address; its identity is whatever the set gives it.
    Address(IpAddr),
    /// The host or the world (the only entities that name one endpoint).
    Entity(Entity),
    /// A workload or an address group, by document name.
    Workload(String),
}

/// What a [`FlowCase`] expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expectation {
    /// The flow passes and no audited policy would change that.
    Allow,
    /// The flow is denied and no audited policy would change that.
    Deny,
    /// The flow is reported as `audited`.
    Audit,
}

impl Expectation {
    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
    }
}
