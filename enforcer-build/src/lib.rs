//! Finds a compiler for the kernel programs and builds them.
//!
//! Two toolchains can do it: Debian's (a stable compiler with a prebuilt `core` for BPF) and rustup's nightly (which
//! builds `core` from `rust-src`). Both link with `bpf-linker`. [`Toolchain::detect`] looks for them in that order,
//! and its `Display` says which one it took.

mod build;
mod embed;
mod environment;
mod toolchain;

pub use build::{BuildError, Request, build, clippy, sources};
pub use embed::without_debug;
pub use toolchain::{LLVM_MAJOR, Missing, Toolchain, find_linker, places};

/// The compiler's target for the kernel programs on this machine.
#[must_use]
pub fn target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}
