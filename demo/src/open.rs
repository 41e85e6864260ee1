//! `--open`: the shop with its business going on and no policy, and a shell on its host.

use std::path::PathBuf;

use anyhow::{Context, Result};
use enforcer_tests::World;
use enforcer_tests::shop::Shop;

/// Opens the shop, hands the terminal to a shell, and takes everything away after it.
pub(crate) fn run(kind: &str, program: Option<PathBuf>) -> Result<()> {
    let world = World::new(kind, "open").context("cannot make the shop's world")?;
    let mut shop = Shop::open(world, program).context("cannot open the shop")?;
    let greeting = shop.greeting();
    let mut shell = shop.shell();
    shell.arg("--rcfile").arg(greeting).arg("-i");
    // How a person leaves the shell says nothing about the shop.
    shell.status().context("cannot run `bash`")?;
    Ok(())
}
