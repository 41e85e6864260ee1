//! What the kernel tells about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// What of a process is in memory, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All of it.
    pub(crate) resident: f64,
    /// What no file holds.
    pub(crate) anonymous: f64,
    /// The most that was ever resident.
    pub(crate) peak: f64,
}

fn file(pid: Pid, name: &str) -> Result<String> {
    let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
    fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))
}

pub(crate) fn memory(pid: Pid) -> Result<Memory> {
    let status = file(pid, "status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field is missing")?;
        let kilobytes: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
        Ok::<_, anyhow::Error>(kilobytes * 1024.0)
    };
    Ok(Memory { resident: field("VmRSS")?, anonymous: field("RssAnon")?, peak: field("VmHWM")? })
}

/// How long a process has run so far, on all processors together.
pub(crate) fn time(pid: Pid) -> Result<Duration> {
    let stat = file(pid, "stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a line without a name")?;
    // proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms; the state is the third.
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
