//! Makes sure that there is a bpf file system to pin in, and that pins outlive the daemon.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::datapath::DatapathError;

/// Where bpf file systems are mounted by everybody.
const USUAL: &str = "/sys/fs/bpf";
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Makes the directory `wanted` on a bpf file system and says by which path to reach it.
///
/// Commands like `ip netns exec` run in a mount namespace of their own, with a fresh `/sys` that lacks the file
/// system and goes away with them. Pins have to stay, so there the first process' one is used, and mounted if need be.
pub(super) fn prepare(wanted: &Path) -> Result<PathBuf, DatapathError> {
    let reached = if on_bpffs(wanted) || !wanted.starts_with(USUAL) {
        wanted.to_owned()
    } else {
        let lasting = of_first_process(wanted);
        if !on_bpffs(&lasting) {
            mount_usual()?;
        }
        if on_bpffs(wanted) { wanted.to_owned() } else { lasting }
    };
    if !on_bpffs(&reached) {
        return Err(DatapathError::new(format_args!("`{}` isn't on a bpf file system", wanted.display()))
            .with_help(
                "choose a directory below `/sys/fs/bpf`, or mount one: `mount -t bpf bpf DIRECTORY`",
            ));
    }
    make_dir(&reached)?;
    Ok(reached)
}

/// Makes a directory that only root may look into, with all above it.
pub(super) fn make_dir(path: &Path) -> Result<(), DatapathError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        DatapathError::caused(format_args!("cannot make the directory `{}`", path.display()), error)
    })
}

/// Whether `path`, or what there is of it, is on a bpf file system.
fn on_bpffs(path: &Path) -> bool {
    let existing = path.ancestors().find(|path| path.exists());
    existing.and_then(|path| statfs(path).ok()).is_some_and(|found| found.f_type as u64 == BPF_FS_MAGIC)
}

fn of_first_process(path: &Path) -> PathBuf {
    let same = |name: &str| Some(fs::metadata(name).ok()?.ino());
    if same("/proc/self/ns/mnt") == same("/proc/1/ns/mnt") {
        return path.to_owned();
    }
    Path::new("/proc/1/root").join(path.strip_prefix("/").unwrap_or(path))
}

/// Mounts the usual bpf file system in the mount namespace of the first process.
fn mount_usual() -> Result<(), DatapathError> {
    // Mount namespaces belong to threads that share nothing of the file system with others: hence one of its own.
    let work = || -> io::Result<()> {
        let namespace = File::open("/proc/1/ns/mnt")?;
        // SAFETY: takes no descriptors and leaves memory alone; this thread only gets its own working directory.
        unsafe { unshare_unsafe(UnshareFlags::FS) }?;
        let kind = Some(LinkNameSpaceType::Mount);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
        Ok(mount("bpf", USUAL, "bpf", flags, Some(c"mode=0700"))?)
    };
    let result =
        std::thread::spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")));
    result.map_err(|error| {
        DatapathError::caused(format_args!("cannot mount a bpf file system on `{USUAL}`"), error)
            .with_help("run as root on a kernel with BPF, or mount it: `mount -t bpf bpf /sys/fs/bpf`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_directory_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let error = prepare(&dir.path().join("pins")).unwrap_err();
        assert!(error.to_string().ends_with("isn't on a bpf file system"), "{error}");
        assert!(error.help().unwrap().contains("mount -t bpf"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
