//! Debian's backports, for a package that fits only those of its family that were taken from there.
//!
//! An apt that is to install the release's own qemu beside tools of qemu that came from backports takes the tools away.
//! The lists of backports are kept in a directory of our own: the machine's sources stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{Root, run, target_dir};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs packages from this release's backports, and what they depend on from wherever it is.
pub(super) fn install(root: Root, apt: &Path, names: &[&str]) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read `/etc/os-release`")?;
    let Some(suite) = suite(&release) else {
        bail!("this isn't a release of Debian's that has backports");
    };
    eprintln!("trying {suite}:");
    let install =
        |command: &mut Command| run(super::debian::install_command(command).args(["-t", &suite]).args(names));
    // Where the machine has backports among its sources, it knows them already.
    if install(&mut root.command(apt)).is_ok() {
        return Ok(());
    }
    let options = private(&suite)?;
    run(root.command(apt).args(&options).args(["-q", "update"]))?;
    install(root.command(apt).args(&options))
}

/// `bookworm-backports`.
fn suite(release: &str) -> Option<String> {
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"'))
    };
    (field("ID")? == "debian").then_some(())?;
    Some(format!("{}-backports", field("VERSION_CODENAME")?))
}

/// The options that make apt read this machine's sources and this suite, and keep their lists below `target`.
fn private(suite: &str) -> Result<[String; 4]> {
    let dir: PathBuf = target_dir().join("backports");
    let lists = dir.join("lists");
    fs::create_dir_all(lists.join("partial"))
        .with_context(|| format!("cannot make `{}`", lists.display()))?;
    let sources = dir.join("sources.list");
    let mut text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    text += &format!("\ndeb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n");
    fs::write(&sources, text).with_context(|| format!("cannot write `{}`", sources.display()))?;
    let sources = format!("Dir::Etc::sourcelist={}", sources.display());
    let lists = format!("Dir::State::lists={}", lists.display());
    Ok(["-o".to_owned(), sources, "-o".to_owned(), lists])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_that_of_the_release() {
        let release = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(suite(release).as_deref(), Some("bookworm-backports"));
        assert_eq!(suite("ID=\"debian\"\nVERSION_CODENAME=\"trixie\"").as_deref(), Some("trixie-backports"));
        assert_eq!(suite("ID=debian\nVERSION_ID=\"12\""), None);
        assert_eq!(suite("ID=ubuntu\nVERSION_CODENAME=noble"), None);
    }
}
