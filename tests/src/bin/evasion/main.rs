//! Puts outcomes of tests into the attack table: `evasion OUTCOMES DOCUMENT [--write]`. What `cargo xtask evasion` runs at its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use enforcer_tests::evasion::{Results, document, faults, overview};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the table is true, and the document says so.
fn run() -> Result<bool> {
    let mut arguments = env::args_os().skip(1);
    let (Some(outcomes), Some(path)) =
        (arguments.next().map(PathBuf::from), arguments.next().map(PathBuf::from))
    else {
        bail!("usage: evasion OUTCOMES DOCUMENT [--write]");
    };
    let write = arguments.next().is_some_and(|flag| flag == "--write");
    let results = Results::read(&outcomes)?;
    print!("{}", overview(&results));
    let mut faults = faults(&results);
    let text = document(&results);
    if write {
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    } else if fs::read_to_string(&path).unwrap_or_default() != text {
        faults.push(format!("`{}` is out of date: run `cargo xtask evasion --write`", path.display()));
    }
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    Ok(faults.is_empty())
}
