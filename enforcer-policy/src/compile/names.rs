//! What the numbers in tables, counters and records stand for.

use crate::model::{Action, Labels, Origin, PolicyMode, Tier};
use enforcer_common::maps::kind;
use jiff::Timestamp;

/// A rule that the tables hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// As in [`enforcer_common::Cause`] and the rule counters.
    pub number: u32,
    /// Name of its FlowPolicy.
    pub policy: String,
    /// Place among the policy's flows, from 0.
    pub index: usize,
    /// Where it was written.
    pub origin: Origin,
    /// The author's reason.
    pub why: Option<String>,
    /// Tier of its policy.
    pub tier: Tier,
    /// Allow or deny.
    pub action: Action,
    /// Whether its policy is in force or only reported.
    pub mode: PolicyMode,
    /// When its policy ends.
    pub expires: Option<Timestamp>,
}

impl RuleInfo {
    /// `policy#index`, the name under which verdicts cite it.
    pub fn name(&self) -> String {
        format!("{}#{}", self.policy, self.index)
    }
}

/// What kind of identity a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentityKind {
    /// A Workload.
    Workload,
    /// An AddressGroup.
    Group,
    /// The machine itself.
    Host,
}

impl IdentityKind {
    /// As [`enforcer_common::maps::Endpoint::kind`] has it.
    pub const fn code(self) -> u8 {
        match self {
            Self::Workload => kind::WORKLOAD,
            Self::Group => kind::GROUP,
            Self::Host => kind::HOST,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Group => "group",
            Self::Host => "host",
        }
    }
}

/// An identity that the tables hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityInfo {
    /// As in endpoints, subjects and records.
    pub number: u32,
    /// What it is.
    pub kind: IdentityKind,
    /// Name of its document; `host` for the host.
    pub name: String,
    /// Its labels; none for the host.
    pub labels: Labels,
}

/// The key an identity's number is kept under.
pub(super) fn identity_key(kind: IdentityKind, name: &str) -> String {
    format!("{}/{name}", kind.word())
}
