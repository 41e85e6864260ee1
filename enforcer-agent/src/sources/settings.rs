//! What is to be followed.

use enforcer_policy::model::{self, ExtraLabel};
use std::path::PathBuf;

/// Which engines are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Docker.
    pub docker: Option<SourceSettings>,
    /// containerd.
    pub containerd: Option<SourceSettings>,
}

/// How an engine is followed, and what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Where it listens.
    pub socket: PathBuf,
    /// containerd's namespaces that count; `None` for all but Docker's own.
    pub namespaces: Option<Vec<String>>,
    /// What is told as a label beside a container's own.
    pub extra_labels: Vec<ExtraLabel>,
}

impl Sources {
    /// Takes over what a document says.
    pub fn merge(&mut self, said: model::Sources) {
        let settings = |said: model::ContainerSource, socket: &str| SourceSettings {
            socket: said.socket.unwrap_or_else(|| socket.into()),
            namespaces: said.namespaces,
            extra_labels: said.extra_labels.unwrap_or_default(),
        };
        if let Some(docker) = said.docker {
            self.docker = Some(settings(docker, "/run/docker.sock"));
        }
        if let Some(containerd) = said.containerd {
            self.containerd = Some(settings(containerd, "/run/containerd/containerd.sock"));
        }
    }

    /// Whether nothing is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.docker.is_none() && self.containerd.is_none()
    }
}
