//! Makes sure of everything that building and running takes. Says what it installs and why; where all is there, it
//! says nothing and does nothing.

mod backports;
mod debian;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use enforcer_build::{LLVM_MAJOR, Toolchain, find_linker};

use crate::shell::{cargo, find, run as run_command};

/// How much to make sure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A compiler and a linker for the kernel programs.
    Build,
    /// And what running them in network namespaces takes.
    Run,
    /// And what booting other kernels takes.
    Kernels,
    /// A compiler and a linker, and what packages are made and tried with.
    Dist,
    /// And what only CI looks at.
    Ci,
    /// A compiler for libFuzzer and nothing else: no fuzz target loads kernel programs.
    Fuzz,
}

/// Installs what is missing.
pub(crate) fn run(scope: Scope) -> Result<()> {
    let debian = Path::new("/etc/debian_version").is_file() && find("apt-get").is_some();
    if debian {
        debian::install(scope)?;
    }
    if scope == Scope::Fuzz {
        return if find("c++").is_some() {
            Ok(())
        } else {
            bail!("there is no `c++`, which compiles libFuzzer")
        };
    }
    if find_linker().is_none() {
        install_linker(debian)?;
    }
    if let Err(missing) = Toolchain::detect() {
        install_nightly().with_context(|| missing.to_string())?;
    }
    let toolchain = Toolchain::detect()?;
    let works = Command::new(toolchain.linker())
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        bail!(
            "`{}` doesn't start; remove it, and `cargo xtask setup` builds it again",
            toolchain.linker().display()
        );
    }
    Ok(())
}

fn install_linker(debian: bool) -> Result<()> {
    eprintln!("installing `bpf-linker` from crates.io: it links the kernel programs");
    let mut command = cargo();
    command.args(["install", "bpf-linker"]);
    let llvm = format!("/usr/lib/llvm-{LLVM_MAJOR}/bin");
    if debian && Path::new(&llvm).is_dir() {
        // Its build script asks the first `llvm-config` on PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["--no-default-features", "--features", &format!("llvm-{LLVM_MAJOR}")]);
        command.env("PATH", format!("{llvm}:{path}"));
    }
    run_command(&mut command).context("cannot install `bpf-linker`")
}

fn install_nightly() -> Result<()> {
    if find("rustup").is_none() {
        bail!("there is neither Debian's compiler for BPF nor rustup to install a nightly with");
    }
    eprintln!(
        "installing rustup's nightly with rust-src: it compiles the kernel programs and `core` for them"
    );
    let arguments = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"];
    run_command(Command::new("rustup").args(arguments)).context("cannot install rustup's nightly")
}
