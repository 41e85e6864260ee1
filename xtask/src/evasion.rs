//! `cargo xtask evasion`: every test that carries an id of the attack table, run and put into the table.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::kernel_programs::build_agent;
use crate::levels::Level;
use crate::needs;
use crate::runner::{self, Executable};
use crate::setup::{self, Scope};
use crate::shell::{exit_code, root, target_dir};

/// Where the harness of levels 1 and 2 writes what it saw.
const RESULTS: &str = "ENFORCER_EVASION_RESULTS";
const DOCUMENT: &str = "docs/EVASION.md";

/// Runs everything, prints the table, and writes it where it is asked to.
pub(crate) fn run(write: bool) -> Result<ExitCode> {
    let obstacles = needs::obstacles(setup::run(Scope::Run).err());
    build_agent(false)?;
    let results = Collected::begin()?;
    let failed = collect(&results, |level| !level.is_privileged() || obstacles.is_empty())?;
    for obstacle in &obstacles {
        println!("levels 2 and 3 SKIPPED, this machine lacks: {obstacle}");
    }
    let code = table(&results, write)?;
    Ok(if failed == 0 { code } else { ExitCode::FAILURE })
}

/// Whether the document is up to date, and each id has its tests: runs level 1 alone, and takes the others by name.
pub(crate) fn check() -> Result<()> {
    let results = Collected::begin()?;
    collect(&results, |level| level == Level::Compiled)?;
    if table(&results, false)? != ExitCode::SUCCESS {
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
        if runs(executable.level) {
            let (tally, told) = executable.run_exactly(&names, (RESULTS, &results.path))?;
            results.add(&executable, told.iter().map(|(name, held)| (name.as_str(), Some(*held))))?;
            failed += tally.failed;
        } else {
            results.add(&executable, names.iter().map(|name| (name.as_str(), None)))?;
        }
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
struct Collected {
    path: PathBuf,
}

impl Collected {
    fn begin() -> Result<Self> {
        let path = target_dir().join("evasion.jsonl");
        fs::create_dir_all(target_dir()).context("cannot make the target directory")?;
        fs::write(&path, "").with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self { path })
    }

    fn add<'a>(
        &self,
        executable: &Executable,
        told: impl Iterator<Item = (&'a str, Option<bool>)>,
    ) -> Result<()> {
        let level = level(executable.level);
        let failed = || format!("cannot write `{}`", Path::display(&self.path));
        let mut file = fs::OpenOptions::new().append(true).open(&self.path).with_context(failed)?;
        for (name, held) in told {
            let held = held.map_or("null", |held| if held { "true" } else { "false" });
            // Names of functions need no escaping.
            writeln!(file, r#"{{"test":"{}","level":"{level}","held":{held}}}"#, function(name))
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
