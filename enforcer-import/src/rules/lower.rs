//! From rules of one end to rules of both.
//!
//! - In the tier `application`, what passes between members: each source's rule with each destination's, where they meet.
//! - In the tier `baseline`, what passes between members and everything else: each rule as it stands. A denial between
//!   members goes before it, so that what is allowed by address doesn't reach a member that its labels don't allow.

use super::Imported;
use super::model::{Model, Rule};
use super::reader::Findings;
use super::universe::Universe;
use crate::algebra::{PortSet, Rect, Who};
use crate::inventory::Inventory;
use crate::inventory::names::Names;
use enforcer_policy::diagnostic::{Diagnostic, shown};
use enforcer_policy::model::{Action, FlowEntry, FlowPolicy, Origin, PolicyMode, PortSpec, Selector, Tier};
use std::collections::{BTreeMap, BTreeSet};

/// Flows of one rule: sources, destinations, ports, and the rules of the other end that they need.
type Flow = (BTreeSet<Who>, BTreeSet<Who>, PortSet, BTreeSet<usize>);

/// Sources and other ends' rules, by rule, destination and ports.
type Gathered = BTreeMap<(usize, Who, PortSet), (BTreeSet<Who>, BTreeSet<usize>)>;

pub(super) fn lower(model: &Model, inventory: Option<&Inventory>, findings: Findings) -> Imported {
    let mut universe = Universe::new(model, inventory);
    let mut pairs = Gathered::new();
    let mut outside = Gathered::new();
    let put = |into: &mut Gathered, rule: usize, from: Who, to: Who, ports: PortSet, other: Option<usize>| {
        let (sources, others) = into.entry((rule, to, ports)).or_default();
        sources.insert(from);
        others.extend(other);
    };
    for inward in &model.ingress {
        if inward.peer.member.is_none() {
            let to = Who::member(inward.subject.clone());
            put(&mut outside, inward.rule, inward.peer.clone(), to, inward.ports.clone(), None);
            continue;
        }
        for outward in model.egress.iter().filter(|outward| outward.peer.member.is_some()) {
            if let Some((from, to, ports)) = meet(inward, outward, &universe) {
                put(&mut pairs, inward.rule, from, to, ports, Some(outward.rule));
            }
        }
    }
    for outward in model.egress.iter().filter(|outward| outward.peer.member.is_none()) {
        let from = Who::member(outward.subject.clone());
        put(&mut outside, outward.rule, from, outward.peer.clone(), outward.ports.clone(), None);
    }
    let mut documents = Documents {
        model,
        names: Names::default(),
        rare: false,
        blind: BTreeSet::new(),
        policies: Vec::new(),
    };
    documents.guardrails(&mut universe);
    documents.flows(merge(pairs), Tier::Application, "", &mut universe);
    if !outside.is_empty() {
        documents.wall();
        documents.flows(merge(outside), Tier::Baseline, ".outside", &mut universe);
    }
    let Documents { rare, blind, policies, .. } = documents;
    let Findings { mut losses, mut notes, .. } = findings;
    if rare {
        notes.push(
            "where ports are taken out of everything, protocols other than TCP, UDP, SCTP, ICMP and ICMPv6 \
             aren't allowed"
                .to_owned(),
        );
    }
    for rule in blind.into_iter().map(|index| &model.rules[index]) {
        let Some((source, span)) = &rule.at else { continue };
        let message = format!(
            "which {} the address blocks of this hold isn't known; they are taken to hold none",
            model.called
        );
        let loss = Diagnostic::warning(source, *span, message).help("give `--inventory`");
        if !losses.contains(&loss) {
            losses.push(loss);
        }
    }
    Imported { policies, losses, notes }
}

