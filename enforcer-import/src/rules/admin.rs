//! What passes at one end, where administrators' ordered rules, NetworkPolicies and rules of last resort come together.

use crate::algebra::{Condition, Conjunction, PortSet, Rect, TooIntricate, Who, subtract_all, united};
use crate::inventory::labels;
use std::collections::{BTreeMap, BTreeSet};

/// What an ordered rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
    Pass,
}

/// A rule of a policy with a priority.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    /// The lower goes first; then in reading order.
    pub(super) priority: u32,
    pub(super) effect: Effect,
    /// What it matches.
    pub(super) rects: Vec<Rect>,
}

/// Everything about one end.
pub(super) struct Admin<'a> {
    pub(super) isolated: Vec<Conjunction>,
    pub(super) allowed: Vec<Rect>,
    pub(super) admin: Vec<Ordered>,
    pub(super) baseline: Vec<Ordered>,
    /// Every possible peer.
    pub(super) everyone: &'a [Who; 2],
    /// The rule that stands for what nobody restricts.
    pub(super) open: usize,
}

/// What comes of it.
pub(super) struct Found {
    pub(super) passes: Vec<Rect>,
    /// Denials that nothing goes before.
    pub(super) guardrails: Vec<Rect>,
}

/// `Err` is the rule whose remainder is too intricate.
pub(super) fn assemble(mut of: Admin<'_>) -> Result<Found, usize> {
    of.admin.sort_by_key(|rule| rule.priority);
    of.baseline.sort_by_key(|rule| rule.priority);
    let minus =
        |rect: &Rect, others: &[Rect]| subtract_all(rect.clone(), others).map_err(|TooIntricate| rect.rule);
    let (denied, guardrails) = denials(&of.admin)?;
    let mut passes = Vec::new();
    let mut before: Vec<Rect> = Vec::new();
    for rule in &of.admin {
        match rule.effect {
            Effect::Allow => {
                for rect in &rule.rects {
                    passes.extend(minus(rect, &before)?);
                }
            }
            Effect::Deny | Effect::Pass => before.extend(rule.rects.iter().cloned()),
        }
    }
    for rect in &of.allowed {
        passes.extend(minus(rect, &denied)?);
    }
    let (mut closed, _) = denials(&of.baseline)?;
    closed.extend(denied);
    for subject in open(&of.isolated).ok_or(of.open)? {
        for peer in of.everyone {
            let all = PortSet::all();
            let rect = Rect { subject: subject.clone(), peer: peer.clone(), ports: all, rule: of.open };
            passes.extend(minus(&rect, &closed)?);
        }
    }
    Ok(Found { passes, guardrails })
}

/// What ordered rules deny in the end, and those denials that no other rule goes before.
fn denials(rules: &[Ordered]) -> Result<(Vec<Rect>, Vec<Rect>), usize> {
    let (mut denied, mut first) = (Vec::new(), Vec::new());
    let mut before: Vec<Rect> = Vec::new();
    for rule in rules {
        if rule.effect != Effect::Deny {
            before.extend(rule.rects.iter().cloned());
            continue;
        }
        let mut whole = true;
        let mut rest = Vec::new();
        for rect in &rule.rects {
            let kept = subtract_all(rect.clone(), &before).map_err(|TooIntricate| rect.rule)?;
            whole &= kept == [rect.clone()];
            rest.extend(kept);
        }
        if whole {
            first.extend(rest.iter().cloned());
        }
        denied.extend(rest);
    }
    Ok((denied, first))
}

/// Alternatives for one namespace, more of which nobody would read.
const ALTERNATIVES: usize = 512;

/// Who isn't isolated: what fulfils none of these. `None` where that can't be said in reasonable length.
///
/// Each namespace is taken by itself, since a NetworkPolicy speaks for one.
fn open(isolated: &[Conjunction]) -> Option<Vec<Conjunction>> {
    let mut namespaces: BTreeMap<&str, BTreeSet<&Conjunction>> = BTreeMap::new();
    for selector in isolated {
        let names = selector.values(labels::NAMESPACE).into_iter().flatten();
        for name in names {
            namespaces.entry(name).or_default().insert(selector);
        }
    }
    let known = namespaces.keys().map(|name| (*name).to_owned()).collect();
    let mut open = vec![Conjunction::of(labels::NAMESPACE, Condition::Present(known))];
    for (name, selectors) in namespaces {
        open.extend(outside(Conjunction::of(labels::NAMESPACE, Condition::is(name)), &selectors)?);
    }
    let fewer = united(open.into_iter().map(|one| (one, Vec::<()>::new())).collect());
    Some(fewer.into_iter().map(|(one, _)| one).collect())
}

/// What of `whole` fulfils none of these.
fn outside(whole: Conjunction, selectors: &BTreeSet<&Conjunction>) -> Option<Vec<Conjunction>> {
    // A policy for all of its pods leaves none of a namespace: that is most of them.
    if selectors.iter().any(|selector| whole.implies(selector)) {
        return Some(Vec::new());
    }
    let mut open = vec![whole];
    for selector in selectors {
        let mut rest: Vec<Conjunction> = Vec::new();
        for piece in open.iter().flat_map(|piece| piece.without(selector)) {
            if !rest.iter().any(|other| piece.implies(other)) {
                rest.retain(|other| !other.implies(&piece));
                rest.push(piece);
            }
        }
        open = rest;
        if open.len() > ALTERNATIVES {
            return None;
        }
    }
    Some(open)
}
