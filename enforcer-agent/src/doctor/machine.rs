//! Where the kernel tells about itself. In tests, directories that say what they are told to.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The file systems that are looked at.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) proc: PathBuf,
    pub(super) sys: PathBuf,
    pub(super) dev: PathBuf,
}

impl Machine {
    /// This machine.
    pub(super) fn here() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }

    /// A file below `/proc`, without the white space around its text.
    pub(super) fn proc(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.proc.join(path))?.trim().to_owned())
    }

    /// A file below `/sys`.
    pub(super) fn sys(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.sys.join(path))?.trim().to_owned())
    }

    /// The running kernel's release and its first two numbers.
    pub(super) fn kernel(&self) -> io::Result<(String, (u32, u32))> {
        let release = self.proc("sys/kernel/osrelease")?;
        let mut parts = release.split(['.', '-']).map_while(|part| part.parse().ok());
        let version = parts.next().zip(parts.next()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((release, version))
    }

    /// A bit of this process's effective capabilities.
    pub(super) fn has_capability(&self, bit: u32) -> bool {
        let status = self.proc("self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask >> bit & 1 == 1)
    }
}

#[cfg(test)]
pub(super) mod made {
    use super::*;

    /// A machine made of these files.
    pub(in crate::doctor) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let machine = Machine { proc: at("proc"), sys: at("sys"), dev: at("dev") };
        (dir, machine)
    }
}
