//! A container, as far as it matters who it is and where its packets are met.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Docker.
    Docker,
    /// containerd.
    Containerd,
}

impl Kind {
    /// The word for it in settings, and where its workloads' names begin.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
        }
    }
}

/// Which container. A container that is started again is the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Whose.
    pub kind: Kind,
    /// The engine's name for it; containerd's with its namespace before it.
    pub id: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.id)
    }
}

/// Which of a container's runs: by its first process. Later ones are greater, also between containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Generation {
    /// When the process began, in the kernel's ticks since boot.
    pub ticks: u64,
    /// In the order in which they were found, among those of one tick.
    pub serial: u64,
}

/// The network namespace that a container's processes are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// One of its own, by inode. Others may have joined it.
    Own(u64),
    /// The host's: only its cgroup tells it from others.
    Host,
    /// Another container's, which owns the devices and addresses.
    Shared(u64),
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Which.
    pub key: Key,
    /// Which run of it.
    pub generation: Generation,
    /// Its name, where the engine gives names; otherwise its id. Of letters, digits and `_.-/` alone.
    pub name: String,
    /// Its image, as the engine names it.
    pub image: String,
    /// Its labels, chosen by whoever made it.
    pub labels: BTreeMap<String, String>,
    /// Its first process.
    pub pid: u32,
    /// Where its packets come from.
    pub network: Network,
    /// Its cgroup, below the v2 mount.
    pub cgroup: Option<String>,
    /// Addresses of its network namespace.
    pub addresses: Vec<IpAddr>,
    /// Devices on this host whose other end is in its network namespace.
    pub devices: Vec<String>,
    /// When the engine says that it began to run, by the wall clock in nanoseconds; absent where it was there before it was looked at.
    #[serde(default, skip_serializing)]
    pub began: Option<i64>,
}

impl Container {
    /// The name of the workload that it is.
    #[must_use]
    pub fn workload(&self) -> String {
        format!("{}/{}", self.key.kind.word(), self.name)
    }
}

/// What an engine says about a container that has processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) pid: u32,
    /// Whether it joined another container's network.
    pub(super) joined: bool,
    /// Whether it is to have a network of its own: whoever is still on the host's while it is made isn't it yet.
    pub(super) apart: bool,
    /// Its addresses, where the engine gives them out itself.
    pub(super) addresses: Option<Vec<IpAddr>>,
    /// When it began to run.
    pub(super) began: Option<i64>,
    /// Its command hasn't run yet: what its namespace says was set up by the engine.
    pub(super) early: bool,
}

/// More labels than these, and longer ones, aren't looked at.
const LABELS: usize = 512;
const KEY: usize = 512;
const VALUE: usize = 4096;
/// No engine has longer names.
const NAME: usize = 255;

/// Labels as far as they are looked at.
pub(super) fn bounded(labels: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut labels: Vec<_> =
        labels.into_iter().filter(|(key, value)| key.len() <= KEY && value.len() <= VALUE).collect();
    // An engine has them in no order: which are left must not depend on chance.
    labels.sort_unstable();
    labels.truncate(LABELS);
    labels.into_iter().collect()
}

/// Whether an engine can have given this name or id.
pub(super) fn is_name(name: &str) -> bool {
    let fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= NAME && name.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_the_same_ones_are_left_whatever_their_order() {
        let labels = |reverse: bool| {
            let mut all: Vec<_> = (0..600).map(|number| (format!("k{number:03}"), "v".to_owned())).collect();
            all.push(("long".to_owned(), "v".repeat(VALUE + 1)));
            all.push(("k".repeat(KEY + 1), String::new()));
            if reverse {
                all.reverse();
            }
            bounded(all)
        };
        let (one, other) = (labels(false), labels(true));
        assert_eq!((one.len(), one.contains_key("long")), (LABELS, false));
        assert_eq!(one, other);
    }

    #[test]
    fn what_no_engine_gives_is_no_name() {
        assert!(is_name("web-1_a.b") && is_name("45e575c3236c"));
        for name in ["", "a b", "a/b", "\u{1b}[31m", "..\n", &"a".repeat(NAME + 1)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
