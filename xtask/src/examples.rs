//! The examples in `policies/`: each one is checked, and its FlowTests are run.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result};

use crate::shell::{root, target_dir};
use crate::tally::Tally;

/// Checks and tests every example with the built binary.
pub(crate) fn run() -> Result<Tally> {
    println!("\n=== examples in policies/");
    let mut tally = Tally::default();
    for verb in ["check", "test"] {
        let examples = examples()?;
        // A binary that says nothing wouldn't look at anything.
        if enforcer([OsStr::new(verb), OsStr::new("--help")])?.stdout.is_empty() {
            println!("SKIPPED: the built `enforcer` has no command `{verb}`");
            tally += Tally::skipped(examples.len());
            continue;
        }
        for example in examples {
            let output = enforcer([OsStr::new(verb), example.as_os_str()])?;
            let good = output.status.success();
            println!("enforcer {verb} {} ... {}", example.display(), if good { "ok" } else { "FAILED" });
            if !good {
                print!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            tally += if good { Tally::passed(1) } else { Tally::failed(1) };
        }
    }
    println!("=== examples in policies/: {tally}");
    Ok(tally)
}

fn enforcer<const N: usize>(arguments: [&OsStr; N]) -> Result<Output> {
    let mut command = Command::new(target_dir().join("debug/enforcer"));
    command.args(arguments).current_dir(root()).output().context("cannot run the built `enforcer`")
}

/// Each directory in `policies/`, and each file that stands alone there.
fn examples() -> Result<Vec<PathBuf>> {
    let dir = root().join("policies");
    let mut found = Vec::new();
    for entry in dir.read_dir().with_context(|| format!("cannot read `{}`", dir.display()))? {
        let path = entry.context("cannot read `policies`")?.path();
        let is_document = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
        if path.is_dir() || is_document {
            found.push(PathBuf::from("policies").join(path.file_name().unwrap_or_default()));
        }
    }
    found.sort();
    Ok(found)
}
