//! What of the kernel is shared by all network namespaces: the BPF file system and the cgroup tree.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// Where everybody looks for pinned programs and maps.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";
/// Where worlds keep their files.
pub(crate) const WORLDS: &str = "/run/enforcer-tests";

/// Makes sure that the BPF file system is mounted in the usual place, as systemd does on most hosts.
pub(crate) fn mount_bpffs() -> Result<()> {
    let _lock = lock()?;
    if is_mounted(BPFFS, "bpf")? {
        return Ok(());
    }
    let status =
        Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]).status().context("cannot run `mount`")?;
    if !status.success() {
        bail!("cannot mount the BPF file system at `{BPFFS}`: {status}");
    }
    Ok(())
}

/// Held while doing what two worlds must not do at once. Released on drop.
pub(crate) fn lock() -> Result<File> {
    fs::create_dir_all(WORLDS).with_context(|| format!("cannot create `{WORLDS}`; are you root?"))?;
    let path = Path::new(WORLDS).join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).context("cannot lock")?;
    Ok(file)
}

fn is_mounted(at: &str, kind: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read `/proc/mounts`")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(at) && fields.next() == Some(kind)
    }))
}

/// The number of this process' own cgroup.
pub fn own_cgroup() -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let own = fs::read_to_string("/proc/self/cgroup").context("cannot read `/proc/self/cgroup`")?;
    let path =
        own.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup v2 tree is mounted")?;
    let dir = cgroup_mount()?.join(path);
    let found = fs::metadata(&dir).with_context(|| format!("cannot look at `{}`", dir.display()))?;
    Ok(found.ino())
}

pub(crate) fn cgroup_mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read `/proc/mounts`")?;
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = fields.next()?;
        (fields.next() == Some("cgroup2")).then_some(at)
    });
    root.map(PathBuf::from).context("no cgroup v2 tree is mounted")
}

/// A cgroup of one world's own: hooks go there and never on the machine's root cgroup.
pub(crate) fn make_cgroup(name: &str) -> Result<PathBuf> {
    let path = cgroup_mount()?.join(name);
    fs::create_dir_all(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    Ok(path)
}
