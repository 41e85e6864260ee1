//! `quarantine` and `release`: who is cut off, until when, and why.

use serde::{Deserialize, Serialize};

/// Asks for `quarantine`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    /// `metadata.name` of the workload.
    pub workload: String,
    /// For how many seconds; until it is released where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The one path into it that is left: `SEL:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
    /// What for.
    pub why: String,
}

/// Asks for `release`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// `metadata.name` of the workload.
    pub workload: String,
}

/// Answers `quarantine` and `release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReply {
    /// `enforcer.quarantine/v1`.
    pub schema: String,
    /// Whether the workload is cut off now.
    pub quarantined: bool,
    /// The epoch since which it is so.
    pub epoch: u32,
    /// The quarantine that is in force, or was ended.
    #[serde(flatten)]
    pub quarantine: QuarantineStatus,
    /// What the operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A workload that is cut off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineStatus {
    /// `metadata.name`.
    pub workload: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when; until it is released where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The one path into it that is left: `SEL:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
    /// What for.
    pub why: String,
    /// The Segment that asked for it; an operator did where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
}
