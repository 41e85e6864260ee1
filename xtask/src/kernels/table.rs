//! The table of kernels in the README, written from a run.

use std::fs;

use anyhow::{Context, Result};

use super::lines::Line;
use super::plan::{BUDGET, Outcome};
use crate::levels::Level;
use crate::shell::root;
use crate::tally::Tally;

const BEGIN: &str = "<!-- kernels: written by `cargo xtask test-kernels --write` -->\n";
const END: &str = "<!-- /kernels -->\n";

/// A kernel that was tried, or why none could be.
pub(super) struct Row {
    pub(super) line: Line,
    /// Debian's version.
    pub(super) version: String,
    pub(super) outcome: Outcome,
}

/// The table as Markdown.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "| kernel | tried (Debian) | attached by | level 2 | level 3, smoke | verified instructions | result |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let outcome = &row.outcome;
        let programs: Vec<_> = outcome
            .programs
            .iter()
            .map(|(name, checked)| match &checked.refused {
                None => format!("{} {}", short(name), thousands(checked.instructions)),
                Some(_) => format!("{} refused", short(name)),
            })
            .collect();
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            row.line,
            cell(&row.version),
            outcome.hook.as_deref().unwrap_or("–"),
            level(outcome.level(Level::TestRun)),
            level(outcome.level(Level::Worlds)),
            programs.join(", "),
            match &outcome.faults[..] {
                [] if outcome.tally().failed == 0 => "works".to_owned(),
                [] => "tests fail".to_owned(),
                faults => cell(&faults.join("; ")),
            },
        );
    }
    text + &format!(
        "\nThe budget is {} verified instructions a program; kernels allow a million.\n",
        thousands(BUDGET)
    )
}

fn short(program: &str) -> &str {
    program.strip_prefix("enforcer_").unwrap_or(program)
}

fn level(tally: Tally) -> String {
    if tally == Tally::default() { "not run".to_owned() } else { tally.to_string() }
}

/// A text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `71479` as `71,479`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts the table into the README.
pub(super) fn write(rows: &[Row]) -> Result<()> {
    let path = root().join("README.md");
    let old = fs::read_to_string(&path).context("cannot read `README.md`")?;
    let new = replace(&old, &render(rows)).context("`README.md` has lost the marks of the table")?;
    fs::write(&path, new).context("cannot write `README.md`")
}

fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_old_one() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = replace(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(replace("no marks", "new"), None);
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        assert!(replace(&readme, "").is_some(), "the README has its marks");
    }

    #[test]
    fn numbers_have_their_thousands() {
        assert_eq!(
            [0, 999, 1_000, 71_479, 1_000_000].map(thousands),
            ["0", "999", "1,000", "71,479", "1,000,000"]
        );
    }

    #[test]
    fn what_did_not_run_is_said() {
        let faults = vec!["the archive has no kernel | of this line".to_owned()];
        let outcome = Outcome { faults, ..Outcome::default() };
        let row = Row { line: "5.10".parse().unwrap(), version: "–".into(), outcome };
        let text = render(&[row]);
        assert!(
            text.contains(
                "| 5.10 | – | – | not run | not run |  | the archive has no kernel \\| of this line |"
            ),
            "{text}"
        );
    }
}
