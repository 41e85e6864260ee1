//! `enforcer.counts/v1`: what has been counted, for who keeps records. Records may be lost on their way; these counts are exact.

use super::{Counts, Events};
use serde::{Deserialize, Serialize};

/// Counters as they stood at one moment. They only ever rise; those that did since the line before are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsRecord {
    /// `enforcer.counts/v1`.
    pub schema: String,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Epoch in force.
    pub epoch: u32,
    /// Records there were to make: `sent + lost + suppressed`.
    pub events: Events,
    /// Packets by verdict and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<VerdictCounts>,
    /// Packets by the rule that decided; also among `verdicts`, under the reason `rule`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCounts>,
}

/// Packets of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCounts {
    /// `egress` or `ingress`, as the subject sees it.
    pub direction: String,
    /// `allowed`, `denied` or `audited`.
    pub verdict: String,
    /// The reason's word, or `rule`.
    pub reason: String,
    /// The finer name, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The subject's mode.
    pub mode: String,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What one rule decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCounts {
    /// `policy#index`.
    pub rule: String,
    /// How much.
    #[serde(flatten)]
    pub counts: Counts,
}
