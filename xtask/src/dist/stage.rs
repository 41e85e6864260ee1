//! Everything that is handed out, laid out in a directory: the binary, what it says about itself, and what is kept in `packaging`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::notices;
use crate::shell::{output, root, run};

/// The laid-out files.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    version: String,
    time: i64,
}

/// Shells, and what their completion's file is called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "enforcer"), ("zsh", "_enforcer"), ("fish", "enforcer.fish")];

impl Stage {
    /// Lays everything out anew in `dir`.
    pub(super) fn lay_out(dir: &Path, binary: &Path, version: &str, time: i64) -> Result<Self> {
        remove(dir)?;
        for part in ["man", "completions"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make `{}`", part.display()))?;
        }
        copy(binary, &dir.join("enforcer"))?;
        run(Command::new(binary).arg("man").arg("--all").arg(dir.join("man")))?;
        for (shell, name) in COMPLETIONS {
            let script = output(Command::new(binary).args(["completions", shell]))?;
            write(&dir.join("completions").join(name), &script)?;
        }
        let packaging = root().join("packaging");
        for part in ["debian", "etc", "systemd"] {
            copy_all(&packaging.join(part), &dir.join(part))?;
        }
        for (from, to) in [
            ("docs/INSTALL.md", "INSTALL.md"),
            ("LICENSE-MIT", "LICENSE-MIT"),
            ("LICENSE-APACHE", "LICENSE-APACHE"),
        ] {
            copy(&root().join(from), &dir.join(to))?;
        }
        write(&dir.join("third-party-licences.txt"), &notices::collect()?)?;
        let stage = Self { dir: dir.to_owned(), version: version.to_owned(), time };
        write(&dir.join("debian/changelog"), &stage.changelog()?)?;
        Ok(stage)
    }

    /// Makes the Debian package and moves it to `to`.
    pub(super) fn package(&self, to: &Path) -> Result<PathBuf> {
        let rules = self.dir.join("debian/rules");
        run(Command::new(&rules).arg("binary").current_dir(&self.dir).env("SOURCE_DATE_EPOCH", self.time()))?;
        let list = fs::read_to_string(self.dir.join("debian/files")).context("debhelper named no package")?;
        let name = list.split_whitespace().next().context("debhelper named no package")?;
        let (made, place) = (self.dir.join("..").join(name), to.join(name));
        if made.canonicalize().ok() != place.canonicalize().ok() {
            fs::rename(&made, &place).with_context(|| format!("cannot move `{name}`"))?;
        }
        Ok(place)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn time(&self) -> String {
        self.time.to_string()
    }

    /// Debian takes version and time from it.
    fn changelog(&self) -> Result<String> {
        let date = output(Command::new("date").args(["-u", "-R", "-d", &format!("@{}", self.time)]))?;
        let Self { version, .. } = self;
        Ok(format!(
            "enforcer ({version}) unstable; urgency=medium\n\n  * Release {version}.\n\n -- The enforcer's developers <packages@enforcer.dev>  {}\n",
            date.trim()
        ))
    }
}

/// Copies a directory's files, and theirs below.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    let unreadable = || format!("cannot read `{}`", from.display());
    for entry in from.read_dir().with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy_all(&path, &to)? } else { copy(&path, &to)? }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy `{}`", from.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Takes a directory away, if it is there.
pub(super) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}
