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
    /// Directory for pins, on a bpf file system.
    pub bpffs: Option<PathBuf>,
    /// cgroup v2 directory the cgroup hooks attach to; `auto` finds the mount.
    pub cgroup_root: Option<String>,
    /// Last good generation and records.
    pub state: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Paths that are evaluated before everything.
    pub failsafe: Option<Vec<Failsafe>>,
    /// Outside sources of identity, by kind, as written.
    pub sources: Sources,
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

/// `sources`: kind (`docker`, `containerd`, `kubernetes`, `etcd`) to its settings as written.
pub type Sources = BTreeMap<String, BTreeMap<String, String>>;
