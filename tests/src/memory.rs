//! A bound on what a process may allocate: the kernel kills it where it needs more.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

/// A memory cgroup with one process in it. Goes away with this, once the process has.
#[derive(Debug)]
pub struct MemoryLimit {
    dir: PathBuf,
    events: PathBuf,
}

impl MemoryLimit {
    /// Lets a process allocate so many bytes more. `cgroup` is a cgroup v2 of one's own without processes; where memory is still accounted by
    /// cgroup v1, another is made there. `None` where neither counts memory.
    pub fn of(pid: Pid, bytes: u64, cgroup: &Path) -> Result<Option<Self>> {
        let Some((dir, names)) = place(cgroup)? else { return Ok(None) };
        fs::create_dir_all(&dir).with_context(|| format!("cannot make the cgroup `{}`", dir.display()))?;
        let limit = Self { events: dir.join(names[1]), dir };
        let write = |name: &str, text: String| {
            let path = limit.dir.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
        };
        write(names[0], bytes.to_string())?;
        write("cgroup.procs", pid.as_raw_nonzero().to_string())?;
        Ok(Some(limit))
    }

    /// How many processes the kernel has killed for want of memory.
    pub fn killed(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.events)
            .with_context(|| format!("cannot read `{}`", self.events.display()))?;
        let Some(count) = text.lines().find_map(|line| line.strip_prefix("oom_kill ")) else {
            bail!("`{}` doesn't count kills", self.events.display());
        };
        Ok(count.parse()?)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // In a world's cgroup it goes with that at the latest.
        let _gone = fs::remove_dir(&self.dir);
    }
}

/// Where memory is counted for a process, and the names of the limit and of what has happened.
fn place(cgroup: &Path) -> Result<Option<(PathBuf, [&'static str; 2])>> {
    let controllers = fs::read_to_string(cgroup.join("cgroup.controllers")).context("no cgroup v2")?;
    if controllers.split_whitespace().any(|name| name == "memory") {
        fs::write(cgroup.join("cgroup.subtree_control"), "+memory").context("cannot hand memory down")?;
        return Ok(Some((cgroup.join("bounded"), ["memory.max", "memory.events"])));
    }
    let own = fs::read_to_string("/proc/self/cgroup").context("cannot read `/proc/self/cgroup`")?;
    let own = own.lines().find_map(|line| line.split_once(":memory:/"));
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read `/proc/mounts`")?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup" && options.split(',').any(|option| option == "memory")).then_some(at)
    });
    Ok(own.zip(mount).map(|((_, below), mount)| {
        let name = cgroup.file_name().unwrap_or_default();
        (Path::new(mount).join(below).join(name), ["memory.limit_in_bytes", "memory.oom_control"])
    }))
}
