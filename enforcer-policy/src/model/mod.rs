//! What the documents mean once they are parsed: plain data, no YAML, no I/O.
//!
//! Everything downstream (compiler, reference evaluator, explain, daemon) starts from a [`PolicySet`].

mod agent_config;
mod flow_policy;
mod flow_test;
mod labels;
mod selector;
mod workload;

use std::fmt;
use std::sync::Arc;

pub use agent_config::{AgentConfig, ContainerSource, ExtraLabel, Failsafe, RecordFile, Records, Sources};
pub use flow_policy::{Action, FlowEntry, FlowPolicy, PolicyMode, PortSpec, Tier};
pub use flow_test::{Claim, Endpoint, Expectation, FlowCase, FlowProperty, FlowTest};
pub use labels::Labels;
pub use selector::{Entity, Expression, LabelSelector, Operator, Selector, selects};
pub use workload::{
    AddressGroup, InterfacePattern, Lease, OnDeny, OnStaleIdentity, POSTURE, Segment, SegmentMode, Threshold,
    ThresholdAction, Workload, WorkloadMatch,
};

/// Where something was written. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Path as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Origin {
    /// `file:line`, the form shown beside a deciding rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// All documents of a live set or of one command's `-f`, in reading order (files by name, documents by
/// position). Reading order is the order in which rules are numbered.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// Things that run, and peers that run elsewhere.
    pub workloads: Vec<Workload>,
    /// Labelled addresses where no agent runs.
    pub groups: Vec<AddressGroup>,
    /// Which flows are allowed or denied.
    pub policies: Vec<FlowPolicy>,
    /// How strictly workloads are held.
    pub segments: Vec<Segment>,
    /// What must hold of the set.
    pub tests: Vec<FlowTest>,
    /// The daemon's own settings, where a document carries them.
    pub configs: Vec<AgentConfig>,
}
