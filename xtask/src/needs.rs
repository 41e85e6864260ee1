//! What the privileged levels need of this machine, and what of it is missing.

use std::fs;
use std::path::Path;

use crate::shell::{Root, find, status_field};

/// One thing that is missing, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lack {
    what: String,
    help: &'static str,
}

impl Lack {
    fn new(what: impl Into<String>, help: &'static str) -> Self {
        Self { what: what.into(), help }
    }
}

/// Capabilities by their bit in `/proc/self/status`.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39)];

/// Everything that loading kernel programs into network namespaces lacks here. Empty: all is there.
fn missing() -> Vec<Lack> {
    let mut lacks = Vec::new();
    let root = Root::detect();
    if root.is_none() {
        let uid = status_field("Uid:").unwrap_or_default();
        let uid = uid.split_whitespace().nth(1).unwrap_or("?").to_owned();
        lacks.push(Lack::new(
            format!("root: the effective uid is {uid}, and sudo isn't usable"),
            "run it as root",
        ));
    }
    if root == Some(Root::Already) {
        let effective = status_field("CapEff:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        for name in lacking_capabilities(effective.unwrap_or(0)) {
            let help = "start the container or service with this capability";
            lacks.push(Lack::new(format!("{name} in the effective set"), help));
        }
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for (name, help) in [
        ("bpf", "a kernel built with CONFIG_BPF_SYSCALL has it"),
        ("cgroup2", "a kernel built with CONFIG_CGROUPS has it"),
    ] {
        if !knows_filesystem(&filesystems, name) {
            lacks.push(Lack::new(format!("the `{name}` file system in this kernel"), help));
        }
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if !mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2")) {
        lacks.push(Lack::new("a mounted cgroup v2 tree", "mount -t cgroup2 none /sys/fs/cgroup"));
    }
    if !Path::new("/sys/fs/bpf").is_dir() {
        lacks.push(Lack::new("the directory /sys/fs/bpf", "mount -t sysfs none /sys"));
    }
    if !Path::new("/sys/kernel/btf/vmlinux").is_file() {
        lacks.push(Lack::new(
            "the kernel's own types at /sys/kernel/btf/vmlinux",
            "use a kernel with CONFIG_DEBUG_INFO_BTF",
        ));
    }
    if find("ip").is_none() {
        lacks.push(Lack::new("the program `ip`", "apt-get install iproute2"));
    }
    lacks
}

/// Everything that keeps privileged levels from running, one line each; first of all why set-up failed, if it did.
pub(crate) fn obstacles(setup: Option<anyhow::Error>) -> Vec<String> {
    let known = setup.map(|error| format!("kernel programs: {error:#}"));
    let lacks = missing().into_iter().map(|lack| format!("{} ({})", lack.what, lack.help));
    known.into_iter().chain(lacks).collect()
}

/// What isn't needed but changes what is tested.
pub(crate) fn remarks() -> Vec<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match version(&release) {
        Some(version) if version >= (6, 6) => Vec::new(),
        _ => vec![format!(
            "kernel {} has no tcx (6.6 and later have): clsact is tested instead",
            release.trim()
        )],
    }
}

fn lacking_capabilities(effective: u64) -> Vec<&'static str> {
    CAPABILITIES.iter().filter(|(_, bit)| effective >> bit & 1 == 0).map(|(name, _)| *name).collect()
}

fn knows_filesystem(filesystems: &str, name: &str) -> bool {
    filesystems.lines().any(|line| line.split_whitespace().last() == Some(name))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_mask() {
        assert_eq!(lacking_capabilities(u64::MAX), Vec::<&str>::new());
        assert_eq!(lacking_capabilities(!(1 << 39)), ["CAP_BPF"]);
        assert_eq!(lacking_capabilities(0).len(), CAPABILITIES.len());
    }

    #[test]
    fn file_systems_are_found_by_their_whole_name() {
        assert!(knows_filesystem("nodev\tsysfs\nnodev\tbpf\n\text4\n", "bpf"));
        assert!(!knows_filesystem("nodev\tcgroup2\n", "cgroup"));
    }

    #[test]
    fn kernel_versions_compare_by_number() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert!(version("6.18.0") > version("6.6.1"));
        assert_eq!(version("next"), None);
    }
}
