//! What is fuzzed: one function per target, from bytes to a panic or none.
//!
//! Three drive them: libFuzzer (`cargo xtask fuzz`), the inputs that are kept, and a fixed number of mutations of those (both in
//! `tests/`, so plain `cargo test` runs them). Where inputs are kept: `corpus/TARGET` has what reaches far, `regressions/TARGET` what once
//! broke something.

mod control;
mod documents;
mod flows;
mod headers;
mod import;
mod input;
pub mod kept;
pub mod mutate;
mod records;
mod verdict;

/// Something that is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// As on the command line, and in the directories' names.
    pub name: &'static str,
    /// Panics where what the target promises doesn't hold.
    pub run: fn(&[u8]),
    /// Longest input worth trying.
    pub longest: usize,
    /// Mutations that every run of the tests tries.
    pub brief: u64,
}

/// Every target.
pub const TARGETS: [Target; 7] = [
    Target { name: "verdict", run: verdict::run, longest: 2048, brief: 50_000 },
    Target { name: "headers", run: headers::run, longest: 512, brief: 500_000 },
    Target { name: "documents", run: documents::run, longest: 4096, brief: 10_000 },
    Target { name: "records", run: records::run, longest: 2048, brief: 200_000 },
    Target { name: "flows", run: flows::run, longest: 4096, brief: 20_000 },
    Target { name: "import", run: import::run, longest: 8192, brief: 5_000 },
    Target { name: "control", run: control::run, longest: 4096, brief: 5_000 },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
