//! Fresh Debian roots: what a package meets that is installed on a machine of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::stage::remove;
use crate::shell::{Root, find, run, target_dir};

const MIRROR: &str = "http://deb.debian.org/debian";
/// Beyond what every Debian has: what starts the daemon.
const INCLUDED: &str = "systemd";
/// What installing anything leaves its traces in.
const TRACES: [&str; 5] = ["run", "tmp", "var/cache", "var/lib/dpkg", "var/log"];

/// A root of its own, taken away on drop.
#[derive(Debug)]
pub(super) struct FreshRoot {
    dir: PathBuf,
    access: Root,
}

impl FreshRoot {
    /// A Debian of this machine's release, made from its archive once and kept as a tarball below `target`.
    pub(super) fn debian() -> Result<Self> {
        let suite = suite()?;
        let kept = target_dir().join("dist").join(format!("debian-{suite}.tar"));
        let fresh = Self::empty("debian")?;
        if !kept.is_file() {
            let debootstrap =
                find("debootstrap").context("`debootstrap` is missing: run `cargo xtask setup`")?;
            let include = format!("--include={INCLUDED}");
            let mut command = fresh.access.command(&debootstrap);
            run(command.args(["--variant=minbase", &include, &suite]).arg(&fresh.dir).arg(MIRROR))?;
            let aside = kept.with_extension("new");
            run(fresh
                .tar()
                .args(["--create", "--exclude=./var/cache/apt/archives/*.deb", "--file"])
                .arg(&aside)
                .arg("."))?;
            fs::rename(&aside, &kept).with_context(|| format!("cannot keep `{}`", kept.display()))?;
        } else {
            run(fresh.tar().args(["--extract", "--file"]).arg(&kept))?;
        }
        Ok(fresh)
    }

    /// A root without a single file.
    pub(super) fn empty(name: &str) -> Result<Self> {
        let access =
            Root::detect().context("a root of its own can be made by root alone, and sudo isn't usable")?;
        let dir = target_dir().join("dist").join(format!("root-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        Ok(Self { dir, access })
    }

    fn tar(&self) -> Command {
        let mut command = self.access.command(Path::new("tar"));
        command.arg("--directory").arg(&self.dir).arg("--numeric-owner");
        command
    }

    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside.trim_start_matches('/'))
    }

    /// Puts a file in.
    pub(super) fn put(&self, from: &Path, inside: &str) -> Result<()> {
        run(self.access.command(Path::new("cp")).arg(from).arg(self.path(inside)))
    }

    /// Unpacks a tarball into it.
    pub(super) fn unpack(&self, tarball: &Path) -> Result<()> {
        run(self.tar().args(["--extract", "--strip-components=1", "--file"]).arg(tarball))
    }

    /// Runs a program inside, whatever comes of it.
    pub(super) fn try_inside(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.access.command(Path::new("chroot"));
        command.arg(&self.dir).args(words).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command.output().with_context(|| format!("cannot run `{}` in a root of its own", words.join(" ")))
    }

    /// Runs a program inside that has to succeed, and returns what it says on stdout.
    pub(super) fn inside(&self, words: &[&str]) -> Result<String> {
        let output = self.try_inside(words)?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!(
                "`{}`: {}\n{}{}",
                words.join(" "),
                output.status,
                said(&output.stdout),
                said(&output.stderr)
            );
        }
        Ok(said(&output.stdout))
    }

    /// Every file that isn't a trace of installing, with what tells whether it is the same: size, mode, owner.
    pub(super) fn files(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut files = BTreeMap::new();
        self.walk(&self.dir, &mut files)?;
        Ok(files)
    }

    fn walk(&self, dir: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
        let unreadable = || format!("cannot read `{}`", dir.display());
        for entry in dir.read_dir().with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let inside = path.strip_prefix(&self.dir).context("a file outside its directory")?.to_owned();
            if TRACES.iter().any(|trace| inside == Path::new(trace)) {
                continue;
            }
            let found =
                path.symlink_metadata().with_context(|| format!("cannot read `{}`", path.display()))?;
            let size = if found.is_dir() { 0 } else { found.len() };
            files.insert(
                inside,
                format!("{size} bytes, mode {:o}, {}:{}", found.mode(), found.uid(), found.gid()),
            );
            if found.is_dir() {
                self.walk(&path, files)?;
            }
        }
        Ok(())
    }
}

impl Drop for FreshRoot {
    fn drop(&mut self) {
        let removed = match self.access {
            Root::Already => remove(&self.dir),
            Root::Sudo => run(self.access.command(Path::new("rm")).arg("-rf").arg(&self.dir)),
        };
        if let Err(error) = removed {
            eprintln!("{error:#}");
        }
    }
}

/// The release of Debian that this is: what is built here needs its libraries.
fn suite() -> Result<String> {
    let text =
        fs::read_to_string("/etc/os-release").context("cannot tell which release of Debian this is")?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let name = field("VERSION_CODENAME").map(|name| name.trim_matches('"'));
    match (field("ID").map(|id| id.trim_matches('"')), name) {
        (Some("debian"), Some(name)) => Ok(name.to_owned()),
        (id, _) => bail!("packages are tried on Debian, and this is `{}`", id.unwrap_or("unknown")),
    }
}
