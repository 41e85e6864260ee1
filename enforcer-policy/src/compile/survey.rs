//! What a compiled set knows of every endpoint and every rule, for comparing two of them.

use super::{Compiled, Known, State};
use crate::model::{Action, PolicyMode, SegmentMode, Tier, WorkloadMatch};
use enforcer_common::maps::kind;
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::IpAddr;

/// Where an endpoint stands with the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Standing {
    pub(crate) class: u32,
    pub(crate) coarse: u32,
    /// How strictly it is held; `None` without a hook.
    pub(crate) mode: Option<SegmentMode>,
    pub(crate) multicast: bool,
}

/// An identity's standing at each of its addresses; at none where it has none.
pub(crate) type Places = Vec<(Option<IpAddr>, Standing)>;

/// A rule's number, and its ranges of `protocol << 16 | port`, the last included.
pub(crate) type Ranged<'a> = (u32, &'a [(u32, u32)]);

/// What a rule does to what it matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Effect<'a> {
    tier: Tier,
    denies: bool,
    audited: bool,
    expires: Option<Timestamp>,
    ranges: &'a [(u32, u32)],
}

impl State {
    fn standing(&self, base: u32, by_address: u32, mode: Option<SegmentMode>) -> Option<Standing> {
        let signature = self.cells.known_signature(base, by_address)?;
        let (class, coarse) = self.classes.known(signature)?;
        Some(Standing { class, coarse, mode, multicast: false })
    }

    fn known(&self, known: &Known, mode: Option<SegmentMode>) -> Places {
        let at = |address: Option<IpAddr>| {
            let by_address = address.map_or(0, |address| self.cells.by_address(address));
            Some((address, self.standing(known.base.sides, by_address, mode)?))
        };
        if known.addresses.is_empty() {
            return at(None).into_iter().collect();
        }
        known.addresses.iter().filter_map(|address| at(Some(*address))).collect()
    }
}

impl Compiled {
    /// Every workload with its standing at each address, by name.
    pub(crate) fn standing_workloads(&self) -> Vec<(&str, Places)> {
        let mut modes = std::collections::HashMap::new();
        for plan in &self.subjects {
            // Containers are found where a source of them is configured, which the set doesn't say.
            if plan.matches.iter().any(WorkloadMatch::has_hook) {
                modes.insert(plan.workload.as_str(), plan.mode);
            }
        }
        let mut all: Vec<_> = self
            .state
            .workloads
            .iter()
            .map(|(name, known)| (name.as_str(), self.state.known(known, modes.get(name.as_str()).copied())))
            .collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// The host at each of its addresses.
    pub(crate) fn standing_host(&self) -> Vec<(IpAddr, Standing)> {
        let state = &self.state;
        let unclaimed = state.host.iter().filter(|address| !state.owners.contains_key(address));
        unclaimed
            .filter_map(|address| {
                Some((
                    *address,
                    state.standing(state.cells.host_base(), state.cells.by_address(*address), None)?,
                ))
            })
            .collect()
    }

    /// The blocks that groups and rules name.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = IpNet> {
        let cells = &self.state.cells;
        cells.regions4.regions.iter().chain(&cells.regions6.regions).map(|region| region.block)
    }

    /// Whose a block is (the group's name, or nothing for the world) and how it stands, less the blocks inside it.
    pub(crate) fn standing_block(&self, block: &IpNet, multicast: bool) -> (Option<&str>, Option<Standing>) {
        let state = &self.state;
        let region = state.cells.around_block(block);
        if multicast {
            let sides = region.filter(|region| region.multicast).map_or(0, |region| region.sides);
            let standing =
                state.standing(0, sides, None).map(|standing| Standing { multicast: true, ..standing });
            return (None, standing);
        }
        let Some(region) = region else { return (None, self.standing_world()) };
        match region.group {
            Some(group) => {
                let (identity, base) = state.cells.groups[group as usize];
                let name = self.identities.get(&identity).map(|info| info.name.as_str());
                (name, state.standing(base, region.sides, None))
            }
            None => (None, state.standing(state.cells.world_base(), region.sides, None)),
        }
    }

    /// The addresses that nothing names.
    pub(crate) fn standing_world(&self) -> Option<Standing> {
        let world = self.image.generation.world4;
        debug_assert_eq!(world.kind, kind::WORLD);
        Some(Standing { class: world.class, coarse: world.coarse, mode: None, multicast: false })
    }

    /// The sides that match an endpoint, in no order.
    pub(crate) fn sides(&self, standing: &Standing) -> impl Iterator<Item = u32> {
        let classes = [standing.class, standing.coarse].into_iter().filter(|class| *class != 0);
        classes.flat_map(|class| self.state.cells.lists.get(self.state.classes.sides(class)).iter().copied())
    }

    /// Rules with one `from` and one `to`: both sides, and what the rules do, sorted.
    pub(crate) fn effects(&self) -> Vec<(u32, u32, Vec<Effect<'_>>)> {
        self.state
            .links
            .links()
            .iter()
            .map(|link| {
                let mut effects: Vec<Effect<'_>> = link
                    .rules
                    .iter()
                    .filter_map(|index| {
                        let rule = self.state.answers.rule(*index);
                        let info = self.rule(rule.answer.rule())?;
                        Some(Effect {
                            tier: info.tier,
                            denies: info.action == Action::Deny,
                            audited: info.mode == PolicyMode::Audit,
                            expires: info.expires,
                            ranges: &rule.ranges,
                        })
                    })
                    .collect();
                effects.sort_unstable();
                (link.from, link.to, effects)
            })
            .collect()
    }

    /// Rules with one `from` and one `to`: both sides, and each rule.
    pub(crate) fn rules_by_sides(&self) -> impl Iterator<Item = (u32, u32, Vec<Ranged<'_>>)> {
        self.state.links.links().iter().map(|link| {
            let rules = link.rules.iter().map(|index| {
                let rule = self.state.answers.rule(*index);
                (rule.answer.rule(), &*rule.ranges)
            });
            (link.from, link.to, rules.collect())
        })
    }

    /// How many sides stand in rules.
    pub(crate) fn side_count(&self) -> usize {
        self.state.cells.sides.in_rules as usize
    }
}
