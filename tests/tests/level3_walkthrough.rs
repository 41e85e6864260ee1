//! docs/WALKTHROUGH.md, typed by a machine: every command in it runs in an open shop, and prints what the document shows. Without tcpdump,
//! which it begins with, this counts as skipped, and says so.
//!
//! `ENFORCER_BLESS=1` writes the outputs anew; read the difference before you commit it.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use enforcer_tests::console::{Document, run};
use enforcer_tests::shop::Shop;
use enforcer_tests::world;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let there = Command::new("tcpdump").arg("--version").output().is_ok();
    if !there {
        println!("SKIPPED: the walkthrough isn't typed: there is no `tcpdump` (apt-get install tcpdump)");
    }
    let trial = Trial::test("the_walkthrough_is_what_happens", the_walkthrough_is_what_happens);
    libtest_mimic::run(&Arguments::from_args(), vec![trial.with_ignored_flag(!there)]).exit_code()
}

fn the_walkthrough_is_what_happens() -> Result<(), Failed> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WALKTHROUGH.md"));
    let text = fs::read_to_string(path).unwrap();
    let mut shop = Shop::open(world!(), None).unwrap();
    let (shell, desk) = (shop.shell(), shop.desk());
    let outcome = run(&Document::parse(&text), shell, &desk).unwrap();
    if std::env::var_os("ENFORCER_BLESS").is_some() {
        fs::write(path, &outcome.text).unwrap();
    }
    assert!(
        outcome.faults.is_empty(),
        "docs/WALKTHROUGH.md isn't what happens; ENFORCER_BLESS=1 writes its outputs anew\n\n{}",
        outcome.faults.join("\n\n")
    );
    Ok(())
}
