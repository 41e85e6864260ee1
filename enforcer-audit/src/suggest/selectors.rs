//! The smallest selectors that mean exactly some of the identities that are known.

use crate::audit::Audit;
use enforcer_policy::document::is_label;
use enforcer_policy::model::{Expression, LabelSelector, Labels, Operator};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Labels of an identity that are tried in combination, the likeliest first.
const TRIED: usize = 12;

/// Everybody with labels.
#[derive(Default)]
pub(crate) struct Universe {
    all: Vec<Labels>,
    index: FxHashMap<Labels, u32>,
    /// Ascending, by key and value.
    carriers: FxHashMap<(String, String), Vec<u32>>,
}

type Pair<'a> = (&'a String, &'a String);

/// How much a combination of labels gains, what it costs, which labels it has, who carries them.
type Best = ((usize, u32), Vec<usize>, Vec<u32>);

/// How little a key says about what something is for. Keys that change with every roll-out come last.
fn strangeness(key: &str) -> u32 {
    let name = key.rsplit('/').next().unwrap_or(key);
    let fleeting = ["hash", "revision", "uid", "generation", "index", "pod-name", "instance-id", "version"];
    if fleeting.iter().any(|word| name.contains(word)) {
        return 100;
    }
    match name {
        "app" | "name" | "k8s-app" | "service" => 10,
        "role" | "component" | "tier" | "zone" => 11,
        _ => 12,
    }
}

impl Universe {
    /// Everybody with labels whom documents, inventory or recording name.
    pub(crate) fn of(audit: &Audit) -> Self {
        let set = &audit.ground.set;
        let workloads = set.workloads.iter().map(|workload| &workload.labels);
        let mut universe = Self::default();
        for labels in workloads.chain(set.groups.iter().map(|group| &group.labels)) {
            universe.add(labels);
        }
        universe
    }

    /// The number of an identity with these labels.
    pub(super) fn add(&mut self, labels: &Labels) -> u32 {
        if let Some(index) = self.index.get(labels) {
            return *index;
        }
        let index = self.all.len() as u32;
        self.index.insert(labels.clone(), index);
        self.all.push(labels.clone());
        for (key, value) in labels {
            self.carriers.entry((key.clone(), value.clone())).or_default().push(index);
        }
        index
    }

    pub(super) fn find(&self, labels: &Labels) -> Option<u32> {
        self.index.get(labels).copied()
    }

    /// The smallest selector that means these labels and nobody else's; `None` where labels can't tell.
    pub(crate) fn only(&self, labels: &Labels) -> Option<LabelSelector> {
        let identity = self.find(labels)?;
        self.cover(&[identity].into())?.pop()
    }

    /// How many identities there are.
    pub(super) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    pub(super) fn labels(&self, identity: u32) -> &Labels {
        &self.all[identity as usize]
    }

    /// Selectors that together mean exactly `wanted`, of everybody; `None` where labels can't tell.
    pub(super) fn cover(&self, wanted: &BTreeSet<u32>) -> Option<Vec<LabelSelector>> {
        self.cover_among(wanted, None)
    }

    /// The same, where only these are there.
    pub(super) fn cover_among(
        &self,
        wanted: &BTreeSet<u32>,
        among: Option<&BTreeSet<u32>>,
    ) -> Option<Vec<LabelSelector>> {
        let unwanted =
            |identity: &u32| !wanted.contains(identity) && among.is_none_or(|among| among.contains(identity));
        let mut left = wanted.clone();
        let mut chosen = Vec::new();
        while let Some(first) = left.first() {
            let (selector, carriers) = self.widest(*first, &unwanted, &left)?;
            left.retain(|identity| !carriers.contains(identity));
            chosen.push(selector);
        }
        Some(chosen)
    }

    /// Of the selectors that mean `identity` and nobody unwanted, the one that means most of `left`, then the smallest.
    fn widest(
        &self,
        identity: u32,
        unwanted: &impl Fn(&u32) -> bool,
        left: &BTreeSet<u32>,
    ) -> Option<(LabelSelector, Vec<u32>)> {
        let mut pairs: Vec<Pair<'_>> =
            self.labels(identity).iter().filter(|(key, value)| is_label(key, value)).collect();
        pairs.sort_by_key(|(key, _)| strangeness(key));
        let tried = pairs.len().min(TRIED);
        let lists: Vec<&[u32]> = pairs.iter().map(|pair| self.carriers_of(pair)).collect();
        let mut best: Option<Best> = None;
        let mut consider = |chosen: &[usize]| {
            let cost = chosen.iter().map(|at| 20 + strangeness(pairs[*at].0)).sum();
            // Nobody gains more than all.
            if best.as_ref().is_some_and(|((gained, least), ..)| *gained == left.len() && cost >= *least) {
                return;
            }
            let Some(carriers) = common(chosen.iter().map(|at| lists[*at]), unwanted) else { return };
            let gained = carriers.iter().filter(|carrier| left.contains(carrier)).count();
            // Combinations come in one order, so that the first of equals is always the same.
            let better = best
                .as_ref()
                .is_none_or(|((most, least), ..)| gained > *most || (gained == *most && cost < *least));
            if better {
                best = Some(((gained, cost), chosen.to_vec(), carriers));
            }
        };
        for a in 0..tried {
            consider(&[a]);
        }
        for a in 0..tried {
            for b in a + 1..tried {
                consider(&[a, b]);
                for c in b + 1..tried {
                    consider(&[a, b, c]);
                }
            }
        }
        if pairs.len() > 3 {
            consider(&(0..pairs.len()).collect::<Vec<_>>());
        }
        if let Some((_, chosen, carriers)) = best {
            let labels = chosen.iter().map(|at| (pairs[*at].0.clone(), pairs[*at].1.clone())).collect();
            return Some((LabelSelector { labels, expressions: Vec::new() }, carriers));
        }
        self.without_others(identity, &pairs, unwanted)
    }

