//! What goes over the control socket, and what `-o json` prints: the same documents.
//! Fields are only ever added; each top document names its schema.

mod action;
mod apply;
mod counts;
mod doctor;
mod explain;
mod finding;
mod flow;
mod policies;
mod posture;
mod quarantine;
mod status;
mod tamper;

pub use action::ActionRecord;
pub use apply::{
    ApplyReply, ApplyRequest, Change, ConfirmReply, Connectivity, Held, Outcome, PathHop, Plan, PolicyFile,
    PropertyResult, RollbackRequest, TestReport, TestResult,
};
pub use counts::{CountsRecord, RuleCounts, VerdictCounts};
pub use doctor::{DoctorCheck, DoctorReport, Word};
pub use explain::{ExplainReply, ExplainRequest};
pub use finding::Finding;
pub use flow::{CauseRecord, Cut, End, FlowRecord, Icmp, Missed, ObserveLine};
pub use policies::LiveSet;
pub use posture::{PostureReply, PostureRequest, PostureStatus};
pub use quarantine::{QuarantineReply, QuarantineRequest, QuarantineStatus, ReleaseRequest};
pub use status::{
    Counts, DegradedStatus, DenyWindow, Events, InterfaceStatus, ReasonStatus, RuleStatus, SocketsStatus,
    SourceStatus, State, Status, TableStatus, TrialStatus, WorkloadStatus,
};
pub use tamper::{TamperRecord, TamperStatus, UnreachableStatus};

/// Refused with this body: what was wrong with the request, or why the daemon could not do it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// `enforcer.error/v1`.
    pub schema: String,
    /// What went wrong.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal without a way out.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { schema: "enforcer.error/v1".to_owned(), message: message.into(), help: None }
    }
}

/// Answers `stop`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StopReply {
    /// `enforcer.stop/v1`.
    pub schema: String,
    /// Whether everything was taken off; otherwise it goes on enforcing without the daemon.
    pub detached: bool,
}

/// Asks for `stop`.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Take all programs, links and maps away.
    #[serde(default)]
    pub detach: bool,
}
