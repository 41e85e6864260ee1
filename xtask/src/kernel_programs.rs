//! Building and linting the kernel programs.

use anyhow::{Context, Result};
use enforcer_build::{Request, Toolchain};

use crate::shell::{cargo, cargo_path, root, run, target_dir};

/// Builds the kernel programs and says with what, and where they are.
pub(crate) fn build(log: bool) -> Result<()> {
    let features: &[&str] = if log { &["log"] } else { &[] };
    let object = with_request(features, enforcer_build::build)?;
    let size = object.metadata().with_context(|| format!("cannot read `{}`", object.display()))?.len();
    println!("{} ({size} bytes)", object.display());
    Ok(())
}

/// Lints the kernel programs, warnings denied.
pub(crate) fn clippy() -> Result<()> {
    with_request(&[], enforcer_build::clippy)
}

fn with_request<T>(
    features: &[&str],
    act: impl FnOnce(&Toolchain, &Request<'_>) -> Result<T, enforcer_build::BuildError>,
) -> Result<T> {
    let toolchain = Toolchain::detect().context("run `cargo xtask setup`")?;
    eprintln!("kernel programs: {toolchain}");
    let request = Request {
        root: root(),
        target_dir: &target_dir().join("ebpf"),
        features,
        cargo: &cargo_path(),
        arch: std::env::consts::ARCH,
    };
    act(&toolchain, &request).context("cannot build the kernel programs")
}

/// Builds the daemon and command line with the kernel programs inside.
pub(crate) fn build_agent(release: bool) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--package", "enforcer-agent", "--bins"]);
    if release {
        command.arg("--release");
    }
    run(&mut command)
}
