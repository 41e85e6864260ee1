//! What connectivity changes from one compiled set to another: exact, by endpoints and port ranges, grouped for reading.

mod names;
mod points;
mod reach;
#[cfg(test)]
mod tests;

use crate::compile::ports::ranges;
use crate::compile::{Compiled, Standing};
use crate::diagnostic::{listed, shown};
use crate::model::{PortSpec, SegmentMode};
use points::{Point, points};
use reach::Stretch;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

pub use names::Names;
pub use reach::Reach;
pub(crate) use reach::{END, Reaches};

/// Pairs of endpoint classes that are compared at most: beyond, [`Difference::complete`] is `false`.
const PAIRS: usize = 4_000_000;

/// Flows that come out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Sources: names of workloads and groups, `host`, `world`, blocks. Sorted.
    pub from: Vec<String>,
    /// Destinations, likewise.
    pub to: Vec<String>,
    /// Ranges of `protocol << 16 | port`, the last included.
    pub ports: Vec<(u32, u32)>,
    /// What they were.
    pub before: Reach,
    /// What they become.
    pub after: Reach,
    /// The rule that decided before, as `policy#index`.
    pub rule_before: Option<String>,
    /// The rule that decides then.
    pub rule_after: Option<String>,
}

/// Everything that comes out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What changes: what is lost first.
    pub changes: Vec<Change>,
    /// Whether every pair was compared.
    pub complete: bool,
}

/// Compares at one instant of the boot-time clock. An endpoint that one of the sets doesn't have has no connectivity in it, or where
/// that set has no hook at all, nobody judges it; pairs without
/// a hook at either end are left out, for nobody judges them. `old` may be nothing.
pub fn connectivity(old: Option<&Compiled>, new: &Compiled, boot_ns: u64) -> Difference {
    let points = points(old, new);
    let (pairs, complete) = pairs(old, new, &points);
    let before = old.map(|old| Reaches::new(old, boot_ns));
    let after = Reaches::new(new, boot_ns);
    let mut found: BTreeMap<Kind, BTreeMap<u32, BTreeSet<u32>>> = BTreeMap::new();
    for (from, to) in pairs {
        let (a, b) = (&points[from as usize], &points[to as usize]);
        let was = before.as_ref().and_then(|old| old.between(a.old.as_ref()?, b.old.as_ref()?));
        let is = a.new.zip(b.new).and_then(|(a, b)| after.between(&a, &b));
        for (kind, ports) in compare(was.as_deref(), is.as_deref()) {
            found.entry(Kind { ports, ..kind }).or_default().entry(from).or_default().insert(to);
        }
    }
    let mut changes: Vec<Change> =
        found.iter().flat_map(|(kind, pairs)| grouped(kind, pairs, &points, old, new)).collect();
    // A set without hooks denies nothing, which is the first `apply` of all, and its rollback.
    let judges = |set: &Compiled| !set.subjects.is_empty();
    for change in &mut changes {
        if !old.is_some_and(judges) {
            change.before = Reach::Unjudged;
        }
        if !judges(new) {
            change.after = Reach::Unjudged;
        }
    }
    changes.sort_by(|a, b| (a.after, &a.from, &a.to, &a.ports).cmp(&(b.after, &b.from, &b.to, &b.ports)));
    Difference { changes, complete }
}

/// What is the same of a group of changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    before: Reach,
    after: Reach,
    rule_before: Option<u32>,
    rule_after: Option<u32>,
    ports: Vec<(u32, u32)>,
}

