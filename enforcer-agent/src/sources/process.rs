//! A container's first process, as `/proc` tells of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

/// Ids are given out again: only with its start is a process itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Ticks since boot.
    pub(super) began: u64,
}

impl Process {
    /// The process with this id, unless it has ended.
    pub(super) fn find(pid: u32) -> Option<Self> {
        let began = began(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(Self { pid, began })
    }

    /// Whether it still runs.
    pub(super) fn runs(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Its network namespace, and that one's inode.
    pub(super) fn network(self) -> io::Result<(File, u64)> {
        let file = File::open(format!("/proc/{}/ns/net", self.pid))?;
        let inode = file.metadata()?.ino();
        Ok((file, inode))
    }

    /// Its cgroup below the v2 mount.
    pub(super) fn cgroup(self) -> Option<String> {
        cgroup(&fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?)
    }
}

/// The inode of this process's own network namespace.
pub(super) fn own_network() -> io::Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/net")?.ino())
}

/// Field 22, unless it is a zombie. The name before it may hold anything, parentheses too.
fn began(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The line of the v2 hierarchy. The root is no container's.
fn cgroup(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    // Where the cgroup has gone, the kernel says so behind its path.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    (path.starts_with('/') && path != "/" && !path.split('/').any(|part| part == ".."))
        .then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_runs() {
        let process = Process::find(std::process::id()).unwrap();
        assert!(process.runs() && process.began > 0);
        assert!(!Process { began: process.began + 1, ..process }.runs(), "another one of the same id");
        assert_eq!(process.network().unwrap().1, own_network().unwrap());
    }

    #[test]
    fn a_start_is_read_behind_any_name_and_zombies_have_none() {
        let stat = |name: &str, state: &str| format!("7 ({name}) {state} {} 4711 0", ["0"; 18].join(" "));
        assert_eq!(began(&stat("sleep", "S")), Some(4711));
        assert_eq!(began(&stat("a) S 1 (", "R")), Some(4711));
        assert_eq!(began(&stat("sleep", "Z")), None);
        assert_eq!(began("7 (cut"), None);
    }

    #[test]
    fn only_the_second_hierarchy_counts() {
        assert_eq!(cgroup("4:memory:/a\n0::/docker/1\n").as_deref(), Some("/docker/1"));
        assert_eq!(cgroup("0::/docker/1 (deleted)\n").as_deref(), Some("/docker/1"));
        for nothing in ["4:memory:/a\n", "0::/\n", "0::/../../a\n", ""] {
            assert_eq!(cgroup(nothing), None, "{nothing:?}");
        }
    }
}
