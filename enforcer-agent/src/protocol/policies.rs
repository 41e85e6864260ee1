//! The live set as it is in force, for commands that judge by it elsewhere.

use super::PolicyFile;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Answers `GET /v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSet {
    /// `enforcer.policies/v1`.
    pub schema: String,
    /// Epoch it is in force under.
    pub epoch: u32,
    /// Its files in reading order, whole.
    pub files: Vec<PolicyFile>,
    /// The machine's own addresses.
    pub host: Vec<IpAddr>,
    /// Mode of workloads that no Segment selects: `off`, `audit` or `enforce`.
    pub default_mode: String,
}
