//! Makes sure that there is a bpf file system to pin in, and that pins outlive the daemon.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use tracing::warn;

use crate::datapath::DatapathError;

/// Where bpf file systems are mounted by everybody.
const USUAL: &str = "/sys/fs/bpf";
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// A directory on a bpf file system.
#[derive(Debug)]
pub(super) struct Place {
    /// How this process reaches it.
    pub(super) path: PathBuf,
    /// Keeps `path` valid where it goes through a descriptor.
    _mount: Option<File>,
}

/// Makes the directory `wanted` on a bpf file system.
///
/// Commands like `ip netns exec` run in a mount namespace of their own, with a fresh `/sys` that lacks the file
/// system and goes away with them. Pins have to stay, so there the one that the command's caller sees is used, and mounted if
/// need be.
pub(super) fn prepare(wanted: &Path) -> Result<Place, DatapathError> {
    let direct = || Place { path: wanted.to_owned(), _mount: None };
    let place = match wanted.strip_prefix(USUAL) {
        Ok(rest) if !on_bpffs(wanted) => match of_ancestor(rest) {
            Some(place) => place,
            None => {
                mount_usual()?;
                if on_bpffs(wanted) { direct() } else { of_ancestor(rest).unwrap_or_else(direct) }
            }
        },
        _ => direct(),
    };
    if !on_bpffs(&place.path) {
        return Err(DatapathError::new(format_args!("`{}` isn't on a bpf file system", wanted.display()))
            .with_help(
                "choose a directory below `/sys/fs/bpf`, or mount one: `mount -t bpf bpf DIRECTORY`",
            ));
    }
    make_dir(&place.path)?;
    Ok(place)
}

/// The place below the usual bpf file system of the nearest ancestor that sees one.
fn of_ancestor(rest: &Path) -> Option<Place> {
    let mut process = std::os::unix::process::parent_id();
    while process != 0 {
        let usual = format!("/proc/{process}/root{USUAL}");
        if on_bpffs(Path::new(&usual)) {
            // The ancestor may end before we do; the descriptor stays.
            let mount = File::open(usual).ok()?;
            let path = Path::new("/proc/self/fd").join(mount.as_raw_fd().to_string()).join(rest);
            return Some(Place { path, _mount: Some(mount) });
        }
        process = parent_of(process)?;
    }
    None
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which is in parentheses and may hold anything: state, parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Makes a directory that only root may look into, with all above it.
pub(super) fn make_dir(path: &Path) -> Result<(), DatapathError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        DatapathError::caused(format_args!("cannot make the directory `{}`", path.display()), error)
    })
}

/// Whether `path`, or what there is of it, is on a bpf file system.
#[must_use]
pub fn on_bpffs(path: &Path) -> bool {
    let existing = path.ancestors().find(|path| path.exists());
    existing.and_then(|path| statfs(path).ok()).is_some_and(|found| found.f_type as u64 == BPF_FS_MAGIC)
}

/// Mounts the usual bpf file system, in the mount namespace of the first process where that can be entered: there it stays.
fn mount_usual() -> Result<(), DatapathError> {
    let mount_here = || {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
        Ok::<(), io::Error>(mount("bpf", USUAL, "bpf", flags, Some(c"mode=0700"))?)
    };
    // Mount namespaces belong to threads that share nothing of the file system with others: hence one of its own.
    let mount_there = || -> io::Result<()> {
        let namespace = File::open("/proc/1/ns/mnt")?;
        // SAFETY: takes no descriptors and leaves memory alone; this thread only gets its own working directory.
        unsafe { unshare_unsafe(UnshareFlags::FS) }?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        mount_here()
    };
    let there = thread::scope(|scope| {
        let there = scope.spawn(mount_there);
        there.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    });
    let Err(error) = there else { return Ok(()) };
    warn!(%error, "cannot enter the first process's mount namespace; mounting the bpf file system in this one");
    mount_here().map_err(|error| {
        DatapathError::caused(format_args!("cannot mount a bpf file system on `{USUAL}`"), error)
            .with_help("run as root on a kernel with BPF, or mount it: `mount -t bpf bpf /sys/fs/bpf`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_past_any_name() {
        assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn an_ordinary_directory_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let error = prepare(&dir.path().join("pins")).unwrap_err();
        assert!(error.to_string().ends_with("isn't on a bpf file system"), "{error}");
        assert!(error.help().unwrap().contains("mount -t bpf"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