fn meet(inward: &Rect, outward: &Rect, universe: &Universe) -> Option<(Who, Who, PortSet)> {
    let meets = |who: &Who, subject| who.member.as_ref().is_some_and(|member| member.meets(subject));
    if !meets(&inward.peer, &outward.subject) || !meets(&outward.peer, &inward.subject) {
        return None;
    }
    let from = Who::member(outward.subject.clone()).and(&inward.peer)?;
    let to = Who::member(inward.subject.clone()).and(&outward.peer)?;
    let ports = inward.ports.and(&outward.ports);
    let possible = |who: &Who| who.member.as_ref().is_none_or(|member| universe.possible(member));
    (!ports.is_empty() && possible(&from) && possible(&to)).then_some((from, to, ports))
}

/// Puts flows together that differ in one thing only.
fn merge(gathered: Gathered) -> Vec<(usize, Flow)> {
    type ByPorts = BTreeMap<(usize, BTreeSet<Who>, Who), (PortSet, BTreeSet<usize>)>;
    type ByPlace = BTreeMap<(usize, BTreeSet<Who>, PortSet), (BTreeSet<Who>, BTreeSet<usize>)>;
    let mut by_ports = ByPorts::new();
    for ((rule, to, ports), (from, others)) in gathered {
        let (all, needed) = by_ports.entry((rule, narrowest(from), to)).or_default();
        *all = all.or(&ports);
        needed.extend(others);
    }
    let mut by_place = ByPlace::new();
    for ((rule, from, to), (ports, others)) in by_ports {
        let (places, needed) = by_place.entry((rule, from, ports)).or_default();
        places.insert(to);
        needed.extend(others);
    }
    let flow = |((rule, from, ports), (to, others))| (rule, (from, narrowest(to), ports, others));
    by_place.into_iter().map(flow).collect()
}

/// Without what lies in another entry.
fn narrowest(set: BTreeSet<Who>) -> BTreeSet<Who> {
    if set.len() > 256 {
        return set;
    }
    let kept = set.iter().filter(|who| !set.iter().any(|other| other != *who && who.implies(other)));
    kept.cloned().collect()
}

struct Documents<'m> {
    model: &'m Model,
    names: Names,
    rare: bool,
    /// Rules that mean members by address, where nobody could say which.
    blind: BTreeSet<usize>,
    policies: Vec<(Vec<String>, FlowPolicy)>,
}

