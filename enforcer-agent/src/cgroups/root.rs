//! Where the hierarchy is mounted, and which part of it is the enforcer's.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;

/// The cgroup whose descendants' sockets are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// Its path below the mount, as documents write paths: `/` for the whole hierarchy.
    pub(crate) path: String,
}

impl Root {
    /// As `AgentConfig.spec.cgroupRoot` says: a directory, or `auto` for the hierarchy wherever it is mounted.
    pub(crate) fn find(wanted: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("could not read the mounts")?;
        Self::among(&mounts, wanted)
    }

    /// The hierarchy wherever it is mounted.
    pub(crate) fn whole() -> Option<Self> {
        Self::find("auto").ok()
    }

    fn among(mounts: &str, wanted: &str) -> Result<Self> {
        let mounts: Vec<PathBuf> = mounts.lines().filter_map(mount_point).collect();
        if wanted == "auto" {
            let Some(dir) = mounts.into_iter().min_by_key(|mount| mount.as_os_str().len()) else {
                bail!("no cgroup v2 hierarchy is mounted");
            };
            return Ok(Self { dir, path: "/".to_owned() });
        }
        let dir =
            fs::canonicalize(wanted).with_context(|| format!("could not find the cgroup `{wanted}`"))?;
        let stat = rustix::fs::statfs(&dir).with_context(|| format!("could not look at `{wanted}`"))?;
        if stat.f_type as u64 != CGROUP2 {
            bail!("`{wanted}` is not a cgroup v2 directory");
        }
        let around = mounts.iter().filter(|mount| dir.starts_with(mount));
        let mount = around.max_by_key(|mount| mount.as_os_str().len());
        let below = mount.and_then(|mount| dir.strip_prefix(mount).ok());
        let below = below.with_context(|| format!("could not tell where `{wanted}` is mounted"))?;
        let path = format!("/{}", below.display());
        Ok(Self { dir, path })
    }

    /// The path below the mount of a directory below this one.
    pub(crate) fn path_of(&self, dir: &Path) -> Option<String> {
        let below = dir.strip_prefix(&self.dir).ok()?;
        let (root, below) = (self.path.trim_end_matches('/'), below.display().to_string());
        Some(match below.is_empty() {
            true => self.path.clone(),
            false => format!("{root}/{below}"),
        })
    }
}

/// Where a cgroup v2 hierarchy is mounted whole, from a line of mountinfo (proc(5)).
fn mount_point(line: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    (root == "/").then(|| unescape(point))
}

/// Undoes `\040` and the like.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\');
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
36 25 0:33 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
40 25 0:33 /some/part /mnt rw - cgroup2 cgroup2 rw
41 25 0:33 / /var/lib/a\\040container/cgroup rw - cgroup2 cgroup2 rw
";

    #[test]
    fn a_whole_hierarchy_is_found_wherever_it_is_mounted() {
        let root = Root::among(HYBRID, "auto").unwrap();
        assert_eq!(root, Root { dir: "/sys/fs/cgroup/unified".into(), path: "/".to_owned() });
        let none = Root::among(&HYBRID.replace("cgroup2", "tmpfs"), "auto").unwrap_err();
        assert_eq!(none.to_string(), "no cgroup v2 hierarchy is mounted");
        assert_eq!(mount_point(HYBRID.lines().last().unwrap()), Some("/var/lib/a container/cgroup".into()));
    }

    #[test]
    fn the_mount_is_found_in_the_hybrid_layout_too() {
        let text = "30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    31 20 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let mount = |text: &str| Root::among(text, "auto").ok().map(|root| root.dir);
        assert_eq!(mount(text), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount("30 20 0:26 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn what_is_no_cgroup_is_refused() {
        let error = Root::among(HYBRID, "/proc").unwrap_err();
        assert_eq!(error.to_string(), "`/proc` is not a cgroup v2 directory");
        assert!(Root::among(HYBRID, "/nowhere").is_err());
    }

    #[test]
    fn paths_are_those_below_the_mount() {
        let whole = Root { dir: "/sys/fs/cgroup".into(), path: "/".to_owned() };
        assert_eq!(whole.path_of(Path::new("/sys/fs/cgroup/a/b")).as_deref(), Some("/a/b"));
        assert_eq!(whole.path_of(Path::new("/sys/fs/cgroup")).as_deref(), Some("/"));
        let part = Root { dir: "/sys/fs/cgroup/x".into(), path: "/x".to_owned() };
        assert_eq!(part.path_of(Path::new("/sys/fs/cgroup/x/a")).as_deref(), Some("/x/a"));
        assert_eq!(part.path_of(Path::new("/sys/fs/cgroup/y")), None);
    }
}
