//! `cargo xtask demo`: sets up, builds, and hands over to the demo's own program.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Scope};
use crate::shell::{Root, cargo, root, run as run_command, target_dir};
use crate::{needs, shell};

/// Runs the demo; its exit code is ours.
pub(crate) fn run(keep: bool, open: bool) -> Result<ExitCode> {
    let obstacles = needs::obstacles(setup::run(Scope::Run).err());
    if !obstacles.is_empty() {
        eprintln!("the demo makes network namespaces and loads kernel programs; this machine lacks:");
        for obstacle in &obstacles {
            eprintln!("  - {obstacle}");
        }
        bail!("the demo can't run here");
    }
    let packages =
        ["build", "--release", "--package", "enforcer-agent", "--package", "enforcer-demo", "--bins"];
    run_command(cargo().args(packages))?;
    let release = target_dir().join("release");
    let root_access = Root::detect().context("the demo needs root")?;
    let mut command = root_access.command(&release.join("enforcer-demo"));
    command.arg("--enforcer").arg(release.join("enforcer"));
    command.arg("--policies").arg(root().join("policies/demo"));
    for (flag, _) in [("--keep", keep), ("--open", open)].iter().filter(|(_, given)| *given) {
        command.arg(flag);
    }
    let status = command.status().context("cannot run the demo")?;
    Ok(shell::exit_code(status))
}
