//! Counts of what passed, failed and was skipped.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

/// How many passed, failed, and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    pub(crate) const fn passed(passed: usize) -> Self {
        Self { passed, failed: 0, skipped: 0 }
    }

    pub(crate) const fn failed(failed: usize) -> Self {
        Self { passed: 0, failed, skipped: 0 }
    }

    pub(crate) const fn skipped(skipped: usize) -> Self {
        Self { passed: 0, failed: 0, skipped }
    }

    /// Failure if anything failed, or if nothing was tried at all.
    pub(crate) fn exit_code(self) -> ExitCode {
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What libtest's closing line says, if this is one.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let mut tally = Self::default();
        for part in counts.split("; ") {
            let (count, what) = part.split_once(' ')?;
            match what {
                "passed" => tally.passed = count.parse().ok()?,
                "failed" => tally.failed = count.parse().ok()?,
                "ignored" => tally.skipped = count.parse().ok()?,
                _ => {}
            }
        }
        Some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// Tallies by name, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<(String, Tally)>,
}

impl Report {
    pub(crate) fn add(&mut self, name: impl Into<String>, tally: Tally) {
        self.lines.push((name.into(), tally));
    }

    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, tally) in &self.lines {
            total += *tally;
        }
        total
    }

    /// Prints a line for each name, and the sum alone on the last line.
    pub(crate) fn print(&self) {
        let width = self.lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        println!();
        for (name, tally) in &self.lines {
            println!("{name:width$}  {tally}");
        }
        println!("\n{}", self.total());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_libtest_is_understood() {
        let line = "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s";
        assert_eq!(Tally::parse(line), Some(Tally { passed: 7, failed: 2, skipped: 1 }));
        assert_eq!(Tally::parse("running 7 tests"), None);
    }

    #[test]
    fn skipped_is_told_only_where_something_was() {
        assert_eq!(Tally::passed(3).to_string(), "3 passed, 0 failed");
        assert_eq!(Tally { passed: 3, failed: 1, skipped: 2 }.to_string(), "3 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn the_total_sums_every_line() {
        let mut report = Report::default();
        report.add("a", Tally::passed(2));
        report.add("b", Tally::failed(1));
        report.add("c", Tally::skipped(4));
        assert_eq!(report.total(), Tally { passed: 2, failed: 1, skipped: 4 });
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert_eq!(Tally::default().exit_code(), ExitCode::FAILURE);
        assert_eq!(Tally::skipped(5).exit_code(), ExitCode::FAILURE);
        assert_eq!(Tally { passed: 1, failed: 0, skipped: 5 }.exit_code(), ExitCode::SUCCESS);
    }
}
