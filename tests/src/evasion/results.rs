//! What came of tests: one line of JSON for each, as the harness and `cargo xtask evasion` write them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Step;

/// A test that carries ids in its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `e16_…`.
    pub test: String,
    /// `1`, `2`, `3`, or `unit`.
    pub level: String,
    /// Whether it held; `None` where it wasn't run.
    pub held: Option<bool>,
    /// Packet by packet, for the cases of the catalogue.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// Outcomes by test and level.
#[derive(Clone, Debug, Default)]
pub struct Results(pub BTreeMap<(String, String), Outcome>);

impl Results {
    /// Reads lines of JSON. Where several speak of one test, the one with steps counts, else the last.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut results = Self::default();
        for line in text.lines() {
            let outcome: Outcome =
                serde_json::from_str(line).with_context(|| format!("not an outcome: `{line}`"))?;
            results.add(outcome);
        }
        Ok(results)
    }

    /// Adds one.
    pub fn add(&mut self, outcome: Outcome) {
        let key = (outcome.level.clone(), outcome.test.clone());
        match self.0.get_mut(&key) {
            Some(known) if !known.steps.is_empty() && outcome.steps.is_empty() => {
                known.held = known.held.and_then(|held| Some(held && outcome.held?)).or(known.held);
            }
            _ => {
                self.0.insert(key, outcome);
            }
        }
    }

    /// Outcomes of tests that carry an id, by level.
    pub fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.0.values().filter(move |outcome| ids(&outcome.test).any(|carried| carried == id))
    }
}

/// The ids that a test's name begins with: `e16_e17_parts` carries `E16` and `E17`.
pub fn ids(test: &str) -> impl Iterator<Item = String> {
    let is_id = |part: &&str| {
        let digits = part.strip_prefix(['e', 'x']);
        digits.is_some_and(|digits| digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    test.split('_').take_while(is_id).map(str::to_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_ids_in_front() {
        let found = |name| ids(name).collect::<Vec<_>>();
        assert_eq!(found("e16_e17_parts_in_order"), ["E16", "E17"]);
        assert_eq!(found("x01_e2_short"), ["X01"]);
        assert_eq!(found("e110_both_agree"), ["E110"]);
        assert_eq!(found("everything_passes"), Vec::<String>::new());
        assert_eq!(found("extended"), Vec::<String>::new());
    }

    #[test]
    fn steps_are_kept_and_a_failure_is_not_forgotten() {
        let step = Step { note: "n".into(), expected: "short".into(), seen: Some("short".into()) };
        let outcome = |held, steps| Outcome { test: "e01_x".into(), level: "1".into(), held, steps };
        let mut results = Results::default();
        results.add(outcome(Some(true), vec![step]));
        results.add(outcome(Some(false), vec![]));
        let kept = results.of("E01").next().unwrap();
        assert_eq!((kept.held, kept.steps.len()), (Some(false), 1));
    }
}
