//! `--inventory`: who has which address, and since when.

use crate::command::Failure;
use crate::output::note;
use anyhow::Context;
use enforcer_audit::{Known, Tenure};
use enforcer_import::inventory::Inventory;
use enforcer_policy::source::Source;
use std::fs;
use std::path::PathBuf;

/// Problems that are shown one by one.
const SHOWN: usize = 10;

/// Everybody whom the inventories name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Known>, Failure> {
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let text =
            fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
        sources.push(Source::new(path.display().to_string(), text));
    }
    let inventory = Inventory::read(&sources).map_err(|error| {
        let help = error.help();
        Failure::from(anyhow::Error::new(error)).help(help)
    })?;
    for problem in inventory.problems.iter().take(SHOWN) {
        note(format_args!("warning: {problem}"));
    }
    match inventory.problems.len().saturating_sub(SHOWN) {
        0 => {}
        more => note(format_args!("warning: … and {more} more of the inventory")),
    }
    let entries = inventory.entries.into_iter().filter(|entry| entry.is_identity());
    let known = entries.map(|entry| Known {
        managed: entry.managed(),
        addresses: entry
            .addresses
            .iter()
            .map(|held| Tenure { address: held.address, from: held.from, until: held.until })
            .collect(),
        name: entry.document,
        labels: entry.labels,
    });
    Ok(known.collect())
}
