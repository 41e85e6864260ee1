//! A network namespace with a name.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps names.
pub(crate) const NAMES: &str = "/run/netns";

/// A network namespace. Sockets made inside stay inside, whichever thread uses them later.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Opens one that `ip netns add` made.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let path = PathBuf::from(NAMES).join(name);
        let file = File::open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Self { name: name.to_owned(), file: Arc::new(file) })
    }

    /// As `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file below `/run/netns`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(NAMES).join(&self.name)
    }

    /// Runs `act` inside, on a thread of its own, and waits for it. The calling thread never moves.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap_or_else(|error| {
                        panic!("cannot enter network namespace `{}`: {error}", self.name)
                    });
                act()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The index of a device inside.
    pub fn index_of(&self, device: &str) -> io::Result<u32> {
        self.enter(|| Ok(name_to_index(&socket(AddressFamily::UNIX, SocketType::DGRAM, None)?, device)?))
    }

    /// A command that runs inside. `nsenter` and not `ip netns exec`: that one gives the command a `/sys` of its own,
    /// without the BPF file system.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// What to type to look around inside.
    #[must_use]
    pub fn how_to_enter(&self) -> String {
        format!("nsenter --net={} -- bash", self.path().display())
    }

    /// Sets `/proc/sys/net/<key>`, which shows the reader's own namespace.
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                let path = format!("/proc/sys/net/{key}");
                fs::write(&path, value).with_context(|| format!("cannot set `{path}`"))?;
            }
            Ok(())
        })
    }
}
