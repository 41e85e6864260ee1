//! `enforcer.tamper/v1`: what others did to what is enforced, and what became of it.

use serde::{Deserialize, Serialize};

/// One thing that wasn't as the daemon left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TamperRecord {
    /// `enforcer.tamper/v1`.
    pub schema: String,
    /// When it was noticed, RFC 3339, UTC.
    pub time: String,
    /// One stable word: `hook-removed`, `program-replaced`, `pin-removed`, `table-changed`, `generation-switched`,
    /// `unreachable`, or `reachable` when that is over.
    pub tamper: String,
    /// Name of the interface, for hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// `egress` or `ingress`, as the workload sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// The workload whose interface it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// `made`, `bound4` or `bound6`, for a hook that notes where sockets are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The table, for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How many of its entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// The pin, for pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// What keeps packets from the hook: a program's name, or the kind of a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<String>,
    /// The program's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
    /// Milliseconds for which it was so at most: since the last look that found it whole.
    pub gap_ms: u64,
    /// Whether it is as it was again.
    pub repaired: bool,
    /// Why it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What others did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TamperStatus {
    /// Faults found since the daemon started.
    pub count: u64,
    /// Those that couldn't be put right yet.
    pub unrepaired: usize,
    /// The last ones, oldest first.
    pub recent: Vec<TamperRecord>,
}

/// What keeps packets from a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableStatus {
    /// `egress` or `ingress`, as the workload sees it.
    pub direction: String,
    /// A program's name, or the kind of a filter.
    pub ahead: String,
    /// The program's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
}
