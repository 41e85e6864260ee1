//! One judged packet as it is observed: the JSON twin of the line for people.

use super::{ActionRecord, TamperRecord};
use enforcer_common::Reason;
use enforcer_policy::compile::RuleInfo;
use enforcer_policy::diagnostic::{shown, shown_path};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// `enforcer.flow/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// `enforcer.flow/v1`.
    pub schema: String,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// `egress` or `ingress`, as the subject sees it.
    pub direction: String,
    /// `allowed`, `denied` or `audited`.
    pub verdict: String,
    /// Whether the packet went on: an `audited` one may or may not.
    pub passes: bool,
    /// Why.
    pub cause: CauseRecord,
    /// `tcp`, `udp`, …, or `proto/N`; absent where the packet wasn't read that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The message, for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// Who sent it.
    pub source: End,
    /// Whom it was sent to.
    pub destination: End,
    /// Packets this record stands for.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Epoch of the verdict.
    pub epoch: u32,
    /// Interface index of the hook.
    pub ifindex: u32,
    /// Whether the other end has a hook on this host as well: then the flow has records of both.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub peer_hooked: bool,
    /// Whether it opened a flow.
    pub new: bool,
    /// Whether the verdict of an open flow changed with it.
    pub changed: bool,
    /// Where it is the first packet that was denied of a flow that was open until then; one for each flow and hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// How soon a flow was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// When the daemon noticed the change: the first report of a changed file, the arrival of a command, the report of a device or an address;
    /// for policies that expired, the instant at which they did. Of several changes since the flow's last packet, the first. RFC 3339, UTC;
    /// absent where it was before the daemon's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Microseconds from then to this packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_us: Option<u64>,
    /// Epochs that began since the flow's last packet: where it is 1, the delay counts from the very change that cut the flow; where it is 0,
    /// from an expiry that the packet met before the daemon did.
    pub epochs: u32,
}

impl fmt::Display for Cut {
    /// `cut after 71.3 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")?;
        let Some(delay) = self.delay_us else { return Ok(()) };
        let tenths = delay.saturating_add(50) / 100;
        write!(f, " after {}.{} ms", tenths / 10, tenths % 10)
    }
}

/// Why a packet met its verdict: a rule or a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CauseRecord {
    /// `policy#index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the rule is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What the rule says it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// One stable word, where no rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The finer name, where it differs from the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<&RuleInfo> for CauseRecord {
    fn from(rule: &RuleInfo) -> Self {
        Self {
            rule: Some(rule.name()),
            file: Some(rule.origin.file.to_string()),
            line: Some(rule.origin.line),
            why: rule.why.clone(),
            ..Self::default()
        }
    }
}

impl From<Reason> for CauseRecord {
    fn from(reason: Reason) -> Self {
        let detail = (reason.detail() != reason.word()).then(|| reason.detail().to_owned());
        Self { reason: Some(reason.word().to_owned()), detail, ..Self::default() }
    }
}

impl fmt::Display for CauseRecord {
    /// The rule with its place, or the reason with its finer name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            f.write_str(&shown(rule))?;
            if let (Some(file), Some(line)) = (&self.file, self.line) {
                write!(f, "  {}:{line}", shown_path(file))?;
            }
            return Ok(());
        }
        f.write_str(&shown(self.reason.as_deref().unwrap_or("unknown")))?;
        self.detail.iter().try_for_each(|detail| write!(f, " ({})", shown(detail)))
    }
}

/// ICMP type and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    /// Type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Code.
    pub code: u8,
}

/// One end of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Address; absent where the packet isn't IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Port, for protocols that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The workload it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The address group it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `host`, `world` or `multicast`, where it is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Identity labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Verdicts that were counted but have no record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Didn't fit on their way to this observer.
    pub lost: u64,
    /// Left out because denied packets came faster than they are reported.
    pub suppressed: u64,
}

impl Missed {
    /// Adds more of both.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.suppressed += other.suppressed;
    }
}

/// One line of `GET /v1/observe`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ObserveLine {
    /// A judged packet.
    Flow(Box<FlowRecord>),
    /// Others did something to what is enforced.
    Tamper(Box<TamperRecord>),
    /// Something was done to what is enforced because it was asked for.
    Action(Box<ActionRecord>),
    /// What was missed since the last such line.
    Missed {
        /// `enforcer.missed/v1`.
        schema: String,
        /// How much.
        #[serde(flatten)]
        missed: Missed,
    },
}

impl ObserveLine {
    /// The line that tells of `missed`.
    #[must_use]
    pub fn missed(missed: Missed) -> Self {
        Self::Missed { schema: "enforcer.missed/v1".to_owned(), missed }
    }
}
