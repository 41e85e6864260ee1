//! A whole compile.

use super::answers::Rule;
use super::assemble::{Found, Tables};
use super::cells::{Cells, SegmentSide};
use super::classes::NARROW;
use super::error::fits;
use super::lists::Lists;
use super::names::{IdentityInfo, IdentityKind, RuleInfo, identity_key};
use super::ports::ranges;
use super::regions::Regions;
use super::rows::Link;
use super::sides::{self, Sides};
use super::{Clock, CompileError, Compiled, Inputs, Known, Numbers, State};
use crate::model::{Action, Entity, FlowEntry, FlowPolicy, PolicyMode, PolicySet, Selector, Tier};
use enforcer_common::Answer;
use enforcer_common::maps::{Subject, limits};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// Another cut between narrow and broad may fit where the usual one doesn't.
const OTHER_BREADTHS: [u32; 3] = [4 * NARROW, 32 * NARROW, NARROW / 4];

/// Compiles a policy set. `numbers` keeps what is compiled next consistent with this; on an error it is as before.
pub fn compile(inputs: &Inputs<'_>, numbers: &mut Numbers) -> Result<Compiled, CompileError> {
    compile_with_breadth(inputs, numbers, NARROW)
}

/// As [`compile`], with sides that more than `narrow` kinds of endpoints match taken as broad: small random sets have hardly any
/// broad side otherwise. What the tables answer must not depend on it.
pub fn compile_with_breadth(
    inputs: &Inputs<'_>,
    numbers: &mut Numbers,
    narrow: u32,
) -> Result<Compiled, CompileError> {
    let mut draft = numbers.clone();
    draft.begin();
    let compiled = whole(inputs, &mut draft, narrow)?;
    draft.finish();
    *numbers = draft;
    Ok(compiled)
}

fn whole(inputs: &Inputs<'_>, numbers: &mut Numbers, narrow: u32) -> Result<Compiled, CompileError> {
    let set = inputs.set;
    let live = live_rules(set, inputs.clock);
    fits("rules", live.len(), limits::RULES)?;
    let rules = rule_infos(&live, numbers)?;
    let (rule_table, rank_of) = ranked(&live, &rules, inputs.clock);

    let mut builder = sides::Builder::default();
    let links = links(&live, &rank_of, &mut builder);
    builder.segments();
    let segments: Vec<_> = set
        .segments
        .iter()
        .map(|segment| SegmentSide {
            side: builder.number(&segment.select),
            mode: segment.mode,
            on_deny: segment.on_deny,
            name: segment.name.clone(),
            names_host: segment.select.contains(&Selector::Entity(Entity::Host)),
        })
        .collect();
    let (mut sides, tests) = builder.finish();
    let reduced: Vec<_> = set
        .workloads
        .iter()
        .map(|workload| &workload.labels)
        .chain(set.groups.iter().map(|group| &group.labels))
        .map(|labels| sides.labels.reduce(labels))
        .collect();
    sides.labels.fill(tests, reduced.iter());
    drop(reduced);

    let mut lists = Lists::default();
    let regions4 = regions(set, &sides, &mut lists, true)?;
    let regions6 = regions(set, &sides, &mut lists, false)?;
    let mut cells = Cells::new(lists, sides, regions4, regions6);
    cells.segments = segments;
    cells.places = cells.places_of(inputs.host);
    fits("kinds of own addresses", cells.places.len(), Subject::PLACES)?;

    let (identities, host_identity) = identities(inputs, &mut cells, numbers)?;
    let (workloads, owners) = workloads(inputs, &mut cells, numbers)?;
    let found = Found::new(set, inputs.host, &workloads, &owners, host_identity, &mut cells)?;

    let tables = tables(&found, &mut cells, narrow, &links, &rule_table, &rules)?;
    let rule_index = (0..).zip(&rules).map(|(index, rule)| (rule.number, index)).collect();
    let mut state = State {
        cells,
        classes: tables.classes,
        links: tables.links,
        answers: tables.answers,
        default_mode: inputs.default_mode,
        host_identity,
        host: inputs.host.to_vec(),
        workloads,
        owners,
        named: tables.named,
        places_stale: false,
        quarantined: Default::default(),
        stale: false,
    };
    let subjects = set.workloads.iter().filter_map(|workload| state.plan(workload)).collect();
    let host = state.host_plan();
    Ok(Compiled { image: tables.image, subjects, host, rules, identities, rule_index, state })
}

