//! `AgentConfig`: the daemon's own settings.

use super::{Origin, PortSpec, SegmentMode};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of one `AgentConfig` document; a field that was not written is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentConfig {
    /// `metadata.name`.
    pub name: String,
    /// Where the document starts.
    pub origin: Option<Origin>,
    /// Files or directories of policy documents, watched.
    pub policies: Option<Vec<PathBuf>>,
    /// Mode of managed workloads that no Segment selects.
    pub default_mode: Option<SegmentMode>,
    /// Label keys from outside sources that count.
    pub identity_labels: Option<Vec<String>>,
    /// Control socket.
    pub socket: Option<PathBuf>,
    /// The group that may use it beside root: a name or a number.
    pub socket_group: Option<String>,
    /// Directory for pins, on a bpf file system.
    pub bpffs: Option<PathBuf>,
    /// cgroup v2 directory the cgroup hooks attach to; `auto` finds the mount.
    pub cgroup_root: Option<String>,
    /// Last good generation and records.
    pub state: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where records are written, beside what observers see.
    pub records: Option<Box<Records>>,
    /// Paths that are evaluated before everything.
    pub failsafe: Option<Vec<Failsafe>>,
    /// Outside sources of identity.
    pub sources: Sources,
}

/// `records`: each is off unless it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// As lines of JSON, to a file.
    pub file: Option<RecordFile>,
    /// To the syslog daemon that listens at this socket.
    pub syslog: Option<PathBuf>,
    /// To the journal that listens at this socket.
    pub journald: Option<PathBuf>,
    /// To the collector (OTLP over gRPC, without TLS) at this endpoint: `http://HOST:PORT`.
    pub otlp: Option<String>,
}

/// `records.file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    /// Where lines are appended.
    pub path: PathBuf,
    /// Bytes after which a new one is begun.
    pub size: u64,
    /// Full ones that are kept.
    pub keep: u32,
}

/// One `failsafe` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failsafe {
    /// `true` for ingress, `false` for egress.
    pub ingress: bool,
    /// Ports that stay open.
    pub ports: Vec<PortSpec>,
    /// From (or to) which blocks.
    pub cidr: Vec<IpNet>,
}

/// `sources`: where identities come from beside documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// A Docker engine on this host.
    pub docker: Option<ContainerSource>,
    /// A containerd on this host.
    pub containerd: Option<ContainerSource>,
    /// Those that nothing reads yet (`kubernetes`, `etcd`), with their settings as written.
    pub others: BTreeMap<String, BTreeMap<String, String>>,
}

/// A container engine; a field that was not written is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSource {
    /// Where it listens.
    pub socket: Option<PathBuf>,
    /// containerd's namespaces that count. Only containerd has any.
    pub namespaces: Option<Vec<String>>,
    /// What is told as a label of every container, beside its own.
    pub extra_labels: Option<Vec<ExtraLabel>>,
}

/// What else may be a label of a container. The label's key is the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExtraLabel {
    /// The name of its image.
    Image,
    /// Its name.
    Name,
}

impl ExtraLabel {
    /// The word for it in documents, which is the label's key as well.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Name => "name",
        }
    }
}
