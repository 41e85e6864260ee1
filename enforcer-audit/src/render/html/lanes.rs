//! Bands of the map: identities of one namespace, tier or the like stand together, in a frame.

use super::graph::Graph;
use enforcer_policy::diagnostic::shown_within;
use std::collections::BTreeMap;

/// What the last word of a key may be for it to group identities; the likeliest first.
const KEYS: [&str; 12] = [
    "namespace",
    "tier",
    "zone",
    "layer",
    "part-of",
    "team",
    "env",
    "environment",
    "stage",
    "segment",
    "vpc",
    "project",
];
/// More frames than this make no picture.
const MOST: usize = 7;
/// Characters of a frame's title.
const TITLE: usize = 40;

/// Which band each node is in, from the top.
pub(super) struct Lanes {
    pub(super) of: Vec<usize>,
    /// Titles; none for the band of those that no frame holds.
    pub(super) titles: Vec<Option<String>>,
}

impl Lanes {
    /// By the label that groups best, where there is one.
    pub(super) fn of(graph: &Graph<'_>) -> Self {
        let best = KEYS.iter().find_map(|word| graph.keys().find_map(|key| values(graph, key, word)));
        let Some((key, values)) = best else {
            return Self { of: vec![0; graph.nodes.len()], titles: vec![None] };
        };
        // Band 0 is nobody's; the others are ordered so that lines are short.
        let numbers: BTreeMap<&str, usize> = values.iter().copied().zip(1..).collect();
        let band = |node: usize| {
            graph.nodes[node].identity.labels.get(key).map_or(0, |value| numbers[value.as_str()])
        };
        let count = values.len() + 1;
        let mut weights = vec![vec![0_usize; count]; count];
        for edge in &graph.edges {
            let (one, other) = (band(edge.from), band(edge.to));
            weights[one.min(other)][one.max(other)] += 1;
        }
        let order = shortest(&weights);
        let mut titles = vec![None; count];
        for (value, number) in &numbers {
            titles[order[*number]] = Some(shown_within(&format!("{key}={value}"), TITLE));
        }
        Self { of: (0..graph.nodes.len()).map(|node| order[band(node)]).collect(), titles }
    }
}

impl Graph<'_> {
    /// Keys of labels, ascending.
    fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.nodes.iter().flat_map(|node| node.identity.labels.keys());
        keys.map(String::as_str).collect::<std::collections::BTreeSet<_>>().into_iter()
    }
}

/// The values of a key, where it ends in `word` and groups: most identities have it, with few values, and one of them several times.
fn values<'a>(graph: &'a Graph<'_>, key: &'a str, word: &str) -> Option<(&'a str, Vec<&'a str>)> {
    if key.rsplit(['/', '.']).next() != Some(word) {
        return None;
    }
    let labelled = graph.nodes.iter().filter(|node| !node.identity.labels.is_empty());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut all, mut with) = (0, 0);
    for node in labelled {
        all += 1;
        if let Some(value) = node.identity.labels.get(key) {
            with += 1;
            *counts.entry(value).or_default() += 1;
        }
    }
    let groups =
        (2..=MOST).contains(&counts.len()) && with * 2 >= all && counts.values().any(|count| *count > 1);
    groups.then(|| (key, counts.into_keys().collect()))
}

/// The place of each band for which lines between bands are shortest in all, of every order. The first of equals is taken.
fn shortest(weights: &[Vec<usize>]) -> Vec<usize> {
    fn place(weights: &[Vec<usize>], at: &mut Vec<usize>, best: &mut (usize, Vec<usize>)) {
        let count = weights.len();
        if at.len() == count {
            let mut cost = 0;
            for one in 0..count {
                for other in one + 1..count {
                    cost += weights[one][other] * at[one].abs_diff(at[other]);
                }
            }
            if cost < best.0 {
                *best = (cost, at.clone());
            }
            return;
        }
        for place_of_next in 0..count {
            if !at.contains(&place_of_next) {
                at.push(place_of_next);
                place(weights, at, best);
                at.pop();
            }
        }
    }
    let mut best = (usize::MAX, (0..weights.len()).collect());
    place(weights, &mut Vec::new(), &mut best);
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_that_speak_with_each_other_stand_side_by_side() {
        // 0 with 2, 2 with 1: 2 stands between them.
        let weights = vec![vec![0, 0, 5], vec![0, 0, 5], vec![0, 0, 0]];
        assert_eq!(shortest(&weights), [0, 2, 1]);
        assert_eq!(shortest(&[vec![3]]), [0]);
    }
}
