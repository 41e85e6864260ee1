//! The levels of tests, and which test executable belongs to which.
//!
//! A file in a package's `tests` directory called `level<N>_<what>.rs` belongs to that level. What the package
//! `enforcer-tests` holds besides is level 3. The reference evaluator's own tests, which lie beside it, are level 0.
//! What `enforcer-fuzz` holds is the fuzz level. Everything else is a unit test.

use std::fmt;

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Units,
    Fuzz,
    Reference,
    Compiled,
    TestRun,
    Worlds,
    Benches,
}

/// A level that lies in an executable with others: its package and target, and how its tests' names start.
pub(crate) const INSIDE: [(&str, &str, &str, Level); 1] =
    [("enforcer-policy", "enforcer_policy", "reference::", Level::Reference)];

impl Level {
    pub(crate) const ALL: [Self; 7] = [
        Self::Units,
        Self::Fuzz,
        Self::Reference,
        Self::Compiled,
        Self::TestRun,
        Self::Worlds,
        Self::Benches,
    ];

    /// The level of a test executable.
    pub(crate) fn of(package: &str, target: &str, is_bench: bool) -> Self {
        if is_bench {
            return Self::Benches;
        }
        let number =
            target.strip_prefix("level").and_then(|rest| rest.chars().next()).filter(char::is_ascii_digit);
        match (number, package) {
            (Some('0'), _) => Self::Reference,
            (Some('1'), _) => Self::Compiled,
            (Some('2'), _) => Self::TestRun,
            (Some('3'), _) | (None, "enforcer-tests") => Self::Worlds,
            (None, "enforcer-fuzz") => Self::Fuzz,
            _ => Self::Units,
        }
    }

    /// Whether it takes root and a kernel that loads BPF programs.
    pub(crate) fn is_privileged(self) -> bool {
        matches!(self, Self::TestRun | Self::Worlds)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Units => "unit tests",
            Self::Fuzz => "fuzz targets: kept inputs, and a fixed number of mutations of them",
            Self::Reference => "level 0: the reference evaluator",
            Self::Compiled => "level 1: compiled tables and the verdict function",
            Self::TestRun => "level 2: kernel programs through BPF_PROG_TEST_RUN",
            Self::Worlds => "level 3: real sockets in network namespaces",
            Self::Benches => "benches, each run once",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_decides_then_the_package() {
        assert_eq!(Level::of("enforcer-policy", "level0_cases", false), Level::Reference);
        assert_eq!(Level::of("enforcer-policy", "level1_random", false), Level::Compiled);
        assert_eq!(Level::of("enforcer-tests", "level2_programs", false), Level::TestRun);
        assert_eq!(Level::of("enforcer-tests", "enforcer_tests", false), Level::Worlds);
        assert_eq!(Level::of("enforcer-fuzz", "brief", false), Level::Fuzz);
        assert_eq!(Level::of("enforcer-policy", "levels", false), Level::Units);
        assert_eq!(Level::of("enforcer-policy", "verdict", true), Level::Benches);
    }
}
