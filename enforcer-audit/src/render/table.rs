//! Tables on a terminal: bounded, unwrapped, without lines.

use comfy_table::{ContentArrangement, Table, presets};
use enforcer_policy::diagnostic::shown;
use std::fmt::Write as _;

/// Rows of one table; the rest is in the other forms.
pub(super) const SHOWN: usize = 40;

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

pub(super) fn print(out: &mut String, table: &Table) -> std::fmt::Result {
    table.lines().try_for_each(|line| writeln!(out, "  {}", line.trim()))
}

/// How many of `all` rows aren't shown.
pub(super) fn more(out: &mut String, all: usize) -> std::fmt::Result {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} more: -o json has them all"),
    }
}

/// A sentence, which may be longer than a name.
pub(super) fn long(text: &str) -> String {
    let words: Vec<String> = text.split(' ').take(40).map(shown).collect();
    words.join(" ")
}
