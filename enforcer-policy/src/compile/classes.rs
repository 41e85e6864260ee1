//! Classes: endpoints that no rule tells apart share a number.
//!
//! A side that few kinds of endpoints match is *narrow*, one that many match is *broad*. An endpoint has a class for the
//! set of narrow sides that match it and another for the set of broad ones. So `all → all` beside ten thousand rules of
//! one workload each makes one broad class and ten thousand narrow ones, and no product of the two.

use super::lists::Lists;
use enforcer_common::maps::PairKey;
use rustc_hash::FxHashMap;

/// A side that more kinds of endpoints match is broad.
pub(super) const NARROW: u32 = 16;

/// What endpoints of a class there are.
pub(super) mod used {
    /// A workload with a hook.
    pub(in super::super) const HOOKED: u8 = 1;
    /// A multicast destination.
    pub(in super::super) const MULTICAST: u8 = 2;
    /// Anything but a multicast destination.
    pub(in super::super) const UNICAST: u8 = 4;
}

/// The classes of one breadth.
#[derive(Clone, Debug, Default)]
struct Space {
    /// By list of sides.
    numbers: FxHashMap<u32, u32>,
    /// By class number, from 1: list of sides, and [`used`].
    classes: Vec<(u32, u8)>,
}

/// The classes of both breadths, and the members of each side.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    broad: Box<[bool]>,
    narrow_space: Space,
    broad_space: Space,
    /// Class numbers by side.
    members: Vec<Vec<u32>>,
    /// By full signature (list of sides).
    of: FxHashMap<u32, (u32, u32)>,
}

impl Classes {
    /// Decides which of `in_rules` sides are broad, by the `signatures` that occur (each once).
    pub(super) fn new(
        in_rules: u32,
        narrow: u32,
        signatures: impl Iterator<Item = u32>,
        lists: &Lists,
    ) -> Self {
        let mut matched = vec![0_u32; in_rules as usize];
        for signature in signatures {
            for side in lists.get(signature) {
                matched[*side as usize] += 1;
            }
        }
        Self {
            broad: matched.iter().map(|count| *count > narrow).collect(),
            narrow_space: Space::default(),
            broad_space: Space::default(),
            members: vec![Vec::new(); in_rules as usize],
            of: FxHashMap::default(),
        }
    }

    /// The narrow and the broad class of endpoints that exactly the sides of `signature` match, made where there are none yet.
    /// Classes whose endpoints or uses are new are pushed to `changed` with the uses they had.
    pub(super) fn class(
        &mut self,
        signature: u32,
        uses: u8,
        lists: &mut Lists,
        changed: &mut Vec<(u32, u8)>,
    ) -> (u32, u32) {
        let classes = match self.of.get(&signature) {
            Some(classes) => *classes,
            None => {
                let all = lists.get(signature).to_vec();
                let (wide, close): (Vec<u32>, Vec<u32>) =
                    all.into_iter().partition(|side| self.broad[*side as usize]);
                let (close, wide) = (lists.intern(&close), lists.intern(&wide));
                let narrow = self.number(close, false, lists);
                let broad = self.number(wide, true, lists);
                self.of.insert(signature, (narrow, broad));
                (narrow, broad)
            }
        };
        for class in [classes.0, classes.1] {
            if class != 0 {
                let had = &mut self.entry_mut(class).1;
                if *had | uses != *had {
                    changed.push((class, *had));
                    *had |= uses;
                }
            }
        }
        classes
    }

    /// The classes of a signature that has some already.
    pub(super) fn known(&self, signature: u32) -> Option<(u32, u32)> {
        self.of.get(&signature).copied()
    }

    fn number(&mut self, list: u32, broad: bool, lists: &Lists) -> u32 {
        if lists.get(list).is_empty() {
            return 0;
        }
        let (space, bit) =
            if broad { (&mut self.broad_space, PairKey::BROAD) } else { (&mut self.narrow_space, 0) };
        if let Some(number) = space.numbers.get(&list) {
            return *number;
        }
        space.classes.push((list, 0));
        let number = space.classes.len() as u32 | bit;
        space.numbers.insert(list, number);
        for side in lists.get(list) {
            self.members[*side as usize].push(number);
        }
        number
    }

    fn entry(&self, class: u32) -> (u32, u8) {
        let space = if class & PairKey::BROAD == 0 { &self.narrow_space } else { &self.broad_space };
        space.classes[(class & !PairKey::BROAD) as usize - 1]
    }

    fn entry_mut(&mut self, class: u32) -> &mut (u32, u8) {
        let space = if class & PairKey::BROAD == 0 { &mut self.narrow_space } else { &mut self.broad_space };
        &mut space.classes[(class & !PairKey::BROAD) as usize - 1]
    }

    /// List of the sides of a class.
    pub(super) fn sides(&self, class: u32) -> u32 {
        self.entry(class).0
    }

    /// What endpoints of a class there are.
    pub(super) fn uses(&self, class: u32) -> u8 {
        self.entry(class).1
    }

    /// The classes whose endpoints a side matches.
    pub(super) fn members(&self, side: u32) -> &[u32] {
        &self.members[side as usize]
    }

    /// Every class number.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let narrow = 1..=self.narrow_space.classes.len() as u32;
        let broad = (1..=self.broad_space.classes.len() as u32).map(|number| number | PairKey::BROAD);
        narrow.chain(broad)
    }
}
