//! Rows of the pair table: which rules meet on which classes.

use super::answers::{Answers, Name};
use super::classes::{Classes, used};
use super::error::CompileError;
use super::lists::Lists;
use enforcer_common::answer::PortSet;
use enforcer_common::maps::{Direction, Generation, PairKey, limits};
use rustc_hash::FxHashMap;

/// Rules with one `from` and one `to`.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Indexes of its rules, ascending.
    pub(super) rules: Vec<u32>,
}

/// All links, by either end, and the port sets made of them so far.
#[derive(Clone, Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    /// Links by `from` side.
    leaving: Vec<Vec<u32>>,
    /// Links by `to` side.
    reaching: Vec<Vec<u32>>,
    /// By list of links.
    sets: FxHashMap<Box<[u32]>, PortSet>,
}

/// Which end of a pair the class in hand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

/// Work beyond which a set isn't tried: (class, class, link) triples. Some 40 times what a full pair table needs.
const TRIPLES: u64 = 1 << 28;

impl Links {
    pub(super) fn new(links: Vec<Link>, sides: u32) -> Self {
        let mut leaving = vec![Vec::new(); sides as usize];
        let mut reaching = vec![Vec::new(); sides as usize];
        for (number, link) in (0..).zip(&links) {
            leaving[link.from as usize].push(number);
            reaching[link.to as usize].push(number);
        }
        Self { links, leaving, reaching, sets: FxHashMap::default() }
    }

    /// All links.
    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Every row, for classes as they are now.
    pub(super) fn all(
        &mut self,
        classes: &Classes,
        lists: &Lists,
        answers: &mut Answers,
        name: Name<'_>,
    ) -> Result<Vec<(PairKey, PortSet)>, CompileError> {
        let members = |side: u32| classes.members(side).len() as u64;
        let triples = self.links.iter().map(|link| members(link.from) * members(link.to)).sum::<u64>();
        if triples > TRIPLES {
            return Err(too_many(triples));
        }
        let (mut rows, mut found, mut count) = (Vec::new(), Vec::new(), 0);
        for from in classes.numbers().filter(|class| classes.uses(*class) & used::UNICAST != 0) {
            self.others(End::From, from, classes, lists, &mut found);
            self.each(&found, answers, name, |to, set| {
                for key in keys(from, classes.uses(from), to, classes.uses(to)).into_iter().flatten() {
                    count += 1;
                    // Beyond the limit rows are counted only, for the figure in the message.
                    if count <= limits::PAIRS as usize {
                        rows.push((key, set));
                    }
                }
            })?;
        }
        if count > limits::PAIRS as usize {
            return Err(too_many(count as u64));
        }
        Ok(rows)
    }

    /// The rows that weren't there before the classes of `changed` had more uses than those noted with them.
    pub(super) fn added(
        &mut self,
        changed: &FxHashMap<u32, u8>,
        classes: &Classes,
        lists: &Lists,
        answers: &mut Answers,
        name: Name<'_>,
    ) -> Result<Vec<(PairKey, PortSet)>, CompileError> {
        let mut rows = Vec::new();
        let mut found = Vec::new();
        let before = |class: u32| changed.get(&class).copied().unwrap_or_else(|| classes.uses(class));
        let mut ordered: Vec<u32> = changed.keys().copied().collect();
        ordered.sort_unstable();
        for class in ordered {
            for end in [End::From, End::To] {
                self.others(end, class, classes, lists, &mut found);
                self.each(&found, answers, name, |other, set| {
                    let (from, to) = if end == End::From { (class, other) } else { (other, class) };
                    // A pair of two changed classes is met twice: at its `from` it is taken.
                    if end == End::To && changed.contains_key(&other) {
                        return;
                    }
                    let old = keys(from, before(from), to, before(to));
                    let new = keys(from, classes.uses(from), to, classes.uses(to));
                    for (old, new) in old.into_iter().zip(new) {
                        if let (None, Some(key)) = (old, new) {
                            rows.push((key, set));
                        }
                    }
                })?;
            }
        }
        Ok(rows)
    }

    /// The classes at the other end of `class`' links, each with the link, sorted: `class << 32 | link`.
    fn others(&self, end: End, class: u32, classes: &Classes, lists: &Lists, found: &mut Vec<u64>) {
        found.clear();
        let mine = classes.uses(class);
        for side in lists.get(classes.sides(class)) {
            let links = match end {
                End::From => &self.leaving[*side as usize],
                End::To => &self.reaching[*side as usize],
            };
            for number in links {
                let link = &self.links[*number as usize];
                let other = if end == End::From { link.to } else { link.from };
                for member in classes.members(other) {
                    let theirs = classes.uses(*member);
                    let (from, to) = if end == End::From { (mine, theirs) } else { (theirs, mine) };
                    if judged(from, to) != (false, false) {
                        found.push(u64::from(*member) << 32 | u64::from(*number));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
    }

    /// Calls `row` for each class of `found` with the port set of its links.
    fn each(
        &mut self,
        found: &[u64],
        answers: &mut Answers,
        name: Name<'_>,
        mut row: impl FnMut(u32, PortSet),
    ) -> Result<(), CompileError> {
        let mut links: Vec<u32> = Vec::new();
        for same in found.chunk_by(|a, b| a >> 32 == b >> 32) {
            links.clear();
            links.extend(same.iter().map(|pair| *pair as u32));
            let set = match self.sets.get(links.as_slice()) {
                Some(set) => *set,
                None => {
                    let mut rules: Vec<u32> = links
                        .iter()
                        .flat_map(|link| self.links[*link as usize].rules.iter().copied())
                        .collect();
                    rules.sort_unstable();
                    let set = answers.port_set(&rules, name)?;
                    self.sets.insert(links.as_slice().into(), set);
                    set
                }
            };
            row((same[0] >> 32) as u32, set);
        }
        Ok(())
    }
}

fn too_many(figure: u64) -> CompileError {
    CompileError::Limit { table: "pairs of endpoint classes", figure, limit: u64::from(limits::PAIRS) }
}

/// Whether a flow between such endpoints is judged at the sender's hook, and at the receiver's. A group's packets are
/// judged at the hooks of its members, whoever they are.
fn judged(from: u8, to: u8) -> (bool, bool) {
    // A class without uses is one that wasn't there.
    let sends = from & used::UNICAST != 0 && to != 0;
    (sends && from & used::HOOKED != 0, sends && to & (used::HOOKED | used::MULTICAST) != 0)
}

/// The rows of a pair: the sender's and the receiver's.
fn keys(from: u32, from_uses: u8, to: u32, to_uses: u8) -> [Option<PairKey>; 2] {
    let (egress, ingress) = judged(from_uses, to_uses);
    [
        egress.then(|| PairKey::new(0, Direction::Egress, from, to)),
        ingress.then(|| PairKey::new(0, Direction::Ingress, to, from)),
    ]
}

/// The flag of [`Generation`] for a row's breadths.
pub(super) fn flag(key: &PairKey) -> u32 {
    match (key.subject & PairKey::BROAD != 0, key.peer & PairKey::BROAD != 0) {
        (false, false) => Generation::NARROW_NARROW,
        (false, true) => Generation::NARROW_BROAD,
        (true, false) => Generation::BROAD_NARROW,
        (true, true) => Generation::BROAD_BROAD,
    }
}
