//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, guided by coverage.
//!
//! The flags are those that cargo-fuzz sets, which stable compilers take as well; no sanitizer, for the targets have no `unsafe` to speak of, and what is
//! looked for are panics, broken promises, hangs and memory without bounds.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Scope};
use crate::shell::{cargo, output, root, run as run_command, target_dir};

/// Counts every edge, and tells libFuzzer what is compared with what.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Bounds on one input: bytes, seconds, and MiB for the whole process.
const BOUNDS: [&str; 3] = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"];

/// Fuzzes one target or all, one after the other.
pub(crate) fn run(chosen: Option<&str>, seconds: u64) -> Result<ExitCode> {
    let targets = chosen_of(targets()?, chosen)?;
    setup::run(Scope::Fuzz)?;
    let program = build()?;
    let mut failed = Vec::new();
    for target in &targets {
        println!("\n=== {target}");
        if let Err(error) = fuzz(&program, target, seconds) {
            println!("FAILED: {error:#}");
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        println!("\n{} targets, nothing found", targets.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nfound something: {}", failed.join(", "));
    println!(
        "its input is in fuzz/regressions, where `cargo test -p enforcer-fuzz` replays it: commit it with the fix"
    );
    Ok(ExitCode::FAILURE)
}

/// Each has its corpus.
fn targets() -> Result<Vec<String>> {
    let dir = root().join("fuzz/corpus");
    let entries = dir.read_dir().with_context(|| format!("cannot read `{}`", dir.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn chosen_of(all: Vec<String>, chosen: Option<&str>) -> Result<Vec<String>> {
    match chosen {
        None => Ok(all),
        Some(name) if all.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("`{name}` is no fuzz target; there are {}", all.join(", ")),
    }
}

fn build() -> Result<PathBuf> {
    let host = host()?;
    let target_dir = target_dir().join("fuzz");
    let mut command = cargo();
    command.args(["build", "--profile", "fuzz", "--package", "enforcer-fuzz", "--features", "libfuzzer"]);
    // With a target, what runs during the build isn't instrumented.
    command.args(["--target", &host]).env("CARGO_TARGET_DIR", &target_dir);
    // No target loads the kernel programs.
    command.env("RUSTFLAGS", FLAGS).env("ENFORCER_EBPF", "skip");
    run_command(&mut command)?;
    Ok(target_dir.join(host).join("fuzz/fuzz-libfuzzer"))
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = output(Command::new(rustc).arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc doesn't say for which host it compiles")
}

/// What reaches further than before is kept under `target`; what breaks something, in the repository.
fn fuzz(program: &PathBuf, target: &str, seconds: u64) -> Result<()> {
    let found = target_dir().join("fuzz/found").join(target);
    let regressions = root().join("fuzz/regressions").join(target);
    for dir in [&found, &regressions] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    }
    let mut command = Command::new(program);
    command.env("ENFORCER_FUZZ_TARGET", target).args(BOUNDS);
    command.args(["-print_final_stats=1", "-verbosity=1"]).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", regressions.display()));
    command.arg(found).arg(root().join("fuzz/corpus").join(target)).arg(regressions);
    run_command(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_or_all() {
        let all = || vec!["control".to_owned(), "verdict".to_owned()];
        assert_eq!(chosen_of(all(), None).unwrap(), all());
        assert_eq!(chosen_of(all(), Some("verdict")).unwrap(), ["verdict"]);
        let error = chosen_of(all(), Some("ports")).unwrap_err().to_string();
        assert_eq!(error, "`ports` is no fuzz target; there are control, verdict");
    }
}
