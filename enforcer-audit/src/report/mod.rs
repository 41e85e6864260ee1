//! What came of a dry run: one structure that every output is made from.
//!
//! Serialised it is `enforcer.audit/v1`. Fields are only ever added. All names are attacker-controlled text: whoever shows them escapes them
//! (`enforcer_policy::diagnostic::shown`).

pub(crate) mod allow;
mod identity;
pub(crate) mod make;
mod near;
mod totals;

use enforcer_policy::model::Labels;
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;

pub use identity::Identity;
pub use totals::{Neighbours, Totals};

/// The whole result.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `enforcer.audit/v1`.
    pub schema: &'static str,
    /// When policies were held against their expiry: an instant, or none where each packet's and record's own time counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// First and last time that the recording names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The recordings, as they were named.
    pub sources: Vec<SourceLine>,
    /// What was counted, and what could not be judged.
    pub totals: Totals,
    /// Flows by verdict.
    pub verdicts: Verdicts,
    /// Flows with the same ends, port, verdict and cause: denied ones first, then audited, allowed, unjudged. Of each, what would break comes first,
    /// then whatever has the most flows.
    pub groups: Vec<Group>,
    /// Every rule, in reading order.
    pub rules: Vec<RuleUse>,
    /// Every workload that documents or inventory name, and whether any flow touched it.
    pub workloads: Vec<Coverage>,
    /// Times that the recording doesn't cover.
    pub gaps: Vec<GapLine>,
    /// What couldn't be read, the first of it.
    pub damage: Vec<DamageLine>,
    /// What has to be known to read the rest right, for people.
    pub notes: Vec<String>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Its beginning.
    pub first: Timestamp,
    /// Its end.
    pub last: Timestamp,
}

/// One recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// Its name.
    pub name: String,
    /// First and last time that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Captured packets.
    pub packets: u64,
    /// Flow records.
    pub records: u64,
    /// Packets and records that end before one that comes before them.
    #[serde(skip_serializing_if = "is_zero")]
    pub late: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How many of something had which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// They pass.
    pub allowed: Figures,
    /// They don't.
    pub denied: Figures,
    /// What is enforced and what would be differ.
    pub audited: Figures,
    /// No hook would see them: neither end is managed.
    pub unjudged: Figures,
}

impl Verdicts {
    /// The figures of a verdict.
    pub(crate) fn of_mut(&mut self, verdict: &str) -> &mut Figures {
        match verdict {
            "allowed" => &mut self.allowed,
            "denied" => &mut self.denied,
            "audited" => &mut self.audited,
            _ => &mut self.unjudged,
        }
    }
}

/// Flows, and what they carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Distinct flows.
    pub flows: u64,
    /// Packets, both directions.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Flows of one kind: to which port, how many, when, and between whom some of them.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    /// As a `ports` entry of a policy.
    pub port: String,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; `type * 256 + code` for ICMP; absent for protocols without ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_number: Option<u16>,
    /// How much.
    #[serde(flatten)]
    pub figures: Figures,
    /// First and last packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Window>,
    /// Flows whose opening isn't in the recording: who opened them is inferred.
    pub opening_not_seen: u64,
    /// Addresses of some of the flows.
    pub samples: Vec<Sample>,
    /// Whether there are others.
    pub more_samples: bool,
}

/// Flows with the same ends, port, verdict and cause.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// `allowed`, `denied`, `audited` or `unjudged`.
    pub verdict: &'static str,
    /// Whether its packets go on; an `audited` one may or may not.
    pub passes: bool,
    /// Why; absent for what is unjudged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseLine>,
    /// Who opened the flows.
    pub source: Identity,
    /// To whom.
    pub destination: Identity,
    /// Where to, and how much.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// What the recording system itself did, where it says.
    #[serde(skip_serializing_if = "Recorded::is_silent")]
    pub recorded: Recorded,
    /// `breaks` where records among these passed and would be denied; `opens` where some were refused and would pass. How many, says
    /// `recorded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<&'static str>,
    /// What would allow it, as an entry of a FlowPolicy's `flows`. Only where a rule can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
    /// The allow rule that comes nearest. Only for what is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<Near>,
    /// What to do where no rule can allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// Why a verdict is what it is: a rule or a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CauseLine {
    /// `policy#index`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the rule is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What the rule says it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// One stable word, where no rule decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The finer name, where it differs from the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
}

/// Records by what the recording system did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// It let them on.
    pub passed: u64,
    /// It dropped them.
    pub refused: u64,
}

impl Recorded {
    /// Whether it doesn't say.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.passed == 0 && self.refused == 0
    }
}

/// Two ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Who opened it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
}

/// A rule that comes near, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The rule.
    #[serde(flatten)]
    pub rule: CauseLine,
    /// Clause by clause: which fails, and what would mend it.
    pub mends: Vec<Mend>,
}

/// A clause that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// `from`, `to`, `ports`, `expires`, `mode` or `outranked`.
    pub clause: &'static str,
    /// For people. Safe to show.
    pub text: String,
}

/// A rule, and what it decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleUse {
    /// `policy#index`.
    pub rule: String,
    /// Where it is written.
    pub file: String,
    /// Line in that file.
    pub line: u32,
    /// `allow` or `deny`.
    pub action: &'static str,
    /// `enforce` or `audit`.
    pub mode: &'static str,
    /// Whether its policy had ended when the traffic was judged.
    pub expired: bool,
    /// Flows that it decided.
    #[serde(flatten)]
    pub figures: Figures,
}

impl RuleUse {
    /// Whether it decided nothing.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.figures.flows == 0
    }
}

/// A workload, and what is known about it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Its name.
    pub workload: String,
    /// Its labels.
    pub labels: Labels,
    /// Where its document is written; absent where an inventory names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Whether it has a hook.
    pub managed: bool,
    /// Whether it opened flows.
    pub opened: bool,
    /// Whether flows were opened to it.
    pub reached: bool,
}

impl Coverage {
    /// Whether no flow touched it, so that the recording says nothing about it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.opened && !self.reached
    }
}

/// A time that the recording doesn't cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapLine {
    /// Its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The recording's own word.
    pub word: &'static str,
    /// How much is missing, where it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
}

/// Something that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamageLine {
    /// Line or record, counted from 1.
    pub place: u64,
    /// What is wrong.
    pub what: String,
}

impl Report {
    /// Groups with this verdict.
    pub fn with<'a>(&'a self, verdict: &'a str) -> impl Iterator<Item = &'a Group> {
        self.groups.iter().filter(move |group| group.verdict == verdict)
    }

    /// Rules that decided nothing.
    pub fn unused(&self) -> impl Iterator<Item = &RuleUse> {
        self.rules.iter().filter(|rule| rule.is_unused())
    }

    /// Workloads that no flow touched.
    pub fn untouched(&self) -> impl Iterator<Item = &Coverage> {
        self.workloads.iter().filter(|workload| workload.is_untouched())
    }
}
