//! From rules of one end to rules of both.
//!
//! - In the tier `application`, what passes between members: each source's rule with each destination's, where they meet.
//! - In the tier `baseline`, what passes between members and everything else: each rule as it stands. A denial between
//!   members goes before it, so that what is allowed by address doesn't reach a member that its labels don't allow.

use super::Imported;
use super::model::{Model, Rule};
use super::pairs::{Flow, Gathered, Pairs, merge, pairs};
use super::reader::Findings;
use super::universe::Universe;
use crate::algebra::{PortSet, Who};
use crate::inventory::Inventory;
use crate::inventory::names::Names;
use enforcer_policy::diagnostic::{Diagnostic, shown};
use enforcer_policy::model::{Action, FlowEntry, FlowPolicy, Origin, PolicyMode, PortSpec, Selector, Tier};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn lower(model: &Model, inventory: Option<&Inventory>, findings: Findings) -> Imported {
    let mut universe = Universe::new(model, inventory);
    let Pairs { gathered, cut } = pairs(model, &universe);
    let mut outside = Gathered::new();
    let mut put = |rule: usize, from: Who, to: Who, ports: &PortSet| {
        outside.entry((rule, to, ports.clone())).or_default().0.insert(from);
    };
    for inward in model.ingress.iter().filter(|inward| inward.peer.member.is_none()) {
        put(inward.rule, inward.peer.clone(), Who::member(inward.subject.clone()), &inward.ports);
    }
    for outward in model.egress.iter().filter(|outward| outward.peer.member.is_none()) {
        put(outward.rule, Who::member(outward.subject.clone()), outward.peer.clone(), &outward.ports);
    }
    let mut documents = Documents {
        model,
        names: Names::default(),
        rare: false,
        blind: BTreeSet::new(),
        policies: Vec::new(),
    };
    documents.guardrails(&mut universe);
    documents.flows(merge(gathered), Tier::Application, "", &mut universe);
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
    let unseen = format!(
        "which {} the address blocks of this hold isn't known; they are taken to hold none",
        model.called
    );
    let cut_off = "this meets more rules of the other end than can be written down: part of what both allow isn't carried over";
    let told = [
        (blind, unseen.as_str(), "give `--inventory`"),
        (
            cut,
            cut_off,
            "import fewer policies at a time, or say the same in the same words in every namespace",
        ),
    ];
    for (rules, message, help) in told {
        let mut places = BTreeSet::new();
        for (source, span) in rules.into_iter().filter_map(|index| model.rules[index].at.as_ref()) {
            if places.insert((source.name.clone(), span.start)) {
                losses.push(Diagnostic::warning(source, *span, message).help(help));
            }
        }
    }
    Imported { policies, losses, notes }
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
