//! The search for flows that a property forbids.

use super::nodes::{Node, Share, nodes};
use super::{Failure, Hop};
use crate::compile::ports::ranges;
use crate::compile::{Compiled, Standing};
use crate::diff::{END, Reach, Reaches};
use crate::model::{PolicySet, PortSpec, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// Pairs of kinds of ends that are compared at most for one property.
const PAIRS: usize = 4_000_000;

/// A set that properties are held against.
pub(super) struct Search<'a> {
    compiled: &'a Compiled,
    reaches: Reaches<'a>,
    nodes: Vec<Node<'a>>,
}

/// Ends that stand alike with the rules and with a property.
struct Kind {
    standing: Standing,
    families: u8,
    from: Share,
    to: Share,
    multicast: bool,
    /// One end at one address: it sends itself nothing that a hook sees.
    single: bool,
    names: BTreeSet<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(set: &'a PolicySet, compiled: &'a Compiled, boot_ns: u64) -> Self {
        Self { compiled, reaches: Reaches::new(compiled, boot_ns), nodes: nodes(set, compiled) }
    }

    fn kinds(&self, from: &[Selector], to: &[Selector]) -> Vec<Kind> {
        let mut kinds: BTreeMap<_, Kind> = BTreeMap::new();
        for node in &self.nodes {
            let (from, to, multicast) = (node.share(from), node.share(to), node.is_multicast());
            let kind = kinds.entry((node.standing, node.families, from, to, multicast));
            let (standing, families) = (node.standing, node.families);
            let kind = kind.and_modify(|kind| kind.single = false).or_insert_with(|| Kind {
                standing,
                families,
                from,
                to,
                multicast,
                single: node.is_single(),
                names: BTreeSet::new(),
            });
            kind.names.insert(node.name());
        }
        kinds.into_values().collect()
    }

    /// The first flow inside `ports` that passes; `None` where no hook judges the pair.
    fn first(&self, a: &Kind, b: &Kind, ports: &[(u32, u32)]) -> Option<Option<Hop>> {
        let stretches = self.reaches.between(&a.standing, &b.standing)?;
        for (at, (start, reach, rule)) in stretches.iter().enumerate() {
            if *reach < Reach::Audited {
                continue;
            }
            let last = stretches.get(at + 1).map_or(END, |(next, _, _)| *next) - 1;
            for (first, to) in ports {
                let (from, to) = ((*start).max(*first), last.min(*to));
                if from <= to {
                    let rule = rule.and_then(|number| self.compiled.rule(number)).cloned();
                    let names = |kind: &Kind| kind.names.iter().cloned().collect();
                    return Some(Some(Hop {
                        from: names(a),
                        to: names(b),
                        ports: (from, to),
                        reach: *reach,
                        rule,
                    }));
                }
            }
        }
        Some(None)
    }

    pub(super) fn only(&self, to: &[Selector], port: PortSpec, from: &[Selector]) -> Option<Failure> {
        let kinds = self.kinds(from, to);
        if kinds.iter().all(|kind| kind.to == Share::None) {
            return Some(Failure::Nobody("to"));
        }
        let ports = ranges(&[port]);
        let (mut judged, mut compared) = (false, 0);
        for target in kinds.iter().filter(|kind| kind.to != Share::None) {
            // Of a block that `from` names in part, the rest isn't named.
            for source in kinds.iter().filter(|kind| !kind.multicast) {
                let itself = std::ptr::eq(source, target) && target.single;
                if source.families & target.families == 0 || itself {
                    continue;
                }
                compared += 1;
                if compared > PAIRS {
                    return Some(Failure::TooLarge);
                }
                let Some(hop) = self.first(source, target, &ports) else { continue };
                judged = true;
                if let Some(hop) = hop.filter(|_| source.from != Share::All) {
                    return Some(Failure::Path(vec![hop]));
                }
            }
        }
        (!judged).then_some(Failure::Unjudged)
    }

    pub(super) fn unreachable(
        &self,
        from: &[Selector],
        to: &[Selector],
        within: u32,
        ports: &[PortSpec],
    ) -> Option<Failure> {
        let kinds = self.kinds(from, to);
        for (word, nobody) in [
            ("from", kinds.iter().all(|kind| kind.from == Share::None)),
            ("to", kinds.iter().all(|kind| kind.to == Share::None)),
        ] {
            if nobody {
                return Some(Failure::Nobody(word));
            }
        }
        let ports = ranges(ports);
        // Breadth first, so that the chain that is told is a shortest one.
        let mut came: Vec<Option<(Option<usize>, Hop)>> = kinds.iter().map(|_| None).collect();
        let mut frontier: Vec<(usize, bool)> =
            (0..kinds.len()).filter(|at| kinds[*at].from != Share::None).map(|at| (at, true)).collect();
        let (mut judged, mut compared, mut hops) = (false, 0, 0);
        while !frontier.is_empty() && hops < within {
            hops += 1;
            let mut next = Vec::new();
            for (at, begins) in frontier {
                let a = &kinds[at];
                if a.multicast {
                    continue;
                }
                for (other, b) in kinds.iter().enumerate() {
                    if came[other].is_some() || a.families & b.families == 0 || (at == other && a.single) {
                        continue;
                    }
                    compared += 1;
                    if compared > PAIRS {
                        return Some(Failure::TooLarge);
                    }
                    let Some(hop) = self.first(a, b, &ports) else { continue };
                    judged = true;
                    let Some(hop) = hop else { continue };
                    came[other] = Some(((!begins).then_some(at), hop));
                    if b.to != Share::None {
                        return Some(Failure::Path(chain(other, &came)));
                    }
                    // Where it begins, everything that leads on from it is known already.
                    if b.from == Share::None {
                        next.push((other, false));
                    }
                }
            }
            frontier = next;
        }
        (!judged).then_some(Failure::Unjudged)
    }
}

/// The flows that led to a kind, in order.
fn chain(last: usize, came: &[Option<(Option<usize>, Hop)>]) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut at = Some(last);
    while let Some((before, hop)) = at.and_then(|at| came[at].as_ref()) {
        hops.push(hop.clone());
        at = *before;
    }
    hops.reverse();
    hops
}
