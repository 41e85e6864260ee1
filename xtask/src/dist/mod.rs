//! `cargo xtask dist`: a Debian package, and a tarball with a static binary, both in `target/dist`.
//!
//! debhelper, which Debian makes its own packages with, does what there is to know about packages: what is installed is what
//! `packaging/debian` says. The same sources give the same bytes: times are `SOURCE_DATE_EPOCH`, by default that of the last commit.

mod check;
mod notices;
mod roots;
mod stage;
mod tarball;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use clap::ValueEnum;

use crate::setup::{self, Scope};
use crate::shell::{cargo, cargo_path, find, output, root, run as run_command, target_dir};
use stage::Stage;

/// How what is packed is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// As it is handed out.
    Release,
    /// As tests are: the package alone, to try packaging without another build.
    Dev,
}

impl Profile {
    const fn directory(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }
}

/// What was made.
#[derive(Debug)]
struct Made {
    package: PathBuf,
    /// With the static binary in it.
    tarball: Option<PathBuf>,
}

/// Makes everything, and where `check` is set tries it out.
pub(crate) fn run(profile: Profile, check: bool) -> Result<()> {
    setup::run(Scope::Dist)?;
    let made = make(profile)?;
    if check {
        check::run(&made)?;
    }
    for path in std::iter::once(&made.package).chain(&made.tarball) {
        let size = path.metadata().with_context(|| format!("cannot read `{}`", path.display()))?.len();
        println!("{} ({:.1} MiB)", path.display(), size as f64 / f64::from(1 << 20));
    }
    Ok(())
}

fn make(profile: Profile) -> Result<Made> {
    let dir = target_dir().join("dist");
    let version = version()?;
    let time = source_time()?;
    let binary = build(profile, None)?;
    let stage = Stage::lay_out(&dir.join("build"), &binary, &version, time)?;
    let package = stage.package(&dir)?;
    let tarball = match profile {
        Profile::Release => {
            let binary = build(profile, Some(&static_target()?))?;
            let stage = Stage::lay_out(&dir.join("build-static"), &binary, &version, time)?;
            Some(tarball::pack(&stage, &dir)?)
        }
        Profile::Dev => None,
    };
    let made = Made { package, tarball };
    let names: Vec<_> =
        std::iter::once(&made.package).chain(&made.tarball).filter_map(|path| path.file_name()).collect();
    let sums = output(Command::new("sha256sum").args(names).current_dir(&dir))?;
    fs::write(dir.join("SHA256SUMS"), sums).context("cannot write the checksums")?;
    Ok(made)
}

/// Builds the agent, and returns its binary.
fn build(profile: Profile, target: Option<&str>) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "enforcer-agent", "--bins"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    let mut dir = target_dir();
    if let Some(target) = target {
        command.args(["--target", target]);
        dir.push(target);
        if target.ends_with("-gnu") {
            command.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        }
    }
    run_command(&mut command)?;
    Ok(dir.join(profile.directory()).join("enforcer"))
}

/// musl's target where rustup has it or can get it; else glibc's, linked statically.
fn static_target() -> Result<String> {
    let target = |libc: &str| format!("{}-unknown-linux-{libc}", std::env::consts::ARCH);
    let musl = target("musl");
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(&musl).is_dir() {
        return Ok(musl);
    }
    let added = find("rustup").map(|rustup| run_command(Command::new(rustup).args(["target", "add", &musl])));
    Ok(if matches!(added, Some(Ok(()))) { musl } else { target("gnu") })
}

/// The agent's version.
fn version() -> Result<String> {
    let metadata = MetadataCommand::new()
        .cargo_path(cargo_path())
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let agent = metadata.packages.iter().find(|package| package.name.as_str() == "enforcer-agent");
    Ok(agent.context("the workspace has no agent")?.version.to_string())
}

/// Seconds since 1970 that everything in the packages is of.
fn source_time() -> Result<i64> {
    let said = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said,
        Err(_) if root().join(".git").exists() => {
            output(Command::new("git").current_dir(root()).args(["log", "-1", "--format=%ct"]))?
        }
        Err(_) => bail!("without git, SOURCE_DATE_EPOCH has to say of when the sources are"),
    };
    said.trim().parse().with_context(|| format!("`{}` is no time: seconds since 1970 are", said.trim()))
}
