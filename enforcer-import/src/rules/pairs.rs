//! What passes between members: each destination's rule with each source's, where they meet.
//!
//! Sources' rules that say the same in other namespaces are one here, and only those are tried that can meet: the work is near linear in the
//! rules of a cluster whose namespaces mostly keep to themselves. Where everybody names everybody in other words, it is the product,
//! which is cut off: what isn't carried over then is said.

use super::model::Model;
use super::universe::Universe;
use crate::algebra::{Conjunction, PortSet, Rect, Who, united};
use crate::inventory::labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Flows of one rule: sources, destinations, ports, and the rules of the other end that they need.
pub(super) type Flow = (BTreeSet<Who>, BTreeSet<Who>, PortSet, BTreeSet<usize>);

/// Sources and other ends' rules, by rule, destination and ports.
pub(super) type Gathered = BTreeMap<(usize, Who, PortSet), (BTreeSet<Who>, BTreeSet<usize>)>;

/// More pairs of a destination's rule with a source's than anybody would read, or a compiler take.
const PAIRS: usize = 50_000;
/// More of the other end's rules aren't looked up for one pair.
const NAMED: usize = 16;

/// Everything that passes between members.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) gathered: Gathered,
    /// Rules that meet more rules than can be written.
    pub(super) cut: BTreeSet<usize>,
}

/// Subjects of rules that say the same of others, each with its namespace and its rule.
type Alike<'m> = (&'m Rect, Vec<(Conjunction, Vec<(Option<String>, usize)>)>);

/// Rules of sources that say the same, as one.
struct Outward {
    subject: Conjunction,
    peer: Who,
    ports: PortSet,
    /// By namespace; those of no one namespace under none.
    rules: BTreeMap<Option<String>, BTreeSet<usize>>,
}

/// Which of them name a namespace at one end, and which any or many.
#[derive(Default)]
struct Index {
    of: HashMap<String, Vec<usize>>,
    any: Vec<usize>,
}

impl Index {
    fn put(&mut self, member: &Conjunction, place: usize) {
        match member.values(labels::NAMESPACE) {
            Some(names) => names.iter().for_each(|name| self.of.entry(name.clone()).or_default().push(place)),
            None => self.any.push(place),
        }
    }

    /// Those that can meet this; nothing where all can.
    fn near(&self, member: &Conjunction) -> Option<Vec<usize>> {
        let names = member.values(labels::NAMESPACE)?;
        let mut near = self.any.clone();
        near.extend(names.iter().filter_map(|name| self.of.get(name)).flatten());
        near.sort_unstable();
        near.dedup();
        Some(near)
    }
}

pub(super) fn pairs(model: &Model, universe: &Universe) -> Pairs {
    let outwards = outwards(model, universe);
    let (mut by_subject, mut by_peer) = (Index::default(), Index::default());
    for (place, outward) in outwards.iter().enumerate() {
        by_subject.put(&outward.subject, place);
        by_peer.put(outward.peer.member.as_ref().unwrap_or(&Conjunction::default()), place);
    }
    let everything: Vec<usize> = (0..outwards.len()).collect();
    let mut pairs = Pairs::default();
    let mut count = 0;
    for inward in model.ingress.iter().filter(|inward| universe.some_at(&inward.peer)) {
        let Some(peer) = &inward.peer.member else { continue };
        let near = [by_subject.near(peer), by_peer.near(&inward.subject)];
        let near = near.into_iter().flatten().min_by_key(Vec::len);
        for outward in near.as_ref().unwrap_or(&everything).iter().map(|place| &outwards[*place]) {
            let Some((from, to, ports)) = meet(inward, outward, universe) else { continue };
            count += 1;
            if count > PAIRS {
                pairs.cut.extend([inward.rule]);
                pairs.cut.extend(outward.rules.values().flatten().take(1));
                break;
            }
            let rules = outward.rules_of(from.member.as_ref());
            let (sources, others) = pairs.gathered.entry((inward.rule, to, ports)).or_default();
            sources.insert(from);
            others.extend(rules);
        }
    }
    pairs
}

