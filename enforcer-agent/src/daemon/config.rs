//! The daemon's settings: flags beat environment, environment beats files, later files beat earlier ones.

use crate::files;
use crate::protocol::Finding;
use crate::sources::Sources;
use enforcer_policy::check;
use enforcer_policy::model::{AgentConfig, Failsafe, Records, SegmentMode};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where settings are read from, where nobody says otherwise.
pub const MAIN_FILE: &str = "/etc/enforcer/enforcer.yaml";
/// Its drop-ins, read in name order.
pub const DROP_INS: &str = "/etc/enforcer/enforcer.d";
/// The control socket, where nobody says otherwise.
pub const SOCKET: &str = "/run/enforcer/enforcer.sock";

/// What the daemon runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Files or directories of policy documents.
    pub policies: Vec<PathBuf>,
    /// Mode of workloads that no segment selects.
    pub default_mode: SegmentMode,
    /// Control socket.
    pub socket: PathBuf,
    /// The group that may use it beside root.
    pub socket_group: Option<String>,
    /// Directory for pins.
    pub bpffs: PathBuf,
    /// Last good generation and records.
    pub state: PathBuf,
    /// cgroup v2 directory whose descendants' sockets may be hooked; `auto` for the whole hierarchy.
    pub cgroup_root: String,
    /// Engines whose containers are workloads.
    pub sources: Sources,
    /// Keys of containers' own labels that count.
    pub identity_labels: Vec<String>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where records are written.
    pub records: Records,
    /// Paths of the machine itself that stay open.
    pub failsafe: Vec<Failsafe>,
    /// Settings that this build doesn't act on.
    pub idle: Vec<String>,
}

/// What flags and environment say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Beats `policies` where it isn't empty.
    pub policies: Vec<PathBuf>,
    /// Beats `socket`.
    pub socket: Option<PathBuf>,
    /// Beats `bpffs`.
    pub bpffs: Option<PathBuf>,
    /// Beats `state`.
    pub state: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unreadable(Vec<files::Unreadable>),
    /// A file is in error.
    #[error("the settings are invalid")]
    Invalid(Vec<Finding>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policies: vec!["/etc/enforcer/policies.d".into()],
            default_mode: SegmentMode::Enforce,
            socket: SOCKET.into(),
            socket_group: None,
            bpffs: "/sys/fs/bpf/enforcer".into(),
            state: "/var/lib/enforcer".into(),
            cgroup_root: "auto".to_owned(),
            sources: Sources::default(),
            identity_labels: ["app", "env", "role", "loc"].map(str::to_owned).to_vec(),
            metrics: None,
            records: Records::default(),
            failsafe: Vec::new(),
            idle: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `file`, or the usual places, and lets `overrides` have the last word.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let paths = match file {
            Some(file) => vec![file.to_owned()],
            None => {
                [MAIN_FILE, DROP_INS].map(PathBuf::from).into_iter().filter(|path| path.exists()).collect()
            }
        };
        let sources = files::read(&paths).map_err(ConfigError::Unreadable)?;
        let mut settings = Self::default();
        // Each file by itself: drop-ins may carry the same name as the main file.
        let mut findings = Vec::new();
        for source in &sources {
            let checked = check::parse(std::slice::from_ref(source), Timestamp::now());
            findings.extend(checked.diagnostics.iter().filter(|found| found.is_error()).map(Finding::from));
            for stray in strays(&checked.set) {
                findings.push(Finding::placeless(
                    "error",
                    format!("{stray} in `{}`: only AgentConfig belongs there", source.name),
                ));
            }
            for config in checked.set.configs {
                settings.merge(config);
            }
        }
        if !findings.is_empty() {
            return Err(ConfigError::Invalid(findings));
        }
        settings.override_with(overrides);
        Ok(settings)
    }

    fn merge(&mut self, config: AgentConfig) {
        let mut idle = |set: bool, what: &str| {
            if set {
                self.idle.push(format!("`{what}` is not yet enforced on this build"));
            }
        };
        idle(config.sources.others.contains_key("kubernetes"), "sources.kubernetes");
        idle(config.sources.others.contains_key("etcd"), "sources.etcd");
        self.sources.merge(config.sources);
        put(&mut self.identity_labels, config.identity_labels);
        put(&mut self.policies, config.policies);
        put(&mut self.cgroup_root, config.cgroup_root);
        put(&mut self.default_mode, config.default_mode);
        put(&mut self.failsafe, config.failsafe);
        put(&mut self.socket, config.socket);
        if config.socket_group.is_some() {
            self.socket_group = config.socket_group;
        }
        put(&mut self.bpffs, config.bpffs);
        put(&mut self.state, config.state);
        self.metrics = config.metrics.or(self.metrics);
        put(&mut self.records, config.records.map(|records| *records));
    }

    fn override_with(&mut self, overrides: Overrides) {
        put(&mut self.policies, Some(overrides.policies).filter(|paths| !paths.is_empty()));
        put(&mut self.socket, overrides.socket);
        put(&mut self.bpffs, overrides.bpffs);
        put(&mut self.state, overrides.state);
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn strays(set: &enforcer_policy::model::PolicySet) -> Vec<&'static str> {
    let counts = [
        ("a Workload", set.workloads.len()),
        ("an AddressGroup", set.groups.len()),
        ("a FlowPolicy", set.policies.len()),
        ("a Segment", set.segments.len()),
        ("a FlowTest", set.tests.len()),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(what, _)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("enforcer.yaml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    const HEAD: &str = "apiVersion: enforcer.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: agent}\n";

    #[test]
    fn flags_beat_files_and_files_beat_defaults() {
        let (_dir, path) = written(&format!(
            "{HEAD}spec: {{policies: [/a, /b], defaultMode: audit, socket: /s, state: /t, metrics: 127.0.0.1:9469}}"
        ));
        let overrides = Overrides { socket: Some("/flag".into()), ..Overrides::default() };
        let settings = Settings::load(Some(&path), overrides).unwrap();
        assert_eq!(settings.policies, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(settings.default_mode, SegmentMode::Audit);
        assert_eq!((settings.socket, settings.state), ("/flag".into(), "/t".into()));
        assert_eq!(settings.bpffs, Settings::default().bpffs);
        assert_eq!(settings.metrics, Some("127.0.0.1:9469".parse().unwrap()));
        assert!(settings.idle.is_empty(), "{:?}", settings.idle);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        let (_dir, path) = written(&format!("{HEAD}spec: {{polices: [/a]}}"));
        assert!(matches!(Settings::load(Some(&path), Overrides::default()), Err(ConfigError::Invalid(_))));
        let (_dir, path) = written(
            "apiVersion: enforcer.dev/v1alpha1\nkind: Segment\nmetadata: {name: a}\nspec: {select: [{entity: all}]}",
        );
        assert!(matches!(Settings::load(Some(&path), Overrides::default()), Err(ConfigError::Invalid(_))));
        let gone = Settings::load(Some(Path::new("/nowhere.yaml")), Overrides::default());
        assert!(matches!(gone, Err(ConfigError::Unreadable(_))));
    }
}
