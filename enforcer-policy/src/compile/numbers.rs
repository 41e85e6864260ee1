//! Numbers of identities and rules that stay the same from one compile to the next, so that counters and events keep
//! their meaning across a reload.

use super::error::CompileError;
use enforcer_common::maps::{Subject, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers of identities (from 1; 0 is the world) and of rules (from 0, by `policy#index`).
///
/// A number that became free is given out again only when no number was left that was never used, the one that has
/// been free longest first, and never in the compile that freed it: what the kernel still counts under it belongs to
/// the old holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    round: u64,
    identities: Space,
    rules: Space,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Space {
    used: u32,
    held: BTreeMap<String, Held>,
    /// Numbers that were given to another name and that nobody has asked about yet.
    #[serde(skip)]
    reissued: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    number: u32,
    /// Last round in which the name was there.
    seen: u64,
    /// Whether it is there now.
    live: bool,
}

/// Names that are gone and still remembered: a workload that comes back keeps its number.
const REMEMBERED: usize = 65_536;

impl Numbers {
    /// Starts a whole compile: names that aren't asked for until [`Numbers::finish`] become free.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// Ends what [`Numbers::begin`] started.
    pub(super) fn finish(&mut self) {
        let round = self.round;
        for space in [&mut self.identities, &mut self.rules] {
            for held in space.held.values_mut() {
                held.live = held.seen == round;
            }
            space.forget();
        }
    }

    /// The number of an identity, by its kind and name.
    pub(super) fn identity(&mut self, key: String) -> Result<u32, CompileError> {
        let most = Subject::IDENTITIES - 1;
        let number = self.identities.number(key, self.round, most).ok_or(CompileError::Limit {
            table: "identities",
            figure: u64::from(most) + 1,
            limit: u64::from(most),
        })?;
        Ok(number + 1)
    }

    /// The number of a rule, by `policy#index`.
    pub(super) fn rule(&mut self, key: String) -> Result<u32, CompileError> {
        match self.rules.number(key, self.round, limits::RULES) {
            Some(number) => Ok(number),
            None => Err(CompileError::Limit {
                table: "rules",
                figure: self.rules.held.values().filter(|held| held.seen == self.round).count() as u64 + 1,
                limit: u64::from(limits::RULES),
            }),
        }
    }

    /// Numbers of rules that another rule had before, since this was last asked: what was counted under them isn't theirs.
    pub fn take_reissued_rules(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.rules.reissued)
    }

    /// Frees an identity between compiles.
    pub(super) fn release_identity(&mut self, key: &str) {
        self.round += 1;
        if let Some(held) = self.identities.held.get_mut(key) {
            held.live = false;
            held.seen = self.round;
        }
        self.identities.forget();
    }
}

impl Space {
    fn number(&mut self, key: String, round: u64, limit: u32) -> Option<u32> {
        if let Some(held) = self.held.get_mut(&key) {
            held.seen = round;
            held.live = true;
            return Some(held.number);
        }
        let number = if self.used < limit {
            self.used += 1;
            self.used - 1
        } else {
            let free = self.held.iter().filter(|(_, held)| !held.live && held.seen < round);
            let oldest = free.min_by_key(|(_, held)| (held.seen, held.number))?.0.clone();
            let number = self.held.remove(&oldest)?.number;
            self.reissued.push(number);
            number
        };
        self.held.insert(key, Held { number, seen: round, live: true });
        Some(number)
    }

    fn forget(&mut self) {
        let mut gone: Vec<_> = self.held.values().filter(|held| !held.live).map(|held| held.seen).collect();
        if gone.len() <= REMEMBERED {
            return;
        }
        gone.sort_unstable();
        let since = gone[gone.len() - REMEMBERED];
        self.held.retain(|_, held| held.live || held.seen >= since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(numbers: &mut Numbers, rules: &[&str]) -> Vec<u32> {
        numbers.begin();
        let got = rules.iter().map(|rule| numbers.rule((*rule).to_owned()).unwrap()).collect();
        numbers.finish();
        got
    }

    #[test]
    fn fresh_numbers_follow_reading_order_and_stay() {
        let mut numbers = Numbers::default();
        assert_eq!(round(&mut numbers, &["a#0", "a#1", "b#0"]), [0, 1, 2]);
        assert_eq!(round(&mut numbers, &["c#0", "b#0", "a#0"]), [3, 2, 0]);
        assert_eq!(round(&mut numbers, &["a#1"]), [1], "a name that comes back has its old number");
    }

    #[test]
    fn a_free_number_is_reused_only_when_none_is_fresh() {
        let mut space = Space::default();
        assert_eq!(space.number("a".to_owned(), 1, 2), Some(0));
        assert_eq!(space.number("b".to_owned(), 2, 2), Some(1));
        assert_eq!(space.number("c".to_owned(), 3, 2), None, "both are held");
        for held in space.held.values_mut() {
            held.live = false;
        }
        assert_eq!(space.number("c".to_owned(), 3, 2), Some(0), "the one that has been free longest");
        assert_eq!(space.number("d".to_owned(), 3, 2), Some(1));
        assert_eq!(space.reissued, [0, 1], "what was counted under them was others'");
    }

    #[test]
    fn numbers_survive_being_written_down() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.identity("workload/web".to_owned()).unwrap(), 1);
        assert_eq!(numbers.identity("group/office".to_owned()).unwrap(), 2);
        numbers.release_identity("workload/web");
        assert_eq!(numbers.identity("workload/db".to_owned()).unwrap(), 3);
        assert_eq!(numbers.identity("workload/web".to_owned()).unwrap(), 1);
    }
}