/// The tables at the first breadth at which they fit; where they fit at none, why not at the usual one.
fn tables(
    found: &Found,
    cells: &mut Cells,
    narrow: u32,
    links: &[Link],
    rules: &[Rule],
    infos: &[RuleInfo],
) -> Result<Tables, CompileError> {
    let names: FxHashMap<u32, &RuleInfo> = infos.iter().map(|info| (info.number, info)).collect();
    let name = |number: u32| names.get(&number).map_or_else(String::new, |info| info.name());
    let usual = match found.tables(cells, narrow, links, rules, &name) {
        Err(error @ CompileError::Limit { .. }) => error,
        other => return other,
    };
    for narrow in OTHER_BREADTHS {
        if let Ok(tables) = found.tables(cells, narrow, links, rules, &name) {
            return Ok(tables);
        }
    }
    Err(usual)
}

/// A rule that hasn't expired, in reading order.
struct Live<'a> {
    policy: &'a FlowPolicy,
    index: usize,
    entry: &'a FlowEntry,
}

fn live_rules(set: &PolicySet, clock: Clock) -> Vec<Live<'_>> {
    set.policies
        .iter()
        .filter(|policy| policy.expires.is_none_or(|expires| clock.now < expires))
        .flat_map(|policy| (0..).zip(&policy.flows).map(move |(index, entry)| Live { policy, index, entry }))
        .collect()
}

