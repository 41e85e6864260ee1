//! `cargo xtask evasion`: every test that carries an id of the attack table, run and put into the table.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::levels::Level;
use crate::needs;
use crate::runner::{self, Executable, Told};
use crate::setup::{self, Scope};
use crate::shell::{exit_code, root, target_dir};

const DOCUMENT: &str = "docs/EVASION.md";

/// Runs everything, prints the table, and writes it where it is asked to.
pub(crate) fn run(write: bool) -> Result<ExitCode> {
    let obstacles = needs::obstacles(setup::run(Scope::Run).err());
    let results = Collected::begin()?;
    let failed = collect(&results, |level| !level.is_privileged() || obstacles.is_empty())?;
    for obstacle in &obstacles {
        println!("levels 2 and 3 SKIPPED, this machine lacks: {obstacle}");
    }
    let code = table(&results, write)?;
    Ok(if failed == 0 { code } else { ExitCode::FAILURE })
}

/// Whether the document is up to date, each id has its tests, and none of those failed, by what came of a run of every level.
pub(crate) fn check(results: &Collected) -> Result<()> {
    if table(results, false)? != ExitCode::SUCCESS {
        bail!("the attack table isn't what it says");
    }
    Ok(())
}

/// Runs the tests that carry an id, of the levels that `runs` says, and takes the others by name; how many failed.
fn collect(results: &Collected, runs: impl Fn(Level) -> bool) -> Result<usize> {
    let mut failed = 0;
    for executable in runner::build()? {
        let names = carriers(&executable)?;
        if names.is_empty() {
            continue;
        }
        let mut told = Told::new();
        if runs(executable.level) {
            let (tally, said) = executable.run_exactly(&names, &results.path)?;
            failed += tally.failed;
            told = said;
        }
        results.add(&executable, &told)?;
    }
    Ok(failed)
}

/// The tests of an executable that carry an id.
fn carriers(executable: &Executable) -> Result<Vec<String>> {
    let mut names = executable.tests()?;
    names.retain(|name| carries_id(function(name)));
    Ok(names)
}

/// A test's own name, without its modules.
fn function(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// `e16_…`, `x01_…`: the table itself says which of these it knows.
fn carries_id(name: &str) -> bool {
    let first = name.split('_').next().unwrap_or(name);
    let digits = first.strip_prefix(['e', 'x']).unwrap_or_default();
    digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Merges what came into the table, which says whether it is true.
fn table(results: &Collected, write: bool) -> Result<ExitCode> {
    // Built beside the tests of its package.
    let mut command = Command::new(target_dir().join("debug/evasion"));
    command.arg(&results.path).arg(root().join(DOCUMENT));
    if write {
        command.arg("--write");
    }
    Ok(exit_code(command.status().context("cannot run the table's program")?))
}

/// Outcomes, one line of JSON each.
#[derive(Debug)]
pub(crate) struct Collected {
    path: PathBuf,
}

impl Collected {
    /// None yet.
    pub(crate) fn begin() -> Result<Self> {
        let path = target_dir().join("evasion.jsonl");
        fs::create_dir_all(target_dir()).context("cannot make the target directory")?;
        fs::write(&path, "").with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self { path })
    }

    /// Where the harness adds what it saw.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds what came of an executable's tests that carry an id: those that nothing is told of weren't run.
    pub(crate) fn add(&self, executable: &Executable, told: &[(String, bool)]) -> Result<()> {
        let level = level(executable.level);
        let failed = || format!("cannot write `{}`", self.path.display());
        let mut file = fs::OpenOptions::new().append(true).open(&self.path).with_context(failed)?;
        for name in carriers(executable)? {
            let held = told.iter().find(|(test, _)| *test == name).map(|(_, held)| *held);
            let held = held.map_or("null", |held| if held { "true" } else { "false" });
            // Names of functions need no escaping.
            writeln!(file, r#"{{"test":"{}","level":"{level}","held":{held}}}"#, function(&name))
                .with_context(failed)?;
        }
        Ok(())
    }
}

/// As the table calls it.
fn level(level: Level) -> &'static str {
    match level {
        Level::Units | Level::Fuzz | Level::Benches => "unit",
        Level::Reference => "0",
        Level::Compiled => "1",
        Level::TestRun => "2",
        Level::Worlds => "3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_front_of_a_functions_name() {
        for name in ["e16_later", "x01_short", "e110_agree", "a::tests::e96_names"] {
            assert!(carries_id(function(name)), "{name}");
        }
        for name in ["extended", "e1_short", "everything_e16", "x_ray", "e16x_later"] {
            assert!(!carries_id(function(name)), "{name}");
        }
    }
}
