//! `explain` on the live set.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks for the verdict on a flow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Who opens it, as on the command line.
    pub from: String,
    /// Who is reached.
    pub to: String,
    /// Protocol and port.
    pub port: String,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainReply {
    /// `allowed`, `denied` or `audited`.
    pub verdict: String,
    /// Whether the flow passes.
    pub passes: bool,
    /// The whole explanation, `enforcer.explain/v1`.
    pub explanation: Value,
    /// The same for people.
    pub text: String,
}
