//! Selectors that differ in one key only, as one.

use super::{Condition, Conjunction};
use crate::inventory::labels;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Up to so many, each is held against each other.
const EACH: usize = 64;
/// Up to so many are tried along so many keys, more of them along one.
const MANY: usize = 128;
const KEYS: usize = 8;

/// The same set in fewer selectors, each with what all those had that are now in it. Exact, and near linear in their number: what could
/// still be put together by other ways stays apart.
pub(crate) fn united<T>(mut all: Vec<(Conjunction, Vec<T>)>) -> Vec<(Conjunction, Vec<T>)> {
    let mut before = usize::MAX;
    while all.len() < before && all.len() > 1 {
        before = all.len();
        for key in telling(&all) {
            all = along(all, &key);
        }
    }
    if all.len() <= EACH {
        narrow(&mut all);
    }
    all
}

/// The keys along which something may come together: what many namespaces say in the same words is the most common case, then
/// the keys that most of them ask about.
fn telling<T>(all: &[(Conjunction, Vec<T>)]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (key, _) in all.iter().flat_map(|(one, _)| one.iter()) {
        *counts.entry(key).or_default() += 1;
    }
    let mut keys: Vec<(bool, Reverse<usize>, &str)> =
        counts.into_iter().map(|(key, count)| (key != labels::NAMESPACE, Reverse(count), key)).collect();
    keys.sort_unstable();
    keys.truncate(if all.len() <= MANY { KEYS } else { 1 });
    keys.into_iter().map(|(_, _, key)| key.to_owned()).collect()
}

/// Conditions on one key, for the same rest.
type Alike<T> = (Conjunction, Vec<(Condition, Vec<T>)>);

/// Puts together what differs in this key only. The order is that of the first of each.
fn along<T>(all: Vec<(Conjunction, Vec<T>)>, key: &str) -> Vec<(Conjunction, Vec<T>)> {
    let mut places: HashMap<Conjunction, usize> = HashMap::new();
    let mut groups: Vec<Alike<T>> = Vec::new();
    for (one, mut tags) in all {
        let (rest, condition) = one.split(key);
        let condition = condition.unwrap_or_else(|| Condition::NotIn(BTreeSet::new()));
        let place = *places.entry(rest.clone()).or_insert_with(|| {
            groups.push((rest, Vec::new()));
            groups.len() - 1
        });
        let conditions = &mut groups[place].1;
        match conditions.iter_mut().find_map(|(known, of)| Some((known.or(&condition)?, known, of))) {
            Some((either, known, of)) => {
                *known = either;
                of.append(&mut tags);
            }
            None => conditions.push((condition, tags)),
        }
    }
    let whole = |(rest, conditions): Alike<T>| {
        let key = key.to_owned();
        conditions.into_iter().map(move |(condition, tags)| (rest.clone().asking(&key, condition), tags))
    };
    groups.into_iter().flat_map(whole).collect()
}

/// Without what lies in another.
fn narrow<T>(all: &mut Vec<(Conjunction, Vec<T>)>) {
    let mut kept: Vec<(Conjunction, Vec<T>)> = Vec::with_capacity(all.len());
    for (one, mut tags) in all.drain(..) {
        if let Some((_, of)) = kept.iter_mut().find(|(other, _)| one.implies(other)) {
            of.append(&mut tags);
            continue;
        }
        let (inside, outside): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|(other, _)| other.implies(&one));
        kept = outside;
        tags.extend(inside.into_iter().flat_map(|(_, of)| of));
        kept.push((one, tags));
    }
    *all = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::model::Labels;

    fn asked(pairs: &[(&str, Condition)]) -> Conjunction {
        pairs.iter().fold(Conjunction::default(), |all, (key, condition)| all.with(key, condition).unwrap())
    }

    fn not(values: &[&str]) -> Condition {
        Condition::Present(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn what_all_namespaces_say_is_one_selector() {
        let ns = |name: &str| (labels::NAMESPACE, Condition::is(name));
        let all = vec![
            (asked(&[(labels::NAMESPACE, not(&["a", "b"]))]), vec![0]),
            (asked(&[ns("a"), ("app", Condition::is("web"))]), vec![1]),
            (asked(&[ns("b"), ("app", Condition::is("web"))]), vec![2]),
            (asked(&[ns("a"), ("app", Condition::is("web").negated().remove(0))]), vec![3]),
            (asked(&[ns("b"), ("app", Condition::is("web").negated().remove(0))]), vec![4]),
        ];
        let mut united = united(all);
        united[0].1.sort_unstable();
        assert_eq!(united, [(asked(&[(labels::NAMESPACE, Condition::exists())]), vec![0, 1, 2, 3, 4])]);
    }

    #[test]
    fn the_set_stays_the_same() {
        let values = [None, Some("x"), Some("y")];
        let conditions =
            || [Condition::is("x"), Condition::is("y"), not(&["x"]), Condition::Absent, Condition::exists()];
        let every: Vec<Conjunction> = conditions()
            .into_iter()
            .flat_map(|a| conditions().map(|b| asked(&[("a", a.clone()), ("b", b)])))
            .chain(conditions().map(|a| asked(&[("a", a)])))
            .collect();
        // Every set of three of them, taken apart by prime steps.
        for step in [1, 2, 3, 5, 7, 11, 13] {
            for start in 0..every.len() {
                let some: Vec<Conjunction> =
                    (0..3).map(|index| every[(start + index * step) % every.len()].clone()).collect();
                let fewer = united(some.iter().map(|one| (one.clone(), vec![()])).collect());
                assert_eq!(fewer.iter().map(|(_, tags)| tags.len()).sum::<usize>(), some.len());
                for a in values {
                    for b in values {
                        let labels: Labels = [("a", a), ("b", b)]
                            .into_iter()
                            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                            .collect();
                        let before = some.iter().any(|one| one.fits(&labels));
                        assert_eq!(
                            fewer.iter().any(|(one, _)| one.fits(&labels)),
                            before,
                            "{some:?} {labels:?}"
                        );
                    }
                }
            }
        }
    }
}