/// The pairs of points whose flows may come out differently, and whether that is all of them.
fn pairs(old: Option<&Compiled>, new: &Compiled, points: &[Point]) -> (BTreeSet<(u32, u32)>, bool) {
    let before = old.map(|old| Extents::new(old, points, |point| point.old));
    let after = Extents::new(new, points, |point| point.new);
    // Rules that do the same between the same points in both sets change nothing.
    let mut balance: HashMap<_, i64> = HashMap::new();
    for (extents, weight) in before.iter().map(|old| (old, -1)).chain([(&after, 1)]) {
        for link in &extents.links {
            *balance
                .entry((&extents.sides[link.0 as usize], &extents.sides[link.1 as usize], &link.2))
                .or_default() += weight;
        }
    }
    let mut pairs = BTreeSet::new();
    let add = |pairs: &mut BTreeSet<(u32, u32)>, from: u32, to: u32| {
        if points[from as usize].families & points[to as usize].families != 0 {
            pairs.insert((from, to));
        }
        pairs.len() < PAIRS
    };
    // The small ones first: where there are too many, it is the widest that are left out.
    let mut unlike: Vec<(&Vec<u32>, &Vec<u32>)> = balance
        .into_iter()
        .filter(|(_, balance)| *balance != 0)
        .map(|((from, to, _), _)| (from, to))
        .collect();
    unlike.sort_unstable_by_key(|(from, to)| (from.len() * to.len(), *from, *to));
    unlike.dedup();
    for (from, to) in unlike {
        for from in from {
            for to in to {
                if !add(&mut pairs, *from, *to) {
                    return (pairs, false);
                }
            }
        }
    }
    for (number, _) in (0..).zip(points).filter(|(_, point)| held_otherwise(point)) {
        for other in 0..points.len() as u32 {
            if !add(&mut pairs, number, other) || !add(&mut pairs, other, number) {
                return (pairs, false);
            }
        }
    }
    (pairs, true)
}

/// Whether an endpoint's hook changes by more than rules tell: where it comes or goes and is strict, the rules that name it tell.
fn held_otherwise(point: &Point) -> bool {
    let mode = |standing: Option<Standing>| standing.and_then(|standing| standing.mode);
    let loose = |standing: Option<Standing>| mode(standing).is_some_and(|mode| mode != SegmentMode::Enforce);
    let stays = point.old.is_some() && point.new.is_some();
    mode(point.old) != mode(point.new) && (stays || loose(point.old) || loose(point.new))
}

/// Which points each side and each link of a set touches.
struct Extents<'a> {
    /// By side.
    sides: Vec<Vec<u32>>,
    links: Vec<(u32, u32, Vec<crate::compile::Effect<'a>>)>,
}

impl<'a> Extents<'a> {
    fn new(compiled: &'a Compiled, points: &[Point], of: impl Fn(&Point) -> Option<Standing>) -> Self {
        let mut sides = vec![Vec::new(); compiled.side_count()];
        for (number, point) in (0..).zip(points) {
            if let Some(standing) = of(point) {
                compiled.sides(&standing).for_each(|side| sides[side as usize].push(number));
            }
        }
        Self { sides, links: compiled.effects() }
    }
}

/// The port ranges on which two outcomes differ, by how.
fn compare(was: Option<&[Stretch]>, is: Option<&[Stretch]>) -> Vec<(Kind, Vec<(u32, u32)>)> {
    let nothing: [Stretch; 1] = [(0, Reach::Denied, None)];
    // Nobody judges these flows in either set.
    if was.is_none() && is.is_none() {
        return Vec::new();
    }
    let (was, is) = (was.unwrap_or(&nothing), is.unwrap_or(&nothing));
    let mut starts: Vec<u32> = was.iter().chain(is).map(|(start, _, _)| *start).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut found: Vec<(Kind, Vec<(u32, u32)>)> = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let last = starts.get(at + 1).copied().unwrap_or(END) - 1;
        let here =
            |stretches: &[Stretch]| stretches[stretches.partition_point(|(first, _, _)| first <= start) - 1];
        let ((_, before, rule_before), (_, after, rule_after)) = (here(was), here(is));
        if before == after {
            continue;
        }
        let kind = Kind { before, after, rule_before, rule_after, ports: Vec::new() };
        match found.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, ports)) => match ports.last_mut() {
                Some(before) if before.1 + 1 == *start => before.1 = last,
                _ => ports.push((*start, last)),
            },
            None => found.push((kind, vec![(*start, last)])),
        }
    }
    found
}

