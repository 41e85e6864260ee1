//! Finds names that two patterns both take, without comparing every pair.

/// A text that stands for itself, or for every text that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    pub(super) text: String,
    /// A prefix sorts before the exact text, so that it is open when the text comes.
    pub(super) exact: bool,
}

/// For each pattern that overlaps with an earlier one *in sorted order*, that pair; each item at most once as the second.
/// `owner` tells which items belong together: those may overlap.
pub(super) fn overlaps<T, O: PartialEq>(mut items: Vec<(Pattern, T)>, owner: impl Fn(&T) -> O) -> Vec<(T, T)>
where
    T: Copy,
{
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut found = Vec::new();
    // Prefixes that the current text begins with, shortest first; all of them nest.
    let mut open: Vec<(Pattern, T)> = Vec::new();
    for (pattern, item) in items {
        while let Some((top, _)) = open.last() {
            let holds =
                if top.exact { top.text == pattern.text } else { pattern.text.starts_with(&top.text) };
            if holds {
                break;
            }
            open.pop();
        }
        let conflict = open.iter().find(|(_, other)| owner(other) != owner(&item));
        if let Some((_, other)) = conflict {
            found.push((*other, item));
        }
        open.push((pattern, item));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Pattern, overlaps};
    use proptest::prelude::*;

    fn both_take(a: &Pattern, b: &Pattern) -> bool {
        match (a.exact, b.exact) {
            (true, true) => a.text == b.text,
            (false, true) => b.text.starts_with(&a.text),
            (true, false) => a.text.starts_with(&b.text),
            (false, false) => a.text.starts_with(&b.text) || b.text.starts_with(&a.text),
        }
    }

    proptest! {
        /// Some pair is found exactly where comparing every pair finds one, and every found pair is real.
        #[test]
        fn as_comparing_every_pair(patterns in prop::collection::vec(("[ab]{1,4}", any::<bool>(), 0..3u8), 0..12)) {
            let items: Vec<_> = patterns
                .into_iter()
                .enumerate()
                .map(|(index, (text, exact, owner))| (Pattern { text, exact }, (index, owner)))
                .collect();
            let by_index = |index: usize| &items.iter().find(|(_, (i, _))| *i == index).unwrap().0;
            let found = overlaps(items.clone(), |(_, owner)| *owner);
            for ((a, first), (b, second)) in &found {
                prop_assert!(first != second && both_take(by_index(*a), by_index(*b)));
            }
            let exists = items.iter().any(|(p, (_, a))| items.iter().any(|(q, (_, b))| a != b && both_take(p, q)));
            prop_assert_eq!(exists, !found.is_empty());
        }
    }
}
