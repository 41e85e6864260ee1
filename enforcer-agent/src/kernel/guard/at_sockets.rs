//! The record of a hook at sockets among what is left for the next daemon: `cgroup-<hook>-<number of the cgroup>`.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirEntryExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::pins::Pins;
use super::super::socket_hook::SocketHook;
use super::super::{query, sys};
use crate::cgroups::Root;

const PREFIX: &str = "cgroup-";

/// One hook at the sockets below a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct AtSockets {
    pub(in super::super) hook: SocketHook,
    pub(in super::super) cgroup: u64,
}

impl AtSockets {
    /// As it is written down.
    pub(in super::super) fn name(self) -> String {
        format!("{PREFIX}{}-{}", self.hook.word(), self.cgroup)
    }

    /// Reads what [`AtSockets::name`] made.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (hook, cgroup) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let hook = SocketHook::ALL.into_iter().find(|known| known.word() == hook)?;
        Some(Self { hook, cgroup: cgroup.parse().ok()? })
    }

    /// The tag of the program in the hook; none where the hook is gone.
    pub(super) fn running(self, pins: &Pins) -> io::Result<Option<query::Tag>> {
        let link = match sys::open_pin(&pins.cgroup_link(self.hook)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            link => link?,
        };
        let info = sys::cgroup_link_info(link.as_fd())?;
        let here = info.cgroup == self.cgroup;
        here.then(|| query::tag(query::program(info.program)?.as_fd())).transpose()
    }

    /// Whether the cgroup is still there: a hook goes with it, and nobody took that off. Numbers aren't given out again.
    pub(super) fn has_cgroup(self) -> bool {
        // Where that can't be told, rather a false alarm than none.
        let Some(Root { dir, .. }) = Root::whole() else { return true };
        fs::metadata(&dir).is_ok_and(|root| root.ino() == self.cgroup) || contains(&dir, self.cgroup)
    }
}

fn contains(dir: &Path, number: u64) -> bool {
    // One that goes while it is looked at isn't the one.
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let dirs = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.into_iter().any(|entry| entry.ino() == number || contains(&entry.path(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for hook in SocketHook::ALL {
            let record = AtSockets { hook, cgroup: u64::MAX };
            assert_eq!(record.name(), format!("cgroup-{}-18446744073709551615", hook.word()));
            assert_eq!(AtSockets::parse(&record.name()), Some(record));
        }
        for other in ["looked", "12-egress", "cgroup-", "cgroup-egress", "cgroup-egress-", "cgroup-up-1"] {
            assert_eq!(AtSockets::parse(other), None, "{other}");
        }
    }
}
