//! What a world leaves in the machine, and taking it away: at its end, or later if it was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::engines;
use crate::kernel::{BPFFS, WORLDS, cgroup_mount};
use crate::namespace::NAMES;

/// Everything that carries a world's name.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    pub(crate) world: String,
}

/// Between the parts of a name. Doesn't occur inside them.
pub(crate) const SEPARATOR: char = '.';

impl Traces {
    pub(crate) fn dir(&self) -> PathBuf {
        Path::new(WORLDS).join(&self.world)
    }

    /// The BPF file system refuses names with dots.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new(BPFFS).join(self.world.replace(SEPARATOR, "-"))
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.dir().join("daemon.pid")
    }

    /// Takes everything away. Carries on past failures and returns all of them.
    pub(crate) fn remove(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.stop_daemon();
        engines::sweep(&self.dir(), self.cgroup().as_deref());
        for name in names_in(NAMES).filter(|name| self.owns(name)) {
            let status = Command::new("ip").args(["netns", "delete", &name]).status();
            if !status.is_ok_and(|status| status.success()) {
                faults.push(format!("cannot delete network namespace `{name}`"));
            }
        }
        for dir in [self.pins(), self.dir()] {
            if let Err(error) = fs::remove_dir_all(&dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                faults.push(format!("cannot remove `{}`: {error}", dir.display()));
            }
        }
        faults.extend(self.remove_cgroup());
        faults
    }

    fn owns(&self, namespace: &str) -> bool {
        namespace.strip_prefix(&self.world).is_some_and(|rest| rest.starts_with(SEPARATOR))
    }

    /// Only a process that runs on this world's configuration is ours to end: ids are reused.
    fn stop_daemon(&self) {
        let Ok(text) = fs::read_to_string(self.pid_file()) else { return };
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return };
        let command_line = PathBuf::from(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
        let dir = self.dir().to_string_lossy().into_owned();
        let is_ours =
            || fs::read(&command_line).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&dir));
        let start = Instant::now();
        while is_ours() && start.elapsed() < Duration::from_secs(2) {
            // Gone in between is what is wanted.
            let _gone = kill_process(pid, Signal::KILL);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn cgroup(&self) -> Option<PathBuf> {
        Some(cgroup_mount().ok()?.join(&self.world))
    }

    fn remove_cgroup(&self) -> Option<String> {
        remove_tree_of_directories(&self.cgroup()?).err()
    }
}

/// Cgroups have files that can't be removed and directories that can.
fn remove_tree_of_directories(dir: &Path) -> Result<(), String> {
    let Ok(entries) = dir.read_dir() else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree_of_directories(&entry.path())?;
        }
    }
    fs::remove_dir(dir).map_err(|error| format!("cannot remove `{}`: {error}", dir.display()))
}

/// Takes away what worlds of one kind left whose process is gone.
pub(crate) fn sweep(kind: &str) {
    let mut worlds: Vec<String> =
        names_in(NAMES).chain(names_in(WORLDS)).filter_map(|name| world_of(kind, &name)).collect();
    worlds.sort();
    worlds.dedup();
    for world in worlds {
        if owner(&world).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for fault in (Traces { world }).remove() {
                eprintln!("leftover: {fault}");
            }
        }
    }
}

/// The world in a name such as `enforcer-test.function.1234.0.web`.
fn world_of(kind: &str, name: &str) -> Option<String> {
    let parts: Vec<_> = name.split(SEPARATOR).collect();
    (parts.len() >= 4 && parts[0] == kind).then(|| parts[..4].join(&SEPARATOR.to_string()))
}

fn owner(world: &str) -> Option<u32> {
    world.split(SEPARATOR).nth(2)?.parse().ok()
}

fn names_in(dir: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaces_name_tells_its_world_and_owner() {
        let name = "enforcer-test.a-function.1234.0.web";
        let world = world_of("enforcer-test", name).unwrap();
        assert_eq!(world, "enforcer-test.a-function.1234.0");
        assert_eq!(owner(&world), Some(1234));
        assert_eq!(world_of("enforcer-demo", name), None);
        assert_eq!(world_of("enforcer-test", "enforcer-test.lock"), None);
    }

    #[test]
    fn a_world_owns_only_what_carries_its_whole_name() {
        let traces = Traces { world: "enforcer-test.f.12.0".into() };
        assert!(traces.owns("enforcer-test.f.12.0.web"));
        assert!(!traces.owns("enforcer-test.f.12.01.web"));
        assert!(!traces.owns("enforcer-test.f.123.0.web"));
    }
}
