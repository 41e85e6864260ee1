//! What is known of the members: enough to say which of them a block of addresses holds.

use super::model::Model;
use crate::algebra::{Block, Condition, Conjunction, Who};
use crate::inventory::{Inventory, labels};
use enforcer_policy::model::{Labels, Selector};
use ipnet::IpNet;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// The members.
pub(super) struct Universe {
    /// Labels and addresses; `None` without an inventory.
    members: Option<Vec<(Labels, Vec<IpAddr>)>>,
    /// Labels of namespaces as pods carry them.
    namespaces: BTreeMap<String, Labels>,
    /// Blocks, and whether some member is there.
    held: RefCell<HashMap<Block, bool>>,
    /// No rule mentions IPv6: a block that holds all of IPv4 is taken to hold every member.
    only_v4: bool,
    /// Somebody asked for members by address, and nobody could say.
    pub(super) blind: bool,
}

/// What a block holds of some members.
enum Part {
    All,
    None,
    Some(Vec<IpAddr>),
}

impl Universe {
    pub(super) fn new(model: &Model, inventory: Option<&Inventory>) -> Self {
        let mut namespaces = BTreeMap::new();
        let members = inventory.map(|inventory| {
            for (name, own) in &inventory.namespaces {
                let mut carried: Labels =
                    own.iter().map(|(key, value)| (labels::of_namespace(key), value.clone())).collect();
                carried.insert(labels::NAMESPACE.to_owned(), name.clone());
                namespaces.insert(name.clone(), carried);
            }
            inventory
                .entries
                .iter()
                .filter(|entry| entry.is_identity())
                .map(|entry| (entry.labels.clone(), entry.addresses_at(None).collect::<Vec<_>>()))
                .filter(|(labels, at)| {
                    !at.is_empty() && model.members.iter().any(|member| member.fits(labels))
                })
                .collect()
        });
        Self { members, namespaces, held: RefCell::default(), only_v4: !model.v6, blind: false }
    }

    /// The same, without namespaces whose labels, as far as they are known, contradict it. `None` where that leaves nothing.
    pub(super) fn narrowed(&self, who: Who) -> Option<Who> {
        let Some(member) = &who.member else { return Some(who) };
        let prefix = labels::of_namespace("");
        let asked: Vec<(&str, &Condition)> =
            member.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
        if asked.is_empty() || self.namespaces.is_empty() {
            return Some(who);
        }
        let possible = |name: &&String| {
            self.namespaces.get(*name).is_none_or(|own| {
                asked.iter().all(|(key, condition)| condition.holds(own.get(*key).map(String::as_str)))
            })
        };
        let fewer =
            |names: &BTreeSet<String>| names.iter().filter(possible).cloned().collect::<BTreeSet<_>>();
        let condition = match member.get(labels::NAMESPACE) {
            Some(Condition::In(names)) => {
                let names = fewer(names);
                if names.is_empty() {
                    return None;
                }
                Condition::In(names)
            }
            // A name that is left out needs no mention where its namespace isn't meant anyway.
            Some(Condition::Present(names)) => Condition::Present(fewer(names)),
            _ => return Some(who),
        };
        Some(Who { member: Some(member.clone().asking(labels::NAMESPACE, condition)), block: who.block })
    }

    /// Whether this can name members: not where an inventory has none at its addresses.
    pub(super) fn some_at(&self, who: &Who) -> bool {
        let (Some(_), Some(block), Some(members)) = (&who.member, &who.block, &self.members) else {
            return true;
        };
        let some = || members.is_empty() || members.iter().flat_map(|(_, at)| at).any(|at| block.holds(*at));
        // Every namespace names the same few blocks.
        *self.held.borrow_mut().entry(block.clone()).or_insert_with(some)
    }

    /// The entries of `from` or `to` that mean this.
    pub(super) fn selectors(&mut self, who: &Who) -> Vec<Selector> {
        match (&who.member, &who.block) {
            (Some(member), None) => vec![member.selector()],
            (None, None) => vec![Selector::Entity(enforcer_policy::model::Entity::All)],
            (None, Some(block)) => vec![cidr(block)],
            (Some(member), Some(block)) => match self.part(member, block) {
                Part::All => vec![member.selector()],
                Part::None => Vec::new(),
                Part::Some(addresses) => {
                    let nets: Vec<IpNet> = addresses.into_iter().map(IpNet::from).collect();
                    vec![Selector::Cidr { cidrs: IpNet::aggregate(&nets), except: Vec::new() }]
                }
            },
        }
    }

    fn part(&mut self, member: &Conjunction, block: &Block) -> Part {
        let Some(members) = &self.members else {
            // Without an inventory members are taken to be where no rule's block is, short of a whole family.
            let whole = block.net().prefix_len() == 0 && self.only_v4;
            self.blind |= !(whole && block.is_whole_family());
            return if whole { Part::All } else { Part::None };
        };
        let fitting: Vec<IpAddr> = members
            .iter()
            .filter(|(labels, _)| member.fits(labels))
            .flat_map(|(_, at)| at)
            .copied()
            .collect();
        let mut held: Vec<IpAddr> = fitting.iter().filter(|at| block.holds(**at)).copied().collect();
        if held.is_empty() {
            // Nobody fits today: whoever comes will be where the others are.
            let everybody = fitting.is_empty() && !members.is_empty();
            let all = everybody && members.iter().all(|(_, at)| at.iter().all(|at| block.holds(*at)));
            return if all { Part::All } else { Part::None };
        }
        if held.len() == fitting.len() {
            return Part::All;
        }
        held.sort_unstable();
        held.dedup();
        Part::Some(held)
    }
}

fn cidr(block: &Block) -> Selector {
    Selector::Cidr { cidrs: vec![block.net()], except: block.except().iter().copied().collect() }
}