fn rule_infos(live: &[Live<'_>], numbers: &mut Numbers) -> Result<Vec<RuleInfo>, CompileError> {
    live.iter()
        .map(|rule| {
            Ok(RuleInfo {
                number: numbers.rule(format!("{}#{}", rule.policy.name, rule.index))?,
                policy: rule.policy.name.clone(),
                index: rule.index,
                origin: rule.entry.origin.clone(),
                why: rule.entry.why.clone(),
                tier: rule.policy.tier,
                action: rule.entry.action,
                mode: rule.policy.mode,
                expires: rule.policy.expires,
            })
        })
        .collect()
}

/// The rules in deciding order, and the place of each (by reading order) in it.
fn ranked(live: &[Live<'_>], infos: &[RuleInfo], clock: Clock) -> (Vec<Rule>, Vec<u32>) {
    let mut order: Vec<u32> = (0..live.len() as u32).collect();
    order.sort_by_key(|index| {
        let info = &infos[*index as usize];
        (info.tier, info.action == Action::Allow, *index)
    });
    let mut rank_of = vec![0; live.len()];
    let mut rules = Vec::with_capacity(live.len());
    let mut in_tier: (Option<Tier>, u16) = (None, 0);
    for (rank, index) in (0..).zip(order) {
        let (rule, info) = (&live[index as usize], &infos[index as usize]);
        in_tier =
            if in_tier.0 == Some(info.tier) { (in_tier.0, in_tier.1 + 1) } else { (Some(info.tier), 0) };
        rank_of[index as usize] = rank;
        rules.push(Rule {
            answer: Answer::new(tier_code(info.tier), in_tier.1, info.action == Action::Allow, info.number),
            enforced: info.mode == PolicyMode::Enforce,
            deadline: deadline(info, clock),
            ranges: ranges(&rule.entry.ports),
        });
    }
    (rules, rank_of)
}

/// Tier of an [`Answer`]. 0 is left for what comes before every policy.
fn tier_code(tier: Tier) -> u8 {
    match tier {
        Tier::Guardrail => 1,
        Tier::Application => 2,
        Tier::Baseline => 3,
    }
}

fn deadline(rule: &RuleInfo, clock: Clock) -> u64 {
    rule.expires.map_or(u64::MAX, |expires| clock.boot_of(expires))
}

/// Rules with the same sides together, in order of their first rule.
fn links(live: &[Live<'_>], rank_of: &[u32], sides: &mut sides::Builder) -> Vec<Link> {
    let mut numbers: FxHashMap<(u32, u32), usize> = FxHashMap::default();
    let mut links: Vec<Link> = Vec::new();
    for (rule, rank) in live.iter().zip(rank_of) {
        let (from, to) = (sides.number(&rule.entry.from), sides.number(&rule.entry.to));
        let at = *numbers.entry((from, to)).or_insert_with(|| {
            links.push(Link { from, to, rules: Vec::new() });
            links.len() - 1
        });
        links[at].rules.push(*rank);
    }
    links.iter_mut().for_each(|link| link.rules.sort_unstable());
    links
}

fn regions(set: &PolicySet, sides: &Sides, lists: &mut Lists, v4: bool) -> Result<Regions, CompileError> {
    let groups = (0..)
        .zip(&set.groups)
        .flat_map(|(index, group)| group.cidrs.iter().map(move |block| (*block, index)));
    Regions::new(|block| block.addr().is_ipv4() == v4, groups, &sides.blocks, lists).map_err(
        |(block, a, b)| {
            let name = |group: u32| set.groups[group as usize].name.clone();
            CompileError::Block { block, first: name(a), second: name(b) }
        },
    )
}

fn identities(
    Inputs { set, clock, .. }: &Inputs<'_>,
    cells: &mut Cells,
    numbers: &mut Numbers,
) -> Result<(BTreeMap<u32, Arc<IdentityInfo>>, u32), CompileError> {
    let mut identities = BTreeMap::new();
    let documents = set
        .workloads
        .iter()
        .map(|workload| (IdentityKind::Workload, &workload.name, workload.labels_at(clock.now)));
    let groups = set.groups.iter();
    let documents =
        documents.chain(groups.map(|group| (IdentityKind::Group, &group.name, Cow::Borrowed(&group.labels))));
    for (kind, name, labels) in documents {
        let number = numbers.identity(identity_key(kind, name))?;
        if kind == IdentityKind::Group {
            let base = cells.base(&labels);
            cells.groups.push((number, base));
        }
        let info = IdentityInfo { number, kind, name: name.clone(), labels: labels.into_owned() };
        if identities.insert(number, Arc::new(info)).is_some() {
            let kind = if kind == IdentityKind::Workload { "Workload" } else { "AddressGroup" };
            return Err(CompileError::Name { kind, name: name.clone() });
        }
    }
    let (kind, name) = (IdentityKind::Host, "host".to_owned());
    let number = numbers.identity(identity_key(kind, &name))?;
    identities.insert(number, Arc::new(IdentityInfo { number, kind, name, labels: Default::default() }));
    Ok((identities, number))
}

type Workloads = (HashMap<String, Known>, HashMap<IpAddr, String>);

fn workloads(
    Inputs { set, clock, .. }: &Inputs<'_>,
    cells: &mut Cells,
    numbers: &mut Numbers,
) -> Result<Workloads, CompileError> {
    let mut known = HashMap::with_capacity(set.workloads.len());
    let mut owners: HashMap<IpAddr, String> = HashMap::with_capacity(set.workloads.len());
    for workload in &set.workloads {
        let identity = numbers.identity(identity_key(IdentityKind::Workload, &workload.name))?;
        let one = Known::new(identity, cells.base_of(workload, *clock), workload);
        for address in &one.addresses {
            if let Some(first) = owners.insert(*address, workload.name.clone()) {
                return Err(CompileError::Address {
                    address: *address,
                    first,
                    second: workload.name.clone(),
                });
            }
        }
        known.insert(workload.name.clone(), one);
    }
    Ok((known, owners))
}
