//! Rules on the repository's files that no compiler checks.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::shell::{output, root};

/// A file that is longer has more than one job.
const MAX_LINES: usize = 800;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "misc", "common_utils"];
/// Directories of one machine. In pieces, or this file would break its own rule.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// What stands for work that isn't done. In pieces as well.
const LEFT_UNDONE: [&str; 4] =
    [concat!("#[ig", "nore"), concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("dbg", "!(")];

/// Prints what breaks a rule, and the sizes.
pub(crate) fn run() -> Result<ExitCode> {
    Ok(if check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every file keeps the rules.
pub(crate) fn check() -> Result<bool> {
    let mut faults = Vec::new();
    let mut sizes = Vec::new();
    for path in files()? {
        // What isn't text, and links into nowhere, have no lines.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        faults.extend(inspect(&path, &text));
        if path.extension() == Some(OsStr::new("rs")) {
            sizes.push((text.lines().count(), path));
        }
    }
    for fault in &faults {
        println!("{fault}");
    }
    sizes.sort();
    if let (Some((median, _)), Some((longest, path))) = (sizes.get(sizes.len() / 2), sizes.last()) {
        let count = sizes.len();
        println!("{count} Rust files, median {median} lines, longest {longest} (`{}`)", path.display());
    }
    Ok(faults.is_empty())
}

/// What git knows or would add; in an unpacked archive, everything but what a build leaves.
fn files() -> Result<Vec<PathBuf>> {
    if !root().join(".git").exists() {
        let mut found = Vec::new();
        walk(root(), &mut found)?;
        return Ok(found);
    }
    let mut command = Command::new("git");
    command.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = output(&mut command).context("cannot list the repository's files")?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("cannot read `{}`", dir.display());
    for entry in dir.read_dir().with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if !path.is_dir() {
            found.push(path.strip_prefix(root())?.to_owned());
        } else if path.file_name() != Some(OsStr::new("target")) {
            walk(&path, found)?;
        }
    }
    Ok(())
}

fn inspect(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = path.display();
    let is_rust = path.extension() == Some(OsStr::new("rs"));
    if let Some(stem) = path.file_stem().and_then(OsStr::to_str)
        && EMPTY_NAMES.contains(&stem)
    {
        faults.push(format!("{shown}: `{stem}` doesn't say what is inside"));
    }
    let lines = text.lines().count();
    if is_rust && lines > MAX_LINES {
        faults.push(format!("{shown}: {lines} lines, the limit is {MAX_LINES}"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for word in MACHINE_PATHS.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{shown}:{number}: `{word}` is a directory of one machine"));
        }
        for word in LEFT_UNDONE.iter().filter(|word| is_rust && line.contains(**word)) {
            faults.push(format!("{shown}:{number}: `{word}` stands for work left undone"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        assert!(check().unwrap());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let faults = |path: &str, text: &str| inspect(Path::new(path), text);
        assert_eq!(faults("src/flow.rs", "fn main() {}\n"), Vec::<String>::new());
        assert!(faults("src/utils.rs", "")[0].contains("doesn't say"));
        assert!(faults("a.rs", &"\n".repeat(MAX_LINES + 1))[0].contains("801 lines"));
        assert!(faults("a.md", &format!("see {}x", MACHINE_PATHS[0]))[0].starts_with("a.md:1: "));
        assert!(faults("a.rs", &format!("{}]", LEFT_UNDONE[0]))[0].contains("left undone"));
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert_eq!(inspect(Path::new("a.rs"), &"\n".repeat(MAX_LINES)), Vec::<String>::new());
    }
}
