//! `apply` and `rollback`: the files that go in, the plan, and what came of it.

use super::Finding;
use serde::{Deserialize, Serialize};

/// One policy file as the user has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Path as the user named it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Asks for `apply`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The applied set from now on, as a whole.
    pub files: Vec<PolicyFile>,
    /// Whether to show the plan only.
    #[serde(default)]
    pub dry_run: bool,
    /// Roll back after so many seconds unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<u64>,
    /// Even where it cuts the session it is asked for from.
    #[serde(default)]
    pub force: bool,
}

/// Asks for `rollback`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Even where it cuts the session it is asked for from.
    #[serde(default)]
    pub force: bool,
}

/// Answers `confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// `enforcer.confirm/v1`.
    pub schema: String,
    /// When the set was applied, RFC 3339.
    pub since: String,
    /// Files in it.
    pub files: usize,
    /// The epoch in force.
    pub epoch: u32,
}

/// Flows that come out differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The line for people.
    pub text: String,
    /// Whether more passes than before.
    pub opens: bool,
    /// Sources: names of workloads and groups, `host`, `world`, blocks.
    pub from: Vec<String>,
    /// Destinations, likewise.
    pub to: Vec<String>,
    /// As entries of `ports`.
    pub ports: Vec<String>,
    /// What they were.
    pub before: String,
    /// What they become.
    pub after: String,
    /// The rule that decided before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_before: Option<String>,
    /// The rule that decides then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_after: Option<String>,
    /// Recorded flows between such ends at such ports, where a recording was held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
}

/// Workloads that are held otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The line for people.
    pub text: String,
    /// Names of Workload documents, sorted.
    pub workloads: Vec<String>,
    /// The mode they were held in; none where nothing judged their packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The mode that they are held in then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What connectivity changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connectivity {
    /// Who is judged otherwise: by the first policies of all, by another mode, or not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// What is lost first.
    pub changes: Vec<Change>,
    /// Changes beyond those listed.
    pub more: usize,
    /// Whether everything was compared; sets of many thousand distinct endpoints are compared in part.
    pub complete: bool,
}

/// What will change; comes before anything does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `enforcer.plan/v1`.
    pub schema: String,
    /// What connectivity changes.
    #[serde(flatten)]
    pub connectivity: Connectivity,
    /// Warnings about the set.
    pub warnings: Vec<Finding>,
    /// How the set's FlowTests came out.
    pub tests: TestReport,
}

/// How FlowTests came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// Cases that came out as expected.
    pub passed: usize,
    /// Cases that didn't.
    pub failed: usize,
    /// Every case for `test`; those that failed for every other command.
    pub cases: Vec<TestResult>,
    /// Every property for `test`; those that don't hold for every other command. They count as cases do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<PropertyResult>,
}

impl TestReport {
    /// Forgets what came out as expected; the counts stay.
    pub fn keep_failed(&mut self) {
        self.cases.retain(|case| !case.passed);
        self.properties.retain(|property| !property.passed);
    }
}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyResult {
    /// `metadata.name` of the FlowTest.
    pub test: String,
    /// Which of its properties, from 0.
    pub property: usize,
    /// Where it is written.
    pub file: String,
    /// Line in that file.
    pub line: u32,
    /// `only` or `unreachable`.
    pub claim: String,
    /// Whether it holds.
    pub passed: bool,
    /// Why it doesn't, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The flows, one after the other, that break it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathHop>,
}

/// A flow that passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathHop {
    /// Who may open it: names of workloads and groups, `host`, `world`, blocks.
    pub from: Vec<String>,
    /// Who is reached.
    pub to: Vec<String>,
    /// The first ports that pass, as entries of `ports`.
    pub ports: String,
    /// `allowed` or `audited`.
    pub verdict: String,
    /// The deciding rule; empty where the mode of a segment lets the flow pass.
    pub cause: super::CauseRecord,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// `metadata.name` of the FlowTest.
    pub test: String,
    /// Which of its cases, from 0.
    pub case: usize,
    /// Where it is written.
    pub file: String,
    /// Line in that file.
    pub line: u32,
    /// Who opens the flow.
    pub from: String,
    /// Who is reached.
    pub to: String,
    /// Protocol and port.
    pub port: String,
    /// `allow`, `deny` or `audit`.
    pub expected: String,
    /// The verdict: `allowed`, `denied` or `audited`.
    pub seen: String,
    /// The deciding rule or reason.
    pub cause: super::CauseRecord,
    /// Whether it came out as expected.
    pub passed: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is in force.
    Applied,
    /// It would be.
    DryRun,
    /// The whole live set isn't valid with it.
    Invalid,
    /// FlowTests fail with it.
    TestsFailed,
    /// The kernel could not take it, or the daemon could not keep it.
    Failed,
    /// It would cut the session it was asked for from.
    LocksOut,
}

/// The last document of `apply` and `rollback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyReply {
    /// `enforcer.apply/v1`.
    pub schema: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Epoch in force now.
    pub epoch: u32,
    /// Why it isn't in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Finding>,
    /// Tests that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestReport>,
    /// When it is rolled back unless it is confirmed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}
