//! Which label selectors match which labels, by an index from each selector's rarest requirement.

use crate::model::{LabelSelector, Labels, Operator};
use rustc_hash::FxHashMap;
use std::collections::HashMap;

/// A key or value that occurs in a selector. Other strings of identities' labels need no number.
type Atom = u32;

/// A value no selector names.
const OTHER: Atom = u32::MAX;
/// Stands for "any value" in the index.
const ANY: Atom = u32::MAX - 1;

/// Labels as far as selectors can tell them apart: sorted by key, keys that no selector names left out.
pub(super) type Reduced = Box<[(Atom, Atom)]>;

/// One condition of a label selector.
#[derive(Clone, Debug)]
enum Condition {
    Has(Atom, Atom),
    In(Atom, Box<[Atom]>),
    NotIn(Atom, Box<[Atom]>),
    Exists(Atom, bool),
}

/// A label selector of a side: all conditions must hold.
#[derive(Clone, Debug)]
pub(super) struct LabelTest {
    side: u32,
    conditions: Box<[Condition]>,
}

/// The label selectors of all sides.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelIndex {
    atoms: HashMap<String, Atom>,
    tests: Vec<LabelTest>,
    /// Tests by a requirement without which they can't match.
    by_label: FxHashMap<(Atom, Atom), Vec<u32>>,
    /// Tests that require no label.
    always: Vec<u32>,
}

impl LabelIndex {
    /// A selector in terms of atoms. It has no effect until [`LabelIndex::fill`].
    pub(super) fn test(&mut self, side: u32, selector: &LabelSelector) -> LabelTest {
        let mut conditions = Vec::with_capacity(selector.labels.len() + selector.expressions.len());
        for (key, value) in &selector.labels {
            conditions.push(Condition::Has(self.atom(key), self.atom(value)));
        }
        for expression in &selector.expressions {
            let key = self.atom(&expression.key);
            conditions.push(match &expression.operator {
                Operator::In(values) => Condition::In(key, self.atoms(values)),
                Operator::NotIn(values) => Condition::NotIn(key, self.atoms(values)),
                Operator::Exists(present) => Condition::Exists(key, *present),
            });
        }
        LabelTest { side, conditions: conditions.into() }
    }

    /// Indexes `tests`, each by the requirement that the fewest of `population` meet.
    pub(super) fn fill<'a>(&mut self, tests: Vec<LabelTest>, population: impl Iterator<Item = &'a Reduced>) {
        let mut frequency: FxHashMap<(Atom, Atom), u32> = FxHashMap::default();
        for labels in population {
            for (key, value) in labels {
                *frequency.entry((*key, *value)).or_default() += 1;
                *frequency.entry((*key, ANY)).or_default() += 1;
            }
        }
        let count = |label: (Atom, Atom)| frequency.get(&label).copied().unwrap_or(0);
        for test in tests {
            let rank = |condition: &Condition| match condition {
                Condition::Has(key, value) => Some(count((*key, *value))),
                Condition::In(key, values) => Some(values.iter().map(|value| count((*key, *value))).sum()),
                Condition::Exists(key, true) => Some(count((*key, ANY))),
                Condition::NotIn(..) | Condition::Exists(_, false) => None,
            };
            let number = self.tests.len() as u32;
            let rarest =
                test.conditions.iter().filter_map(|c| rank(c).map(|rank| (rank, c))).min_by_key(|(n, _)| *n);
            match rarest.map(|(_, condition)| condition) {
                Some(Condition::Has(key, value)) => {
                    self.by_label.entry((*key, *value)).or_default().push(number)
                }
                Some(Condition::In(key, values)) => {
                    for value in values {
                        self.by_label.entry((*key, *value)).or_default().push(number);
                    }
                }
                Some(Condition::Exists(key, _)) => self.by_label.entry((*key, ANY)).or_default().push(number),
                Some(Condition::NotIn(..)) | None => self.always.push(number),
            }
            self.tests.push(test);
        }
    }

    /// `labels` as far as selectors can tell them apart.
    pub(super) fn reduce(&self, labels: &Labels) -> Reduced {
        let mut reduced: Vec<(Atom, Atom)> = labels
            .iter()
            .filter_map(|(key, value)| {
                let key = self.atoms.get(key)?;
                Some((*key, self.atoms.get(value).copied().unwrap_or(OTHER)))
            })
            .collect();
        reduced.sort_unstable();
        reduced.into()
    }

    /// Adds the sides with a selector that matches `labels`, in no order and perhaps twice.
    pub(super) fn matching(&self, labels: &Reduced, out: &mut Vec<u32>) {
        let mut ask = |tests: &[u32]| {
            for test in tests {
                let test = &self.tests[*test as usize];
                if test.conditions.iter().all(|condition| holds(condition, labels)) {
                    out.push(test.side);
                }
            }
        };
        ask(&self.always);
        for (key, value) in labels {
            for label in [(*key, *value), (*key, ANY)] {
                if let Some(tests) = self.by_label.get(&label) {
                    ask(tests);
                }
            }
        }
    }

    fn atom(&mut self, text: &str) -> Atom {
        if let Some(atom) = self.atoms.get(text) {
            return *atom;
        }
        let atom = self.atoms.len() as Atom;
        self.atoms.insert(text.to_owned(), atom);
        atom
    }

    fn atoms(&mut self, texts: &[String]) -> Box<[Atom]> {
        let mut atoms: Vec<_> = texts.iter().map(|text| self.atom(text)).collect();
        atoms.sort_unstable();
        atoms.dedup();
        atoms.into()
    }
}

fn holds(condition: &Condition, labels: &Reduced) -> bool {
    let value = |key: Atom| labels.binary_search_by_key(&key, |(k, _)| *k).ok().map(|at| labels[at].1);
    match condition {
        Condition::Has(key, wanted) => value(*key) == Some(*wanted),
        Condition::In(key, wanted) => value(*key).is_some_and(|value| wanted.binary_search(&value).is_ok()),
        Condition::NotIn(key, unwanted) => {
            value(*key).is_none_or(|value| unwanted.binary_search(&value).is_err())
        }
        Condition::Exists(key, present) => value(*key).is_some() == *present,
    }
}
