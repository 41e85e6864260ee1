//! `enforcer.status/v1`.

use super::{Finding, PostureStatus, QuarantineStatus, TamperStatus, UnreachableStatus};
use enforcer_common::maps::RuleCounter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Whether the live set is the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Enforcing,
    /// It isn't valid or could not be put in force, and the last good one is; or packets may get around it.
    Degraded,
}

/// What is enforced, since when, and what has been counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// `enforcer.status/v1`.
    pub schema: String,
    /// Version of the daemon.
    pub version: String,
    /// Whether the live set is in force.
    pub state: State,
    /// Why it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<DegradedStatus>,
    /// When the generation in force was put there, RFC 3339; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the daemon started.
    pub started: String,
    /// Epoch in force; 0 for none.
    pub epoch: u32,
    /// Policy sets put in force since the state directory was made.
    pub generation: u64,
    /// Documents in force, by kind.
    pub documents: BTreeMap<String, usize>,
    /// FlowPolicies in force.
    pub policies: usize,
    /// Files in the applied set.
    pub applied_files: usize,
    /// Workloads that may run here.
    pub workloads: Vec<WorkloadStatus>,
    /// How sockets are judged; absent where nobody is known by a cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<SocketsStatus>,
    /// Hooked interfaces that no workload claims: they deny everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclaimed: Vec<InterfaceStatus>,
    /// Container engines that are followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// Counters of rules.
    pub rules: Vec<RuleStatus>,
    /// Counters of reasons.
    pub reasons: Vec<ReasonStatus>,
    /// What became of event records.
    pub events: Events,
    /// What others did to what is enforced.
    #[serde(default)]
    pub tamper: TamperStatus,
    /// Workloads that are cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantines: Vec<QuarantineStatus>,
    /// Paths of the machine itself that stay open whatever else is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failsafe: Vec<String>,
    /// What is attested, for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postures: Vec<PostureStatus>,
    /// The applied set that waits for its confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStatus>,
    /// How full the tables are.
    pub tables: Vec<TableStatus>,
    /// What the documents ask for and this build doesn't do.
    pub not_yet_enforced: Vec<Finding>,
    /// Other warnings.
    pub warnings: Vec<Finding>,
}

/// Why the live set is not in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DegradedStatus {
    /// In one line.
    pub why: String,
    /// Since when.
    pub since: String,
    /// Everything that is wrong.
    pub diagnostics: Vec<Finding>,
}

/// An applied set that is rolled back unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialStatus {
    /// When it was applied, RFC 3339.
    pub since: String,
    /// When it is rolled back.
    pub until: String,
    /// Milliseconds until then.
    pub left_ms: u64,
}

/// A workload that may run on this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// `metadata.name`.
    pub name: String,
    /// Identity labels.
    pub labels: BTreeMap<String, String>,
    /// `off`, `audit` or `enforce`.
    pub mode: String,
    /// The segment that decided the mode; absent where the default did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// What it may send from.
    pub addresses: Vec<IpAddr>,
    /// Its interfaces on this host.
    pub interfaces: Vec<InterfaceStatus>,
    /// Its cgroups on this host, the outermost of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<String>,
}

/// How sockets are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsStatus {
    /// The cgroup whose descendants' sockets are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Why they can't be, where they should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How strictly the host itself is held: `off`, `audit` or `enforce`.
    pub host: String,
    /// The segment that decided that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_segment: Option<String>,
}

/// An interface of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Name.
    pub name: String,
    /// Index.
    pub ifindex: u32,
    /// Whether its packets are judged.
    pub attached: bool,
    /// How: `tcx` or `clsact`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Why it isn't attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What runs before its hooks and may end the chain: then its packets aren't judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<UnreachableStatus>,
}

/// A container engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `docker` or `containerd`.
    pub kind: String,
    /// Where it listens.
    pub socket: String,
    /// `heard`, `silent`, or `unheard` where this daemon never heard it.
    pub state: String,
    /// Since when it is silent, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<String>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Containers that run.
    pub containers: usize,
    /// Those of them that are workloads.
    pub managed: usize,
    /// What was heard of so far.
    pub reports: u64,
    /// Changes that came too fast to be looked at each: they were looked at together.
    pub skipped: u64,
    /// How long containers were denied because nobody knew them yet.
    pub deny_window: DenyWindow,
    /// What containers don't get, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// From a container's start, as its engine tells it, to its rules being in force. 0 where they were before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyWindow {
    /// Containers that were seen to start.
    pub containers: u64,
    /// Half of the latest 1,024 took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 of the latest 1,024 took no longer.
    pub p99_us: u64,
    /// The longest ever.
    pub max_us: u64,
}

/// Counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// New flows among them.
    pub flows: u64,
    /// Packets reported as `audited` among them.
    pub audited: u64,
}

impl From<&RuleCounter> for Counts {
    fn from(counter: &RuleCounter) -> Self {
        let RuleCounter { packets, bytes, flows, audited } = *counter;
        Self { packets, bytes, flows, audited }
    }
}

/// A rule's counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleStatus {
    /// `policy#index`.
    pub rule: String,
    /// Where it is written.
    pub file: String,
    /// Line in that file.
    pub line: u32,
    /// What it has decided.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A reason's counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReasonStatus {
    /// The policy language's word.
    pub reason: String,
    /// The finer name.
    pub detail: String,
    /// What it has decided.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What became of event records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Handed to the daemon.
    pub sent: u64,
    /// Didn't fit.
    pub lost: u64,
    /// Over the rate for denied packets.
    pub suppressed: u64,
}

/// How full a table is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableStatus {
    /// What stands in it.
    pub table: String,
    /// Entries in use.
    pub used: u64,
    /// Entries it can hold.
    pub limit: u64,
}
