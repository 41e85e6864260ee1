//! One run of cargo for the kernel programs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::environment::clean;
use crate::{Toolchain, target};

/// What to build, and where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The root of the checkout.
    pub root: &'a Path,
    /// Cargo's target directory for the programs. Not the outer build's: it holds that one's lock.
    pub target_dir: &'a Path,
    /// Cargo features of `enforcer-ebpf`, for instance `log`.
    pub features: &'a [&'a str],
    /// The cargo to run: the one that runs us, where there is one.
    pub cargo: &'a Path,
    /// The architecture of the kernel that will load the programs, as Rust names it.
    pub arch: &'a str,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The command didn't start.
    #[error("cannot run `{command}`")]
    Spawn {
        /// What was to run.
        command: String,
        /// Why it didn't.
        #[source]
        source: io::Error,
    },
    /// The compiler or the linker refused; it has said why on stderr.
    #[error("`{command}` failed: {status}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The build went well but the object isn't where it should be.
    #[error("the build made no `{}`", .0.display())]
    NoObject(PathBuf),
}

/// The files and directories that the object is made from, for `cargo::rerun-if-changed`.
#[must_use]
pub fn sources(root: &Path) -> Vec<PathBuf> {
    [
        "enforcer-ebpf/src",
        "enforcer-ebpf/Cargo.toml",
        "enforcer-ebpf/Cargo.lock",
        "enforcer-common/src",
        "enforcer-common/Cargo.toml",
    ]
    .iter()
    .map(|path| root.join(path))
    .collect()
}

/// Builds the kernel programs and says where the object is.
pub fn build(toolchain: &Toolchain, request: &Request<'_>) -> Result<PathBuf, BuildError> {
    run(&mut cargo(toolchain, request, "build"))?;
    let object = request.target_dir.join(target()).join("release/enforcer");
    if object.is_file() { Ok(object) } else { Err(BuildError::NoObject(object)) }
}

/// Lints the kernel programs with the linter that belongs to their compiler; every warning is an error.
pub fn clippy(toolchain: &Toolchain, request: &Request<'_>) -> Result<(), BuildError> {
    let mut command = match toolchain {
        // Debian's linter, as cargo's own `clippy` would call it: that one would take the one of cargo's toolchain.
        Toolchain::Debian { .. } => {
            let mut command = cargo(toolchain, request, "check");
            command.env("RUSTC_WORKSPACE_WRAPPER", "/usr/bin/clippy-driver");
            command.env("CLIPPY_ARGS", "-Dwarnings");
            command
        }
        Toolchain::Rustup { .. } => {
            let mut command = cargo(toolchain, request, "clippy");
            command.args(["--", "-Dwarnings"]);
            command
        }
    };
    run(&mut command)
}

fn run(command: &mut Command) -> Result<(), BuildError> {
    let shown = show(command);
    let status = command.status().map_err(|source| BuildError::Spawn { command: shown.clone(), source })?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed { command: shown, status }) }
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Cargo with everything set that makes it build for the kernel.
fn cargo(toolchain: &Toolchain, request: &Request<'_>, verb: &str) -> Command {
    let mut command = match toolchain {
        Toolchain::Debian { .. } => Command::new(request.cargo),
        Toolchain::Rustup { name, .. } => {
            let mut command = Command::new("rustup");
            command.args(["run", name, "cargo"]);
            command
        }
    };
    clean(&mut command);
    command
        .current_dir(request.root.join("enforcer-ebpf"))
        .args([verb, "--release", "--target", target(), "--target-dir"])
        .arg(request.target_dir)
        .env("RUSTC", toolchain.rustc())
        .env(linker_variable(), toolchain.linker())
        .env("CARGO_ENCODED_RUSTFLAGS", flags(request.arch).join("\u{1f}"));
    if !request.features.is_empty() {
        command.args(["--features", &request.features.join(",")]);
    }
    match toolchain {
        Toolchain::Debian { .. } => command.env("RUSTC_BOOTSTRAP", "1"),
        Toolchain::Rustup { .. } => command.args(["-Z", "build-std=core"]),
    };
    command
}

fn linker_variable() -> String {
    format!("CARGO_TARGET_{}_LINKER", target().to_uppercase().replace('-', "_"))
}

/// `--btf`: maps and programs carry their types. Without `--disable-expand-memcpy-in-order` each value that is cleared is a call of a function that clears
/// byte by byte. The architecture decides the layout of the kernel's register structs.
fn flags(arch: &str) -> Vec<String> {
    vec![
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(features: &'a [&'a str]) -> Request<'a> {
        Request {
            root: Path::new("/src"),
            target_dir: Path::new("/src/target/ebpf"),
            features,
            cargo: Path::new("cargo"),
            arch: "aarch64",
        }
    }

    fn words(command: &Command) -> Vec<String> {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn debian_builds_with_the_prebuilt_core() {
        let toolchain =
            Toolchain::Debian { rustc: "/usr/bin/rustc".into(), linker: "/bin/bpf-linker".into() };
        let command = cargo(&toolchain, &request(&["log"]), "build");
        assert!(!words(&command).contains(&"-Z".to_owned()));
        assert!(words(&command).ends_with(&["--features".to_owned(), "log".to_owned()]));
        let set = |name: &str| {
            command.get_envs().any(|(key, value)| key == name && value.is_some_and(|value| !value.is_empty()))
        };
        assert!(set("RUSTC") && set("RUSTC_BOOTSTRAP") && set(&linker_variable()));
    }

    #[test]
    fn rustup_builds_core_too() {
        let toolchain = Toolchain::Rustup {
            name: "nightly".into(),
            rustc: "/r/rustc".into(),
            linker: "/bin/bpf-linker".into(),
        };
        let command = cargo(&toolchain, &request(&[]), "build");
        assert_eq!(command.get_program(), "rustup");
        assert!(words(&command).contains(&"build-std=core".to_owned()));
    }

    #[test]
    fn flags_name_the_kernels_architecture() {
        assert!(flags("aarch64").contains(&"--cfg=bpf_target_arch=\"aarch64\"".to_owned()));
    }
}
