//! Room on the disk, looked at before anything is built: a build that runs out of it fails late, and in words of the linker's.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{find, output, target_dir};

const MIB: u64 = 1 << 20;
/// What has to be left in any case: sources change, and what is built anew stands beside what was there.
const REBUILD: u64 = 1024 * MIB;

/// What a command leaves below `target` where nothing was built before: measured, and a third more for what is to come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    /// Every level of tests.
    Tests,
    /// And the linters, the documentation and the kernels of other machines.
    Ci,
}

impl Build {
    const fn size(self) -> u64 {
        match self {
            Self::Tests => 3584 * MIB,
            Self::Ci => 5120 * MIB,
        }
    }
}

/// Fails where what is to be built has no room.
pub(crate) fn check(build: Build) -> Result<()> {
    let target = target_dir();
    fs::create_dir_all(&target).with_context(|| format!("cannot make `{}`", target.display()))?;
    let df = output(Command::new(find("df").context("`df` is missing")?).arg("-Pk").arg(&target))?;
    let free =
        free(&df).with_context(|| format!("`df` says something else than how much is free: `{df}`"))?;
    judge(build.size(), size(&target), free, &target)
}

fn judge(whole: u64, there: u64, free: u64, target: &Path) -> Result<()> {
    let wanted = whole.saturating_sub(there).max(REBUILD);
    if free >= wanted {
        return Ok(());
    }
    bail!(
        "`{}` grows to {}, has {}, and its disk has {} left: {} more are needed\n\
         help: make room (`cargo clean` takes away what was built before), or set CARGO_TARGET_DIR to a directory on another disk",
        target.display(),
        shown(whole),
        shown(there),
        shown(free),
        shown(wanted - free)
    )
}

/// The fourth word of `df`'s second line, in KiB.
fn free(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok().map(|kib: u64| kib << 10)
}

/// What lies below a directory. What goes away meanwhile counts as nothing.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_read_from_df() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263174212 16777216 79691776 18% /\n";
        assert_eq!(free(df), Some(79_691_776 << 10));
        assert_eq!(free("df: no such file"), None);
    }

    #[test]
    fn what_was_built_before_needs_no_room_again() {
        let judge = |there, free| judge(4096 * MIB, there * MIB, free * MIB, Path::new("/src/target"));
        judge(0, 4096).unwrap();
        judge(3500, 1024).unwrap();
        let error = judge(512, 1024).unwrap_err().to_string();
        let first = "`/src/target` grows to 4.0 GiB, has 0.5 GiB, and its disk has 1.0 GiB left: 2.5 GiB more are needed";
        assert_eq!(error.lines().next(), Some(first));
        judge(4096, 1000).unwrap_err();
    }
}
