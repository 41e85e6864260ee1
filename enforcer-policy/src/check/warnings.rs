//! What is allowed but probably not meant. Runs only on sets without errors.

use super::Placed;
use crate::diagnostic::{Diagnostic, did_you_mean, shown};
use crate::document::{Document, Mention, Side};
use crate::model::{Endpoint, LabelSelector, Labels, Operator, POSTURE, Selector};
use crate::source::Span;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

pub(super) fn check(documents: &[Placed<'_>], now: Timestamp, diagnostics: &mut Vec<Diagnostic>) {
    let identities = Identities::of(documents);
    let names: HashSet<&str> = documents
        .iter()
        .filter(|placed| matches!(placed.document(), Some(Document::Workload(_) | Document::AddressGroup(_))))
        .map(|placed| placed.name())
        .collect();
    // Comparisons left for selectors that no index narrows down; a set that exhausts it goes without the rest.
    let mut budget: usize = 5_000_000;
    for placed in documents {
        let Some(document) = placed.document() else { continue };
        for (mention, span) in placed.mentions() {
            let warning = match (mention, document) {
                (Mention::Expires, Document::FlowPolicy(policy)) => {
                    policy.expires.filter(|expires| *expires <= now).map(|_| expired(*placed, span))
                }
                (Mention::Selector { flow, side, index }, _) => selector(document, flow, side, index)
                    .filter(|selector| identities.selects_none(selector, &mut budget))
                    .map(|_| selects_none(*placed, span)),
                (Mention::Endpoint { case, side }, Document::FlowTest(test)) => {
                    let case = &test.cases[case];
                    let end = if side == Side::From { &case.from } else { &case.to };
                    match end {
                        Endpoint::Workload(name) if !names.contains(name.as_str()) => {
                            Some(unknown_workload(*placed, span, name, &names))
                        }
                        _ => None,
                    }
                }
                _ => None,
            };
            diagnostics.extend(warning);
        }
    }
}

fn expired(placed: Placed<'_>, span: Span) -> Diagnostic {
    let message = format!("the policy `{}` has expired: it matches nothing any more", placed.name());
    Diagnostic::warning(placed.source, span, message)
        .help("take the document away, or give it a later instant")
}

fn selects_none(placed: Placed<'_>, span: Span) -> Diagnostic {
    Diagnostic::warning(placed.source, span, "no Workload or AddressGroup of this set has these labels")
        .help("nothing to mend where such identities come from another source")
}

fn unknown_workload(placed: Placed<'_>, span: Span, name: &str, names: &HashSet<&str>) -> Diagnostic {
    let message = format!("no Workload or AddressGroup of this set is called `{}`", shown(name));
    let mut sorted: Vec<&str> = names.iter().copied().collect();
    sorted.sort_unstable();
    let help = match did_you_mean(name, sorted) {
        Some(near) => format!("the case fails; did you mean `{near}`?"),
        None => "the case fails; add the document, or name the end by `labels`".to_owned(),
    };
    Diagnostic::warning(placed.source, span, message).help(help)
}

fn selector(document: &Document, flow: usize, side: Side, index: usize) -> Option<&LabelSelector> {
    let selector = match (document, side) {
        (Document::FlowPolicy(policy), Side::From) => &policy.flows[flow].from[index],
        (Document::FlowPolicy(policy), Side::To) => &policy.flows[flow].to[index],
        (Document::Segment(segment), Side::Select) => &segment.select[index],
        _ => return None,
    };
    match selector {
        Selector::Labels(labels) => Some(labels),
        Selector::Cidr { .. } | Selector::Entity(_) => None,
    }
}

/// The labelled identities of the set, found by label.
struct Identities<'a> {
    all: Vec<&'a Labels>,
    by_label: HashMap<(&'a str, &'a str), Vec<u32>>,
}

impl<'a> Identities<'a> {
    fn of(documents: &[Placed<'a>]) -> Self {
        let all: Vec<&Labels> = documents
            .iter()
            .filter_map(|placed| match placed.document()? {
                Document::Workload(workload) => Some(&workload.labels),
                Document::AddressGroup(group) => Some(&group.labels),
                _ => None,
            })
            .collect();
        let mut by_label: HashMap<(&str, &str), Vec<u32>> = HashMap::new();
        for (number, labels) in (0u32..).zip(&all) {
            for (key, value) in *labels {
                by_label.entry((key, value)).or_default().push(number);
            }
        }
        Self { all, by_label }
    }

    /// Whether no identity fits. `false` where there are none at all, or where labels are wanted that no document gives: then they
    /// come from elsewhere.
    fn selects_none(&self, selector: &LabelSelector, budget: &mut usize) -> bool {
        let expressions = selector.expressions.iter().map(|expression| &expression.key);
        let attested = selector.labels.keys().chain(expressions).any(|key| key.starts_with(POSTURE));
        if self.all.is_empty() || attested {
            return false;
        }
        let candidates = self.candidates(selector);
        let count =
            candidates.as_ref().map_or(self.all.len(), |lists| lists.iter().map(|list| list.len()).sum());
        if count > *budget {
            return false;
        }
        *budget -= count;
        match candidates {
            None => !self.all.iter().any(|labels| selector.fits(labels)),
            Some(lists) => {
                !lists.iter().any(|list| list.iter().any(|at| selector.fits(self.all[*at as usize])))
            }
        }
    }

    fn list<'b>(&'b self, key: &'b str, value: &'b str) -> &'b [u32] {
        self.by_label.get(&(key, value)).map_or(&[], Vec::as_slice)
    }

    /// The shortest known lists of identities outside of which the selector cannot match.
    fn candidates<'b>(&'b self, selector: &'b LabelSelector) -> Option<Vec<&'b [u32]>> {
        let exact = selector.labels.iter().map(|(key, value)| vec![self.list(key, value)]);
        let among = selector.expressions.iter().filter_map(|expression| match &expression.operator {
            Operator::In(values) => {
                Some(values.iter().map(|value| self.list(&expression.key, value)).collect())
            }
            Operator::NotIn(_) | Operator::Exists(_) => None,
        });
        exact
            .chain(among)
            .min_by_key(|lists: &Vec<&[u32]>| lists.iter().map(|list| list.len()).sum::<usize>())
    }
}
