//! Sets of addresses of one family, as sorted ranges that don't touch.

use ipnet::IpNet;
use std::net::IpAddr;

/// A range of addresses as numbers, the last included.
pub(super) type Span = (u128, u128);

/// Addresses of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

pub(super) fn number(at: IpAddr) -> u128 {
    match at {
        IpAddr::V4(at) => u128::from(at.to_bits()),
        IpAddr::V6(at) => at.to_bits(),
    }
}

pub(super) fn of_block(block: &IpNet) -> Span {
    (number(block.network()), number(block.broadcast()))
}

impl Spans {
    /// Of ranges in any order, overlapping or not.
    pub(super) fn union(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut spans: Vec<Span> = spans.into_iter().collect();
        spans.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for (first, last) in spans {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These addresses without those of `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for (first, last) in &self.0 {
            let mut at = Some(*first);
            let from = other.0.partition_point(|(_, end)| end < first);
            for (start, end) in other.0[from..].iter().take_while(|(start, _)| start <= last) {
                if let Some(at) = at.filter(|at| at < start) {
                    left.push((at, start - 1));
                }
                at = end.checked_add(1);
            }
            left.extend(at.filter(|at| at <= last).map(|at| (at, *last)));
        }
        Self(left)
    }
}

/// What is left of nested blocks, each without what lies inside it: of `outermost` first, then of each of `inner`, in order. Blocks
/// nest or are apart; `singles` belong to nobody here.
pub(super) fn leftovers(
    outermost: Span,
    inner: &[Span],
    singles: impl IntoIterator<Item = u128>,
) -> Vec<Spans> {
    let mut items: Vec<(Span, Option<usize>)> =
        inner.iter().enumerate().map(|(index, span)| (*span, Some(index + 1))).collect();
    items.extend(singles.into_iter().map(|at| ((at, at), None)));
    // Outer ones first; of equals, blocks before single addresses.
    items.sort_by_key(|((first, last), owner)| (*first, u128::MAX - last, owner.is_none(), *owner));
    let mut left = vec![Spans::default(); inner.len() + 1];
    let mut open = vec![(outermost.1, Some(0))];
    let mut at = Some(outermost.0);
    let close = |until: Option<u128>,
                 open: &mut Vec<(u128, Option<usize>)>,
                 at: &mut Option<u128>,
                 left: &mut [Spans]| {
        while let Some((last, owner)) =
            open.last().copied().filter(|(last, _)| until.is_none_or(|until| *last < until))
        {
            if let (Some(owner), Some(first)) = (owner, at.filter(|first| *first <= last)) {
                left[owner].0.push((first, last));
            }
            *at = at.and_then(|first| last.checked_add(1).map(|next| next.max(first)));
            open.pop();
        }
    };
    for ((first, last), owner) in items {
        close(Some(first), &mut open, &mut at, &mut left);
        if let (Some((_, Some(top))), Some(from)) = (open.last(), at.filter(|from| *from < first)) {
            left[*top].0.push((from, first - 1));
        }
        at = at.map(|from| from.max(first));
        open.push((last, owner));
    }
    close(None, &mut open, &mut at, &mut left);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(spans: &Spans) -> Vec<u128> {
        spans.0.iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    fn block() -> impl Strategy<Value = Span> {
        (0..6_u32, 0..32_u128).prop_map(|(bits, at)| {
            let first = at >> bits << bits;
            (first, first + (1 << bits) - 1)
        })
    }

    proptest! {
        #[test]
        fn sets_are_as_their_members(a in prop::collection::vec(block(), 0..5), b in prop::collection::vec(block(), 0..5)) {
            let (a, b) = (Spans::union(a), Spans::union(b));
            let (of_a, of_b) = (members(&a), members(&b));
            let only: Vec<_> = of_a.iter().copied().filter(|at| !of_b.contains(at)).collect();
            prop_assert_eq!(members(&a.without(&b)), only);
        }

        /// Each address belongs to the innermost block that holds it, and to none where it is single.
        #[test]
        fn leftovers_are_the_innermost(blocks in prop::collection::btree_set(block(), 0..6), singles in prop::collection::btree_set(0..64_u128, 0..8)) {
            let blocks: Vec<Span> = blocks.into_iter().collect();
            let left = leftovers((0, 63), &blocks, singles.iter().copied());
            for at in 0..64_u128 {
                let holders = blocks.iter().enumerate().filter(|(_, (first, last))| (*first..=*last).contains(&at));
                let innermost = holders.min_by_key(|(_, (first, last))| last - first).map_or(0, |(index, _)| index + 1);
                for (owner, spans) in left.iter().enumerate() {
                    let expected = owner == innermost && !singles.contains(&at);
                    prop_assert_eq!(members(spans).contains(&at), expected, "{} of {}", at, owner);
                }
            }
        }
    }

    #[test]
    fn the_last_address_of_all_is_no_overflow() {
        let all = (0, u128::MAX);
        let left = leftovers(all, &[(u128::MAX - 1, u128::MAX)], [u128::MAX]);
        assert_eq!(left, [Spans(vec![(0, u128::MAX - 2)]), Spans(vec![(u128::MAX - 1, u128::MAX - 1)])]);
        assert!(Spans(vec![all]).without(&Spans(vec![all])).is_empty());
    }
}
