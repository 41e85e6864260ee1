//! `FlowTest`: what must be allowed and what must be denied.

use super::{Entity, Labels, Origin, PortSpec};
use std::net::IpAddr;

/// A named list of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTest {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// The cases, in order.
    pub cases: Vec<FlowCase>,
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
