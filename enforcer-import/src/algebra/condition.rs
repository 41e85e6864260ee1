//! What is asked of one label key.

use std::collections::BTreeSet;

/// A condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// Present with one of these values. Never empty.
    In(BTreeSet<String>),
    /// Absent, or present with none of these.
    NotIn(BTreeSet<String>),
    /// Present with none of these; with none at all, just present.
    Present(BTreeSet<String>),
    /// Absent.
    Absent,
}

impl Condition {
    /// Present with this value.
    pub(crate) fn is(value: &str) -> Self {
        Self::In(BTreeSet::from([value.to_owned()]))
    }

    /// Present.
    pub(crate) fn exists() -> Self {
        Self::Present(BTreeSet::new())
    }

    /// Both; `None` where nothing fulfils both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        use Condition::{Absent, In, NotIn, Present};
        let union = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.union(b).cloned().collect();
        let within = |values: BTreeSet<String>| (!values.is_empty()).then_some(In(values));
        match (self, other) {
            (In(a), In(b)) => within(a.intersection(b).cloned().collect()),
            (In(a), NotIn(b) | Present(b)) | (NotIn(b) | Present(b), In(a)) => {
                within(a.difference(b).cloned().collect())
            }
            (Absent, In(_) | Present(_)) | (In(_) | Present(_), Absent) => None,
            (NotIn(a), NotIn(b)) => Some(NotIn(union(a, b))),
            (Present(a), NotIn(b) | Present(b)) | (NotIn(a), Present(b)) => Some(Present(union(a, b))),
            (NotIn(_) | Absent, Absent) | (Absent, NotIn(_)) => Some(Absent),
        }
    }

    /// Either; `None` where no one condition says that. [`Condition::NotIn`] of nothing is anything at all.
    pub(crate) fn or(&self, other: &Self) -> Option<Self> {
        use Condition::{Absent, In, NotIn, Present};
        let common = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.intersection(b).cloned().collect();
        let without = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
        match (self, other) {
            (In(a), In(b)) => Some(In(a.union(b).cloned().collect())),
            (In(own), NotIn(out)) | (NotIn(out), In(own)) => Some(NotIn(without(out, own))),
            (In(own), Present(out)) | (Present(out), In(own)) => Some(Present(without(out, own))),
            (NotIn(a), NotIn(b) | Present(b)) | (Present(b), NotIn(a)) => Some(NotIn(common(a, b))),
            (Present(a), Present(b)) => Some(Present(common(a, b))),
            (Absent, NotIn(out) | Present(out)) | (NotIn(out) | Present(out), Absent) => {
                Some(NotIn(out.clone()))
            }
            (Absent, Absent) => Some(Absent),
            (Absent, In(_)) | (In(_), Absent) => None,
        }
    }

    /// Whether something fulfils both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        use Condition::{Absent, In, NotIn, Present};
        match (self, other) {
            (In(a), In(b)) => !a.is_disjoint(b),
            (In(a), NotIn(b) | Present(b)) | (NotIn(b) | Present(b), In(a)) => !a.is_subset(b),
            (Absent, In(_) | Present(_)) | (In(_) | Present(_), Absent) => false,
            (NotIn(_) | Present(_), NotIn(_) | Present(_))
            | (NotIn(_) | Absent, Absent)
            | (Absent, NotIn(_)) => true,
        }
    }

    /// What doesn't fulfil it: any of these.
    pub(crate) fn negated(&self) -> Vec<Self> {
        match self {
            Self::In(values) => vec![Self::NotIn(values.clone())],
            Self::NotIn(values) if values.is_empty() => Vec::new(),
            Self::NotIn(values) => vec![Self::In(values.clone())],
            Self::Present(values) if values.is_empty() => vec![Self::Absent],
            Self::Present(values) => vec![Self::Absent, Self::In(values.clone())],
            Self::Absent => vec![Self::exists()],
        }
    }

    /// Whether a value, or its absence, fulfils it.
    pub(crate) fn holds(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::In(values), Some(value)) => values.contains(value),
            (Self::NotIn(values) | Self::Present(values), Some(value)) => !values.contains(value),
            (Self::NotIn(_) | Self::Absent, None) => true,
            (Self::In(_) | Self::Present(_), None) | (Self::Absent, Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_and_both_are_exact() {
        let sets = [&[][..], &["a"], &["b"], &["a", "b"], &["b", "c"]]
            .map(|values| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<String>>());
        let mut all = vec![Condition::Absent];
        for set in &sets {
            all.extend([Condition::NotIn(set.clone()), Condition::Present(set.clone())]);
            all.extend((!set.is_empty()).then(|| Condition::In(set.clone())));
        }
        for one in &all {
            for other in &all {
                for value in [None, Some("a"), Some("b"), Some("c"), Some("d")] {
                    let (x, y) = (one.holds(value), other.holds(value));
                    let both = one.and(other).is_some_and(|both| both.holds(value));
                    assert_eq!(both, x && y, "{one:?} and {other:?} of {value:?}");
                    if let Some(either) = one.or(other) {
                        assert_eq!(either.holds(value), x || y, "{one:?} or {other:?} of {value:?}");
                    }
                }
            }
        }
    }
}
