//! Which compiler and linker for BPF this machine has.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{cargo_home, search_path};
use crate::target;

/// The LLVM that Debian's compiler is built on, and that `bpf-linker` has to match.
pub const LLVM_MAJOR: u32 = 22;

/// A compiler and a linker that together make kernel programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// Debian's packages: a stable compiler with `core` prebuilt for BPF.
    Debian {
        /// The compiler.
        rustc: PathBuf,
        /// The `bpf-linker` to link with.
        linker: PathBuf,
    },
    /// rustup's nightly with `rust-src`: `core` is built along with the programs.
    Rustup {
        /// The toolchain's name, as rustup knows it.
        name: String,
        /// Its compiler.
        rustc: PathBuf,
        /// The `bpf-linker` to link with.
        linker: PathBuf,
    },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { rustc, linker } => {
                write!(f, "Debian's `{}` with prebuilt core, `{}`", rustc.display(), linker.display())
            }
            Self::Rustup { name, linker, .. } => {
                write!(f, "rustup's `{name}` with rust-src, `{}`", linker.display())
            }
        }
    }
}

/// Why there is no toolchain: one line for each thing that was looked for and not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What was looked for in vain.
    pub parts: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no eBPF toolchain: {}", self.parts.join("; "))
    }
}

impl std::error::Error for Missing {}

impl Toolchain {
    /// Looks for Debian's toolchain first, then for rustup's nightly.
    pub fn detect() -> Result<Self, Missing> {
        let mut parts = Vec::new();
        let compiler = debian_compiler().map(Compiler::Debian).or_else(|why| {
            parts.push(why);
            rustup_compiler().map_err(|why| parts.push(why))
        });
        let linker = find_linker();
        if linker.is_none() {
            parts.push("`bpf-linker` is neither on PATH nor in cargo's bin directory".to_owned());
        }
        match (compiler, linker) {
            (Ok(Compiler::Debian(rustc)), Some(linker)) => Ok(Self::Debian { rustc, linker }),
            (Ok(Compiler::Rustup { name, rustc }), Some(linker)) => Ok(Self::Rustup { name, rustc, linker }),
            _ => Err(Missing { parts }),
        }
    }

    /// The compiler to hand to cargo.
    #[must_use]
    pub fn rustc(&self) -> &Path {
        match self {
            Self::Debian { rustc, .. } | Self::Rustup { rustc, .. } => rustc,
        }
    }

    /// The `bpf-linker` to link with.
    #[must_use]
    pub fn linker(&self) -> &Path {
        match self {
            Self::Debian { linker, .. } | Self::Rustup { linker, .. } => linker,
        }
    }
}

enum Compiler {
    Debian(PathBuf),
    Rustup { name: String, rustc: PathBuf },
}

/// `bpf-linker` on PATH or in cargo's bin directory, which is on PATH less often than one hopes.
#[must_use]
pub fn find_linker() -> Option<PathBuf> {
    search_path()
        .chain(cargo_home().map(|home| home.join("bin")))
        .map(|dir| dir.join("bpf-linker"))
        .find(|p| p.is_file())
}

/// The directories where installing a toolchain leaves a trace, as far as they exist.
#[must_use]
pub fn places() -> Vec<PathBuf> {
    let bin = cargo_home().map(|home| home.join("bin"));
    [Some(PathBuf::from("/usr/bin")), bin].into_iter().flatten().filter(|dir| dir.is_dir()).collect()
}

fn debian_compiler() -> Result<PathBuf, String> {
    // By its full path: a rustup proxy usually comes first on PATH.
    let rustc = PathBuf::from("/usr/bin/rustc");
    let Some(sysroot) = output(Command::new(&rustc).args(["--print", "sysroot"])) else {
        return Err("`/usr/bin/rustc` isn't there (Debian's `rustc-web`)".to_owned());
    };
    let core = Path::new(&sysroot).join("lib/rustlib").join(target()).join("lib");
    if has_core(&core) {
        Ok(rustc)
    } else {
        Err(format!("`/usr/bin/rustc` has no core for {} (Debian's `libstd-rust-web-dev-bpf`)", target()))
    }
}

fn has_core(dir: &Path) -> bool {
    let Ok(entries) = dir.read_dir() else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn rustup_compiler() -> Result<Compiler, String> {
    let name = "nightly".to_owned();
    let Some(rustc) = output(Command::new("rustup").args(["which", "--toolchain", &name, "rustc"])) else {
        return Err("rustup has no nightly toolchain".to_owned());
    };
    let Some(sysroot) = output(Command::new(&rustc).args(["--print", "sysroot"])) else {
        return Err(format!("`{rustc}` doesn't run"));
    };
    if Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        Ok(Compiler::Rustup { name, rustc: PathBuf::from(rustc) })
    } else {
        Err("rustup's nightly has no rust-src".to_owned())
    }
}

/// What a command printed, if it ran and succeeded.
fn output(command: &mut Command) -> Option<String> {
    crate::environment::clean(command);
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_names_every_part() {
        let missing = Missing { parts: vec!["no compiler".into(), "no linker".into()] };
        assert_eq!(missing.to_string(), "no eBPF toolchain: no compiler; no linker");
    }

    #[test]
    fn display_says_which_toolchain_and_linker() {
        let chosen = Toolchain::Debian { rustc: "/usr/bin/rustc".into(), linker: "/opt/bpf-linker".into() };
        assert_eq!(chosen.to_string(), "Debian's `/usr/bin/rustc` with prebuilt core, `/opt/bpf-linker`");
    }

    #[test]
    fn a_directory_without_core_is_no_sysroot() {
        assert!(!has_core(Path::new("/nonexistent")));
        assert!(!has_core(Path::new(env!("CARGO_MANIFEST_DIR"))));
    }
}