/// The pairs of one kind of change as few rectangles: sources with the same destinations together.
fn grouped(
    kind: &Kind,
    pairs: &BTreeMap<u32, BTreeSet<u32>>,
    points: &[Point],
    old: Option<&Compiled>,
    new: &Compiled,
) -> Vec<Change> {
    let mut by_targets: FxHashMap<&BTreeSet<u32>, Vec<u32>> = FxHashMap::default();
    for (from, to) in pairs {
        by_targets.entry(to).or_default().push(*from);
    }
    let names = |numbers: &mut dyn Iterator<Item = u32>| -> Vec<String> {
        let names: BTreeSet<&String> = numbers.flat_map(|number| &points[number as usize].names).collect();
        names.into_iter().cloned().collect()
    };
    let rule = |set: Option<&Compiled>, number: Option<u32>| Some(set?.rule(number?)?.name());
    by_targets
        .into_iter()
        .map(|(to, from)| Change {
            from: names(&mut from.into_iter()),
            to: names(&mut to.iter().copied()),
            ports: kind.ports.clone(),
            before: kind.before,
            after: kind.after,
            rule_before: rule(old, kind.rule_before),
            rule_after: rule(Some(new), kind.rule_after),
        })
        .collect()
}

impl Change {
    /// Whether more passes than before.
    pub fn opens(&self) -> bool {
        self.after > self.before
    }

    /// The ports as people write them, at most `most` of them.
    pub fn ports_text(&self, most: usize) -> String {
        ports_text(&self.ports, most)
    }
}

/// Ranges of `protocol << 16 | port` as entries of `ports`, at most `most` of them.
pub fn ports_text(ports: &[(u32, u32)], most: usize) -> String {
    if ports == ranges(&[PortSpec::Any]) {
        return PortSpec::Any.to_string();
    }
    let mut texts = Vec::new();
    for (first, last) in ports {
        range_texts(*first, *last, &mut texts);
    }
    listed(&texts, most)
}

impl fmt::Display for Change {
    /// `+ web, checkout -> ledger  tcp/5432  denied -> allowed  (books#0)`, safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.opens() { '+' } else { '-' };
        let names = |names: &[String]| listed(&names.iter().map(|name| shown(name)).collect::<Vec<_>>(), 4);
        let ports = self.ports_text(6);
        let (from, to) = (names(&self.from), names(&self.to));
        write!(f, "{sign} {from} -> {to}  {ports}  {} -> {}", self.before.word(), self.after.word())?;
        let rules: Vec<String> = match (&self.rule_before, &self.rule_after) {
            (_, Some(after)) => vec![shown(after)],
            (Some(before), None) => vec![format!("was {}", shown(before))],
            (None, None) => vec![],
        };
        if rules.is_empty() { Ok(()) } else { write!(f, "  ({})", rules.join(", ")) }
    }
}

/// A range of `protocol << 16 | port` as entries of `ports`; several whole protocols as one text.
fn range_texts(first: u32, last: u32, texts: &mut Vec<String>) {
    let (from, to) = ((first >> 16) as u8, (last >> 16) as u8);
    if first == 0 && last == END - 1 {
        return texts.push("every protocol".to_owned());
    }
    let mut protocol = from;
    loop {
        let low = if protocol == from { first as u16 } else { 0 };
        let high = if protocol == to { last as u16 } else { u16::MAX };
        if (low, high) == (0, u16::MAX) {
            // Whole protocols that follow each other are told together.
            let whole_to = if last as u16 == u16::MAX { to } else { to - 1 };
            if whole_to > protocol {
                texts.push(format!("proto/{protocol}-{whole_to}"));
            } else {
                texts.push(PortSpec::Protocol(protocol).to_string());
            }
            protocol = whole_to;
        } else {
            texts.push(part_text(protocol, low, high));
        }
        if protocol == to {
            return;
        }
        protocol += 1;
    }
}

/// Part of a protocol's ports.
fn part_text(protocol: u8, low: u16, high: u16) -> String {
    match protocol {
        1 | 58 => {
            let ([kind, code], [last_kind, last_code]) = (low.to_be_bytes(), high.to_be_bytes());
            let icmp = |kind, code| PortSpec::Icmp { protocol, kind, code }.to_string();
            match (kind == last_kind, code, last_code) {
                (true, 0, u8::MAX) => icmp(kind, None),
                (true, code, last) if code == last => icmp(kind, Some(code)),
                (true, code, last) => format!("{}/{kind}/{code}-{last}", PortSpec::Protocol(protocol)),
                // A stretch of types has no name.
                (false, _, _) => format!("{}/{kind}-{last_kind}", PortSpec::Protocol(protocol)),
            }
        }
        6 | 17 | 132 => PortSpec::Ports { protocol, first: low, last: high }.to_string(),
        _ => PortSpec::Protocol(protocol).to_string(),
    }
}