/// What sources let out to members, in as few rules as say the same.
fn outwards(model: &Model, universe: &Universe) -> Vec<Outward> {
    let mut places: HashMap<(&Who, &PortSet), usize> = HashMap::new();
    let mut groups: Vec<Alike<'_>> = Vec::new();
    let to_members = |rect: &&Rect| rect.peer.member.is_some() && universe.some_at(&rect.peer);
    for rect in model.egress.iter().filter(to_members) {
        let place = *places.entry((&rect.peer, &rect.ports)).or_insert_with(|| {
            groups.push((rect, Vec::new()));
            groups.len() - 1
        });
        let names = rect.subject.values(labels::NAMESPACE).filter(|names| names.len() == 1);
        let name = names.and_then(BTreeSet::first).cloned();
        groups[place].1.push((rect.subject.clone(), vec![(name, rect.rule)]));
    }
    let mut outwards = Vec::new();
    for (first, subjects) in groups {
        for (subject, tags) in united(subjects) {
            let mut rules: BTreeMap<Option<String>, BTreeSet<usize>> = BTreeMap::new();
            for (name, rule) in tags {
                rules.entry(name).or_default().insert(rule);
            }
            let (peer, ports) = (first.peer.clone(), first.ports.clone());
            outwards.push(Outward { subject, peer, ports, rules });
        }
    }
    outwards
}

impl Outward {
    /// The rules that let these sources out.
    fn rules_of(&self, from: Option<&Conjunction>) -> BTreeSet<usize> {
        let names = from.and_then(|from| from.values(labels::NAMESPACE));
        match names.filter(|names| names.len() <= NAMED) {
            Some(names) => {
                let own = names.iter().filter_map(|name| self.rules.get(&Some(name.clone())));
                own.chain(self.rules.get(&None)).flatten().copied().collect()
            }
            None => self.rules.values().flatten().copied().collect(),
        }
    }
}

fn meet(inward: &Rect, outward: &Outward, universe: &Universe) -> Option<(Who, Who, PortSet)> {
    let meets = |who: &Who, subject| who.member.as_ref().is_some_and(|member| member.meets(subject));
    if !meets(&inward.peer, &outward.subject) || !meets(&outward.peer, &inward.subject) {
        return None;
    }
    let ports = inward.ports.and(&outward.ports);
    if ports.is_empty() {
        return None;
    }
    let from = Who::member(outward.subject.clone()).and(&inward.peer)?;
    let to = Who::member(inward.subject.clone()).and(&outward.peer)?;
    Some((universe.narrowed(from)?, universe.narrowed(to)?, ports))
}

/// Puts flows together that differ in one thing only.
pub(super) fn merge(gathered: Gathered) -> Vec<(usize, Flow)> {
    type ByPorts = BTreeMap<(usize, BTreeSet<Who>, Who), (PortSet, BTreeSet<usize>)>;
    type ByPlace = BTreeMap<(usize, BTreeSet<Who>, PortSet), (BTreeSet<Who>, BTreeSet<usize>)>;
    let mut by_ports = ByPorts::new();
    for ((rule, to, ports), (from, others)) in gathered {
        let (all, needed) = by_ports.entry((rule, fewest(from), to)).or_default();
        *all = all.or(&ports);
        needed.extend(others);
    }
    let mut by_place = ByPlace::new();
    for ((rule, from, to), (ports, others)) in by_ports {
        let (places, needed) = by_place.entry((rule, from, ports)).or_default();
        places.insert(to);
        needed.extend(others);
    }
    let flow = |((rule, from, ports), (to, others))| (rule, (from, fewest(to), ports, others));
    by_place.into_iter().map(flow).collect()
}

/// The same ends in fewer entries, without what lies in another.
fn fewest(set: BTreeSet<Who>) -> BTreeSet<Who> {
    if set.len() < 2 {
        return set;
    }
    let mut members: BTreeMap<_, Vec<(Conjunction, Vec<()>)>> = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for who in set {
        match who.member {
            Some(member) => members.entry(who.block).or_default().push((member, Vec::new())),
            None => drop(kept.insert(who)),
        }
    }
    for (block, members) in members {
        kept.extend(
            united(members).into_iter().map(|(member, _)| Who { member: Some(member), block: block.clone() }),
        );
    }
    if kept.len() > 64 {
        return kept;
    }
    kept.iter().filter(|who| !kept.iter().any(|other| other != *who && who.implies(other))).cloned().collect()
}
