//! Properties of a whole set: `FlowTest.spec.properties`, held against the compiled tables.
//!
//! Ends that stand alike with every rule and alike with the property are judged once, so the cost grows with kinds of ends,
//! not with ends. A flow counts where it passes, audited or not. Flows between ends of which neither has a hook don't
//! count: nothing here judges them, and no policy could change that.

mod nodes;
mod search;
mod spans;
#[cfg(test)]
mod tests;

use crate::compile::{Compiled, RuleInfo};
use crate::diff::Reach;
use crate::model::{Claim, FlowProperty, FlowTest, PolicySet};
use search::Search;

pub(crate) use nodes::nodes;

/// What came of one property.
#[derive(Clone, Debug)]
pub struct PropertyOutcome<'a> {
    /// Its FlowTest.
    pub test: &'a FlowTest,
    /// Place among the test's properties, from 0.
    pub index: usize,
    /// The property.
    pub property: &'a FlowProperty,
    /// Why it doesn't hold; nothing where it does.
    pub failure: Option<Failure>,
}

/// Why a property doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// These flows, one after the other, lead where none may lead.
    Path(Vec<Hop>),
    /// Its `from` or `to` (the word) matches no end of the set.
    Nobody(&'static str),
    /// No hook judges any flow that it speaks of.
    Unjudged,
    /// There are more kinds of ends than are compared.
    TooLarge,
}

/// A flow that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who may open it: names of workloads and groups, `host`, `world`, blocks.
    pub from: Vec<String>,
    /// Who is reached.
    pub to: Vec<String>,
    /// The first ports that pass, as a range of `protocol << 16 | port`, the last included.
    pub ports: (u32, u32),
    /// How it passes.
    pub reach: Reach,
    /// The rule that lets it; none where the mode of a segment does.
    pub rule: Option<RuleInfo>,
}

/// Holds every property of every FlowTest of a set against its tables, at one instant of the boot-time clock.
pub fn run<'a>(set: &'a PolicySet, compiled: &'a Compiled, boot_ns: u64) -> Vec<PropertyOutcome<'a>> {
    if set.tests.iter().all(|test| test.properties.is_empty()) {
        return Vec::new();
    }
    let search = Search::new(set, compiled, boot_ns);
    let mut outcomes = Vec::new();
    for test in &set.tests {
        for (index, property) in test.properties.iter().enumerate() {
            let failure = match &property.claim {
                Claim::Only { to, port, from } => search.only(to, *port, from),
                Claim::Unreachable { from, to, within, ports } => {
                    search.unreachable(from, to, within.unwrap_or(u32::MAX), ports)
                }
            };
            outcomes.push(PropertyOutcome { test, index, property, failure });
        }
    }
    outcomes
}

impl PropertyOutcome<'_> {
    /// Whether it is as claimed.
    pub fn holds(&self) -> bool {
        self.failure.is_none()
    }
}
