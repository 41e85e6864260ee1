//! The environment a second cargo may see.
//!
//! A build script runs with what the outer cargo chose for the host: its compiler, flags, wrappers (clippy is one),
//! library path and job server. Any of them would break or falsify a build for another target.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// Settings of the user's that have nothing to do with how code is compiled.
const KEPT_PREFIXES: [&str; 4] = ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_"];
const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_TERM_COLOR", "RUSTUP_HOME", "RUSTUP_DIST_SERVER"];
const DROPPED_PREFIXES: [&str; 3] = ["CARGO", "RUST", "DEP_"];
const DROPPED: [&str; 11] = [
    "CLIPPY_ARGS",
    "DEBUG",
    "HOST",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "TARGET",
];

/// Takes what the outer cargo set out of a command's environment.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if is_the_outer_builds(&name) {
            command.env_remove(name);
        }
    }
}

fn is_the_outer_builds(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let kept = KEPT.contains(&&*name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !kept && (DROPPED.contains(&&*name) || DROPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// The directories on PATH.
pub(crate) fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// Where cargo keeps what it installs.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_builds_choices_go_and_the_users_stay() {
        let dropped = [
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_MAKEFLAGS",
            "RUSTUP_TOOLCHAIN",
            "TARGET",
            "LD_LIBRARY_PATH",
        ];
        let kept = [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "https_proxy",
            "SSL_CERT_FILE",
        ];
        for name in dropped {
            assert!(is_the_outer_builds(OsStr::new(name)), "{name}");
        }
        for name in kept {
            assert!(!is_the_outer_builds(OsStr::new(name)), "{name}");
        }
    }
}
