//! Running FlowTests on a compiled set.

use crate::compile::{Compiled, Inputs};
use crate::explain::{Explainer, Path, single_port};
use crate::model::{Expectation, FlowCase, FlowTest};
use enforcer_common::Word;

/// What came of one case.
#[derive(Clone, Debug)]
pub struct TestOutcome<'a> {
    /// Its FlowTest.
    pub test: &'a FlowTest,
    /// Place among the test's cases, from 0.
    pub index: usize,
    /// The case.
    pub case: &'a FlowCase,
    /// Every pair of ends that the case stands for. Empty where an end names nothing, which fails the case.
    pub paths: Vec<Path<'a>>,
}

impl<'a> TestOutcome<'a> {
    /// Whether everything the case stands for is as expected.
    pub fn holds(&self) -> bool {
        !self.paths.is_empty() && self.failing().is_none()
    }

    /// The first path that isn't as expected.
    pub fn failing(&self) -> Option<&Path<'a>> {
        self.paths.iter().find(|path| path.verdict.word != word(self.case.expect))
    }

    /// The path to show: the failing one, else the first.
    pub fn shown(&self) -> Option<&Path<'a>> {
        self.failing().or(self.paths.first())
    }
}

/// The word of the verdict that a case expects.
pub const fn word(expect: Expectation) -> Word {
    match expect {
        Expectation::Allow => Word::Allowed,
        Expectation::Deny => Word::Denied,
        Expectation::Audit => Word::Audited,
    }
}

/// Runs every case of every FlowTest of the set.
pub fn run<'a>(inputs: Inputs<'a>, compiled: &'a Compiled) -> Vec<TestOutcome<'a>> {
    let mut explainer = Explainer::new(inputs, compiled);
    let mut outcomes = Vec::new();
    for test in &inputs.set.tests {
        for (index, case) in test.cases.iter().enumerate() {
            // A case that names several ports stands for nothing; the checks refuse it.
            let paths = single_port(&case.port)
                .map(|(protocol, port)| explainer.paths(&case.from, &case.to, protocol, port))
                .unwrap_or_default();
            outcomes.push(TestOutcome { test, index, case, paths });
        }
    }
    outcomes
}
