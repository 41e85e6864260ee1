//! Label selectors as conditions by key.

use super::Condition;
use crate::inventory::labels;
use enforcer_policy::model::{Expression, LabelSelector, Labels, Operator, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// All of the conditions. Without any, every labelled identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Conjunction(BTreeMap<String, Condition>);

impl Conjunction {
    /// One condition.
    pub(crate) fn of(key: impl Into<String>, condition: Condition) -> Self {
        Self(BTreeMap::from([(key.into(), condition)]))
    }

    /// This and one more; `None` where nothing fulfils both.
    pub(crate) fn with(mut self, key: &str, condition: &Condition) -> Option<Self> {
        let both = match self.0.get(key) {
            Some(own) => own.and(condition)?,
            None => condition.clone(),
        };
        self.0.insert(key.to_owned(), both);
        Some(self)
    }

    /// Both; `None` where nothing fulfils both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let (small, large) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        // Most pairs of rules have nothing to do with each other: find that out before anything is copied.
        if !self.meets(other) {
            return None;
        }
        let mut both = BTreeMap::new();
        for (key, condition) in &large.0 {
            let condition = match small.0.get(key) {
                Some(theirs) => condition.and(theirs)?,
                None => condition.clone(),
            };
            both.insert(key.clone(), condition);
        }
        for (key, condition) in small.0.iter().filter(|(key, _)| !large.0.contains_key(*key)) {
            both.insert(key.clone(), condition.clone());
        }
        Some(Self(both))
    }

    /// Whether something fulfils both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (small, large) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        small.0.iter().all(|(key, condition)| large.0.get(key).is_none_or(|theirs| theirs.meets(condition)))
    }

    /// What fulfils this and not the other: exactly one of these. Namespaces come first, so that taking many selectors of
    /// many namespaces out of everything cuts each namespace on its own.
    pub(crate) fn without(&self, other: &Self) -> Vec<Self> {
        if !self.meets(other) {
            return vec![self.clone()];
        }
        let mut rest = Vec::new();
        let mut before = self.clone();
        let mut keys: Vec<&String> = other.0.keys().collect();
        keys.sort_by_key(|key| !key.starts_with(labels::NAMESPACE));
        for key in keys {
            let condition = &other.0[key];
            for negated in condition.negated() {
                rest.extend(before.clone().with(key, &negated));
            }
            match before.with(key, condition) {
                Some(both) => before = both,
                None => break,
            }
        }
        rest
    }

    /// Whether everything that fulfils this fulfils the other.
    pub(crate) fn implies(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(key, wanted)| self.0.get(key).is_some_and(|own| own.and(wanted).as_ref() == Some(own)))
    }

    /// Whether these labels fulfil it.
    pub(crate) fn fits(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, condition)| condition.holds(labels.get(key).map(String::as_str)))
    }

    /// The condition on a key, and all others.
    pub(crate) fn split(mut self, key: &str) -> (Self, Option<Condition>) {
        let condition = self.0.remove(key);
        (self, condition)
    }

    /// The same with another condition on a key; what anything fulfils is no condition.
    pub(crate) fn asking(mut self, key: &str, condition: Condition) -> Self {
        match condition {
            Condition::NotIn(values) if values.is_empty() => self.0.remove(key),
            condition => self.0.insert(key.to_owned(), condition),
        };
        self
    }

    /// The values of a key that it can have, where there is an end to them.
    pub(crate) fn values(&self, key: &str) -> Option<&BTreeSet<String>> {
        match self.0.get(key) {
            Some(Condition::In(values)) => Some(values),
            _ => None,
        }
    }

    /// The condition on a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Condition> {
        self.0.get(key)
    }

    /// The conditions by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Condition)> {
        self.0.iter().map(|(key, condition)| (key.as_str(), condition))
    }

    /// As an entry of `from` or `to`.
    pub(crate) fn selector(&self) -> Selector {
        let mut selector = LabelSelector::default();
        let mut ask = |key: &str, operator| {
            selector.expressions.push(Expression { key: key.to_owned(), operator });
        };
        let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>();
        for (key, condition) in &self.0 {
            match condition {
                Condition::In(values) if values.len() == 1 => {}
                Condition::In(values) => ask(key, Operator::In(list(values))),
                Condition::NotIn(values) => ask(key, Operator::NotIn(list(values))),
                Condition::Present(values) => {
                    ask(key, Operator::Exists(true));
                    if !values.is_empty() {
                        ask(key, Operator::NotIn(list(values)));
                    }
                }
                Condition::Absent => ask(key, Operator::Exists(false)),
            }
        }
        for (key, condition) in &self.0 {
            if let Condition::In(values) = condition
                && let (1, Some(value)) = (values.len(), values.first())
            {
                selector.labels.insert(key.clone(), value.clone());
            }
        }
        Selector::Labels(selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(pairs: &[(&str, &str)]) -> Conjunction {
        let mut all = Conjunction::default();
        for (key, value) in pairs {
            all = all.with(key, &Condition::is(value)).unwrap();
        }
        all
    }

    #[test]
    fn many_namespaces_stay_apart() {
        let mut open = vec![Conjunction::of(labels::NAMESPACE, Condition::exists())];
        for index in 0..200 {
            let namespace = format!("ns-{index}");
            let taken = selector(&[(labels::NAMESPACE, &namespace), ("app", "web"), ("tier", "front")]);
            open = open.iter().flat_map(|piece| piece.without(&taken)).collect();
        }
        assert_eq!(open.len(), 401, "two pieces for each namespace, and one for all others");
    }

    #[test]
    fn taking_out_is_exact() {
        let (all, taken) = (selector(&[("a", "x")]), selector(&[("a", "x"), ("b", "y"), ("c", "z")]));
        let rest = all.without(&taken);
        for (b, c) in [("y", "z"), ("y", "-"), ("-", "z"), ("-", "-")] {
            let labels =
                Labels::from([("a", "x"), ("b", b), ("c", c)].map(|(k, v)| (k.to_owned(), v.to_owned())));
            let pieces = rest.iter().filter(|piece| piece.fits(&labels)).count();
            assert_eq!(pieces, usize::from((b, c) != ("y", "z")), "{b} {c}");
        }
    }
}
