//! `PUT` and `DELETE /v1/posture/WORKLOAD`: labels that somebody attests, for a time.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Says what holds of a workload, and for how long: all of it, instead of what was said before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostureRequest {
    /// Labels below `posture.`; none take away what was said before.
    pub labels: BTreeMap<String, String>,
    /// For how long they hold: a number with a unit, such as `10m`. From 1 s to 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

/// Answers it, once every packet is judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureReply {
    /// `enforcer.posture/v1`.
    pub schema: String,
    /// The epoch since which it is so.
    pub epoch: u32,
    /// What is attested.
    #[serde(flatten)]
    pub posture: PostureStatus,
    /// What the caller should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What is attested of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureStatus {
    /// `metadata.name`.
    pub workload: String,
    /// Labels below `posture.`; none where nothing is attested.
    pub labels: BTreeMap<String, String>,
    /// Until when, RFC 3339; absent where nothing is attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}
