//! `enforcer.action/v1`: what was done to what is enforced, by whom it was asked for, in the stream of records.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that began or ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// `enforcer.action/v1`.
    pub schema: String,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// One stable word: `quarantine`, `release`, `threshold`, `posture`, `trial`, `confirm` or `rollback`.
    pub action: String,
    /// The workload it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The Segment that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What is attested.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The path that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The epoch since which it is so.
    pub epoch: u32,
}

impl ActionRecord {
    /// A record of something that is done now.
    #[must_use]
    pub fn now() -> Self {
        let (schema, time) = ("enforcer.action/v1".to_owned(), jiff::Timestamp::now().to_string());
        Self { schema, time, ..Self::default() }
    }
}
