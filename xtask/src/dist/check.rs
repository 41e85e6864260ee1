//! What was made, tried out: the package in a fresh Debian, from installing to purging, and the static binary where there is nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::roots::FreshRoot;
use super::{Made, units, version};
use crate::shell::{find, run as run_command};

/// Where the package is put inside.
const INSIDE: &str = "/tmp/enforcer.deb";
/// What is there once it is installed: where a unit is wanted, a directory for policies, and so on.
const INSTALLED: [&str; 5] = [
    "etc/enforcer/policies.d",
    "etc/enforcer/enforcer.yaml",
    "etc/systemd/system/multi-user.target.wants/enforcer.service",
    "etc/systemd/system/sysinit.target.wants/enforcer-early.service",
    "usr/share/doc/enforcer/copyright",
];

/// Tries everything.
pub(super) fn run(made: &Made) -> Result<()> {
    let lintian = find("lintian").context("`lintian` is missing: run `cargo xtask setup`")?;
    run_command(Command::new(lintian).args(["--fail-on", "error", "--allow-root"]).arg(&made.package))?;
    package(&made.package)?;
    if let Some(tarball) = &made.tarball {
        alone(tarball)?;
    }
    Ok(())
}

fn package(package: &Path) -> Result<()> {
    let root = FreshRoot::debian()?;
    let before = root.files()?;
    root.put(package, INSIDE)?;
    println!("{}", root.inside(&["dpkg", "-i", INSIDE])?.trim_end());
    for path in INSTALLED {
        ensure!(root.path(path).symlink_metadata().is_ok(), "`/{path}` isn't there once it is installed");
    }
    works(&root)?;
    pages(&root)?;
    completes(&root)?;
    units::check(&root)?;
    // Something of the operator's, and something of the daemon's.
    fs::write(root.path("var/lib/enforcer/applied.json"), "{}").or_else(|_| {
        fs::create_dir_all(root.path("var/lib/enforcer"))?;
        fs::write(root.path("var/lib/enforcer/applied.json"), "{}")
    })?;
    root.inside(&["dpkg", "-r", "enforcer"])?;
    for (path, there) in
        [("usr/bin/enforcer", false), ("etc/enforcer/enforcer.yaml", true), ("var/lib/enforcer", true)]
    {
        ensure!(root.path(path).exists() == there, "`/{path}` after the package was removed");
    }
    root.inside(&["dpkg", "--purge", "enforcer"])?;
    let after = root.files()?;
    let left: Vec<_> = after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
    let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    if !left.is_empty() || !gone.is_empty() {
        bail!("a purged package leaves {left:?}, and took {gone:?} with it");
    }
    println!("purged: {} files, as before", after.len());
    Ok(())
}

/// The binary finds its libraries, and what is shipped is valid and enforces nothing.
fn works(root: &FreshRoot) -> Result<()> {
    let said = root.inside(&["enforcer", "--version"])?;
    ensure!(said.trim() == format!("enforcer {}", version()?), "the installed binary is `{}`", said.trim());
    println!("{}", root.inside(&["enforcer", "check", "/etc/enforcer"])?.trim_end());
    let policies =
        root.path("etc/enforcer/policies.d").read_dir().context("there is no directory for policies")?;
    ensure!(policies.count() == 0, "as installed, nothing is to be enforced");
    Ok(())
}

/// Every command has a page, and mandoc finds no error in any.
fn pages(root: &FreshRoot) -> Result<()> {
    let dir = root.path("usr/share/man/man8");
    let mut count = 0;
    for entry in dir.read_dir().context("there are no manual pages")? {
        let path = entry.context("cannot read the manual pages' directory")?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("enforcer")) {
            run_command(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path))?;
            count += 1;
        }
    }
    let help = root.inside(&["enforcer", "--help"])?;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // Long descriptions go on in lines that begin further right.
    let named = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let wanted = named.count() + 1;
    ensure!(count == wanted, "{count} manual pages for {wanted} commands");
    println!("{count} manual pages");
    Ok(())
}

/// The completions are loaded by bash, and complete.
fn completes(root: &FreshRoot) -> Result<()> {
    let script = ". /usr/share/bash-completion/completions/enforcer && complete -p enforcer >&2 && \
                  COMP_WORDS=(enforcer stat) COMP_CWORD=1 && _enforcer enforcer stat enforcer && echo \"${COMPREPLY[@]}\"";
    let said = root.inside(&["bash", "-c", script])?;
    ensure!(said.trim() == "status", "`enforcer stat` is completed to `{}`", said.trim());
    Ok(())
}

/// A static binary needs nothing else.
fn alone(tarball: &Path) -> Result<()> {
    let root = FreshRoot::empty("alone")?;
    root.unpack(tarball)?;
    let said = root.inside(&["/enforcer", "--version"])?;
    ensure!(said.trim() == format!("enforcer {}", version()?), "the static binary is `{}`", said.trim());
    root.inside(&["/enforcer", "check", "/etc"])?;
    println!("the static binary runs without a single library");
    Ok(())
}