    /// All of these labels, and none of the keys that only others have.
    fn without_others(
        &self,
        identity: u32,
        pairs: &[Pair<'_>],
        unwanted: &impl Fn(&u32) -> bool,
    ) -> Option<(LabelSelector, Vec<u32>)> {
        if pairs.is_empty() {
            return None;
        }
        let mut carriers =
            common(pairs.iter().map(|pair| self.carriers_of(pair)), &|_: &u32| false).unwrap_or_default();
        let mut expressions = Vec::new();
        while let Some(other) = carriers.iter().find(|carrier| unwanted(carrier)) {
            let own = self.labels(identity);
            let (key, _) =
                self.labels(*other).iter().find(|(key, _)| !own.contains_key(*key) && is_label(key, ""))?;
            // Who is wanted and has it as well is meant by another selector.
            carriers.retain(|carrier| !self.labels(*carrier).contains_key(key));
            expressions.push(Expression { key: key.clone(), operator: Operator::Exists(false) });
        }
        let labels = pairs.iter().map(|(key, value)| ((*key).clone(), (*value).clone())).collect();
        Some((LabelSelector { labels, expressions }, carriers))
    }

    fn carriers_of(&self, (key, value): &Pair<'_>) -> &[u32] {
        self.carriers.get(&((*key).clone(), (*value).clone())).map_or(&[][..], Vec::as_slice)
    }
}

/// Who is in all of the lists; `None` where somebody is who is unwanted.
fn common<'a>(lists: impl Iterator<Item = &'a [u32]>, unwanted: &impl Fn(&u32) -> bool) -> Option<Vec<u32>> {
    let mut lists: Vec<&[u32]> = lists.collect();
    lists.sort_by_key(|list| list.len());
    let (shortest, others) = lists.split_first()?;
    let mut common = Vec::new();
    for carrier in *shortest {
        if others.iter().all(|list| list.binary_search(carrier).is_ok()) {
            if unwanted(carrier) {
                return None;
            }
            common.push(*carrier);
        }
    }
    Some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',').map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
    }

    fn cover(universe: &[&str], wanted: &[u32]) -> Option<Vec<LabelSelector>> {
        let mut all = Universe::default();
        universe.iter().for_each(|text| {
            all.add(&labels(text));
        });
        all.cover(&wanted.iter().copied().collect())
    }

    fn plain(text: &str) -> LabelSelector {
        LabelSelector { labels: labels(text), expressions: Vec::new() }
    }

    #[test]
    fn the_smallest_labels_that_tell_are_taken() {
        let universe = ["app=web,env=prod", "app=db,env=prod", "app=web,env=dev", "app=db,env=dev"];
        assert_eq!(cover(&universe, &[0]), Some(vec![plain("app=web,env=prod")]));
        assert_eq!(cover(&universe, &[0, 2]), Some(vec![plain("app=web")]));
        assert_eq!(cover(&universe, &[0, 1]), Some(vec![plain("env=prod")]));
        assert_eq!(cover(&universe[..2], &[1]), Some(vec![plain("app=db")]));
        let apart = vec![plain("app=web,env=prod"), plain("app=db,env=dev")];
        assert_eq!(cover(&universe, &[0, 3]), Some(apart));
    }

    #[test]
    fn keys_that_do_not_last_are_the_last_resort() {
        let universe = ["app=web,env=prod,pod-template-hash=a", "app=web,env=dev,pod-template-hash=b"];
        assert_eq!(cover(&universe, &[0]), Some(vec![plain("env=prod")]));
        let universe = ["app=web,pod-template-hash=a", "app=web,pod-template-hash=b"];
        assert_eq!(cover(&universe, &[0]), Some(vec![plain("pod-template-hash=a")]));
    }

    #[test]
    fn who_has_all_labels_of_another_and_more_is_kept_out() {
        let selectors = cover(&["app=web", "app=web,canary=yes"], &[0]).unwrap();
        assert_eq!(selectors[0].labels, labels("app=web"));
        let absent = Expression { key: "canary".into(), operator: Operator::Exists(false) };
        assert_eq!(selectors[0].expressions, [absent]);
    }

    #[test]
    fn labels_that_no_document_can_carry_are_not_used() {
        assert_eq!(cover(&["a b=1,app=web", "app=db"], &[0]), Some(vec![plain("app=web")]));
        assert_eq!(cover(&["a b=1,app=web", "a b=2,app=web"], &[0]), None);
        assert_eq!(cover(&["a b=1"], &[0]), None);
    }
}
