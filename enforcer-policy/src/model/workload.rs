//! Identities: `Workload` and `AddressGroup`; and `Segment`, which says how strictly they are held.

use super::{Labels, Origin, Selector};
use ipnet::IpNet;
use jiff::Timestamp;
use std::borrow::Cow;
use std::net::IpAddr;

/// Something that runs on a host, or (with addresses only) a peer that runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// Identity labels.
    pub labels: Labels,
    /// How it is found on this host; any entry may match. Empty: the workload runs elsewhere.
    pub matches: Vec<WorkloadMatch>,
    /// What it may send from, and how its peers recognise it.
    pub addresses: Vec<IpAddr>,
    /// Those of `labels` that have a time to live. No document says any: whoever attests them does, while the set is in force.
    pub lease: Option<Lease>,
}

impl Workload {
    /// The labels that it has at this instant.
    pub fn labels_at(&self, now: Timestamp) -> Cow<'_, Labels> {
        match &self.lease {
            Some(lease) if lease.until <= now => Cow::Owned(self.labels_after()),
            _ => Cow::Borrowed(&self.labels),
        }
    }

    /// The labels that it has without its lease.
    pub fn labels_after(&self) -> Labels {
        let leased = |key: &str| self.lease.as_ref().is_some_and(|lease| lease.labels.contains_key(key));
        let stay = self.labels.iter().filter(|(key, _)| !leased(key));
        stay.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Gives it labels that have a time to live, for those that it had before.
    pub fn set_lease(&mut self, lease: Option<Lease>) {
        self.labels = self.labels_after();
        self.labels.extend(lease.iter().flat_map(|lease| lease.labels.clone()));
        self.lease = lease;
    }
}

/// Labels that a workload has until an instant. Their keys are none of those that it has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub labels: Labels,
    /// From when on it doesn't have them.
    pub until: Timestamp,
}

/// Labels under this are leased alone: documents and container engines don't bring any.
pub const POSTURE: &str = "posture.";

/// One entry of `Workload.spec.match`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadMatch {
    /// A systemd unit, by its cgroup.
    Unit(String),
    /// A cgroup v2 path below the mount.
    Cgroup {
        /// Absolute path below the mount, without a trailing `/**`.
        path: String,
        /// Whether descendants belong to it too (`/**`).
        descendants: bool,
    },
    /// A container, by its own labels.
    Container {
        /// All of these must be on the container.
        labels: Labels,
    },
    /// The host side of a network device.
    Interface(InterfacePattern),
}

impl WorkloadMatch {
    /// Whether it finds a cgroup by itself, so that its processes are judged at their sockets.
    pub const fn is_cgroup(&self) -> bool {
        matches!(self, Self::Unit(_) | Self::Cgroup { .. })
    }

    /// Whether it finds something to hook by itself. Whether a container is found depends on the sources of the daemon.
    pub const fn has_hook(&self) -> bool {
        !matches!(self, Self::Container { .. })
    }
}

/// An interface name, or a prefix of one where it was written with a trailing `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfacePattern {
    /// The name, or what stands before the `*`.
    pub text: String,
    /// Whether a `*` followed.
    pub glob: bool,
}

impl InterfacePattern {
    /// Whether `name` is meant by this pattern.
    pub fn matches(&self, name: &str) -> bool {
        if self.glob { name.starts_with(&self.text) } else { name == self.text }
    }
}

/// Labels for addresses where no agent runs. The longest prefix wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressGroup {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// Identity labels.
    pub labels: Labels,
    /// Blocks that belong to the group. Never empty.
    pub cidrs: Vec<IpNet>,
}

/// How strictly the workloads it selects are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Origin,
    /// Which workloads; any entry may match.
    pub select: Vec<Selector>,
    /// How strictly.
    pub mode: SegmentMode,
    /// What senders of denied packets are told.
    pub on_deny: OnDeny,
    /// What becomes of containers whose source falls silent.
    pub on_stale_identity: OnStaleIdentity,
    /// When one of them is reported, or quarantined.
    pub quarantine: Option<Threshold>,
}

/// How much a workload may do within a time before it is reported, or quarantined. At least one of the two counts is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Flows it opens that are denied.
    pub denied: Option<u32>,
    /// Addresses it opens flows to.
    pub new_destinations: Option<u32>,
    /// Seconds.
    pub within: u64,
    /// What is done then.
    pub action: ThresholdAction,
    /// For how many seconds it is quarantined; until it is released where this is absent.
    pub term: Option<u64>,
}

/// What is done with a workload that exceeds a [`Threshold`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ThresholdAction {
    /// It is told.
    #[default]
    Report,
    /// It is told, and the workload is quarantined.
    Quarantine,
}

/// What becomes of a workload whose identity comes from a source that has fallen silent. The greatest wins where several segments select it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnStaleIdentity {
    /// Nothing: what was known goes on counting.
    #[default]
    Keep,
    /// What was known goes on counting, and nothing new is let through until the source speaks again.
    Freeze,
    /// It is denied until the source speaks again.
    Close,
}

impl OnStaleIdentity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Freeze, Self::Close];

    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Freeze => "freeze",
            Self::Close => "close",
        }
    }
}

/// What becomes of a denied packet, beside that it doesn't arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnDeny {
    /// Nothing: its sender waits.
    #[default]
    Drop,
    /// Its sender is told, by a TCP reset or an ICMP error, and learns at once. Wins where several segments select one workload.
    Reset,
}

/// Strictness, least first: the greatest wins where several segments select one workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SegmentMode {
    /// Nothing is judged.
    Off,
    /// Denies are reported as `audited` and let through.
    Audit,
    /// Denies are denied.
    #[default]
    Enforce,
}

impl SegmentMode {
    /// Every mode, least strict first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Audit, Self::Enforce];

    /// The word for it in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        }
    }

    /// The mode that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}