impl Documents<'_> {
    fn policy(&mut self, name: &str, tier: Tier, comment: Vec<String>, flows: Vec<FlowEntry>) {
        if flows.is_empty() {
            return;
        }
        let name = self.names.give(name);
        let (mode, expires) = (PolicyMode::Enforce, None);
        self.policies.push((comment, FlowPolicy { name, origin: nowhere(), tier, mode, expires, flows }));
    }

    /// One document for each object of the source.
    fn flows(&mut self, flows: Vec<(usize, Flow)>, tier: Tier, suffix: &str, universe: &mut Universe) {
        let mut by_object: BTreeMap<(usize, &str), Vec<(usize, Flow)>> = BTreeMap::new();
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (rule, flow) in flows {
            let base = self.model.rules[rule].base.as_str();
            let at = *first.entry(base).or_insert(rule);
            by_object.entry((at, base)).or_default().push((rule, flow));
        }
        for ((_, base), flows) in by_object {
            let (mut entries, mut comment) = (Vec::new(), Vec::new());
            for (number, (from, to, ports, others)) in flows {
                let rule = &self.model.rules[number];
                let line = from_where(rule);
                if !comment.contains(&line) {
                    comment.push(line);
                }
                let selectors = |set: &BTreeSet<Who>, universe: &mut Universe| {
                    join(set.iter().flat_map(|who| universe.selectors(who)).collect())
                };
                let (from, to) = (selectors(&from, universe), selectors(&to, universe));
                if std::mem::take(&mut universe.blind) {
                    let said = |index: &usize| self.model.rules[*index].at.is_some();
                    self.blind.extend(others.iter().copied().chain([number]).filter(said));
                }
                let (ports, rare) = ports.specs();
                self.rare |= rare;
                if !from.is_empty() && !to.is_empty() && !ports.is_empty() {
                    let why = Some(self.why(rule, &others));
                    entries.push(FlowEntry {
                        origin: nowhere(),
                        action: Action::Allow,
                        from,
                        to,
                        ports,
                        why,
                    });
                }
            }
            self.policy(&format!("{base}{suffix}"), tier, comment, entries);
        }
    }

    fn why(&self, rule: &Rule, others: &BTreeSet<usize>) -> String {
        let mut why = match rule.words.as_deref() {
            Some(words) => format!("{} ({} {})", shown(words), rule.object, rule.part),
            None => format!("{} {}", rule.object, rule.part),
        };
        let other: BTreeSet<&str> = others
            .iter()
            .map(|index| &self.model.rules[*index])
            .filter(|other| !other.place.is_empty())
            .map(|other| other.object.as_str())
            .collect();
        if !other.is_empty() {
            let named: Vec<&str> = other.iter().take(3).copied().collect();
            why += &format!("; let out by {}", named.join(", "));
            if other.len() > 3 {
                why += &format!(" and {} more", other.len() - 3);
            }
        }
        why
    }

    /// Denials that no later document may lift.
    fn guardrails(&mut self, universe: &mut Universe) {
        let mut by_object: BTreeMap<&str, (Vec<String>, Vec<FlowEntry>)> = BTreeMap::new();
        for (rect, inward) in &self.model.guardrails {
            let rule = &self.model.rules[rect.rule];
            let subject = vec![rect.subject.selector()];
            let peer = universe.selectors(&rect.peer);
            // What a block holds beside, the same denial's outer half names.
            universe.blind = false;
            let (ports, _) = rect.ports.specs();
            if peer.is_empty() || ports.is_empty() {
                continue;
            }
            let (from, to) = if *inward { (peer, subject) } else { (subject, peer) };
            let (comment, entries) = by_object.entry(&rule.base).or_default();
            let line = from_where(rule);
            if !comment.contains(&line) {
                comment.push(line);
            }
            let why = Some(self.why(rule, &BTreeSet::new()));
            entries.push(FlowEntry { origin: nowhere(), action: Action::Deny, from, to, ports, why });
        }
        for (base, (comment, entries)) in by_object {
            self.policy(&format!("{base}.deny"), Tier::Guardrail, comment, entries);
        }
    }

    /// Members reach each other only by the documents above.
    fn wall(&mut self) {
        let members: Vec<Selector> = self.model.members.iter().map(|member| member.selector()).collect();
        let entry = FlowEntry {
            origin: nowhere(),
            action: Action::Deny,
            from: members.clone(),
            to: members,
            ports: vec![PortSpec::Any],
            why: Some(format!("between {} only what the tier above allows", self.model.called)),
        };
        let line = format!(
            "What is allowed by address below doesn't reach {} that nothing above allows.",
            self.model.called
        );
        let name = self.model.wall.clone();
        self.policy(&name, Tier::Baseline, vec![line], vec![entry]);
    }
}

/// Blocks without exceptions in one entry.
fn join(selectors: Vec<Selector>) -> Vec<Selector> {
    let mut joined: Vec<Selector> = Vec::new();
    let mut blocks = Vec::new();
    for selector in selectors {
        match selector {
            Selector::Cidr { cidrs, except } if except.is_empty() => blocks.extend(cidrs),
            other if joined.contains(&other) => {}
            other => joined.push(other),
        }
    }
    if !blocks.is_empty() {
        blocks.sort_unstable();
        blocks.dedup();
        joined.push(Selector::Cidr { cidrs: blocks, except: Vec::new() });
    }
    joined
}

fn from_where(rule: &Rule) -> String {
    if rule.place.is_empty() {
        format!("{}.", rule.object)
    } else {
        format!("From {}, {}.", rule.place, rule.object)
    }
}

fn nowhere() -> Origin {
    Origin { file: "import".into(), line: 1, column: 1 }
}
