//! The tarball: a static binary and what goes with it, for machines that take no Debian package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::stage::Stage;
use crate::shell::run;

/// What is in it, of what is laid out.
const PARTS: [&str; 9] = [
    "INSTALL.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "completions",
    "enforcer",
    "etc",
    "man",
    "systemd",
    "third-party-licences.txt",
];

/// Packs it into `to`: owners, times and order are always the same.
pub(super) fn pack(stage: &Stage, to: &Path) -> Result<PathBuf> {
    run(Command::new("strip").arg(stage.dir().join("enforcer")))?;
    let name = format!("enforcer-{}-{}-linux", stage.version(), std::env::consts::ARCH);
    let path = to.join(format!("{name}.tar.gz"));
    let mut command = Command::new("tar");
    command.arg("--create").arg("--file").arg(&path).arg("--directory").arg(stage.dir());
    command.args([
        "--use-compress-program=gzip -9n",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    command.args(["--mode=u=rwX,go=rX".to_owned(), format!("--mtime=@{}", stage.time())]);
    command.arg(format!("--transform=s,^,{name}/,")).args(PARTS);
    run(&mut command)?;
    Ok(path)
}
