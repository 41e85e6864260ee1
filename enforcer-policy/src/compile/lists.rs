//! Sorted lists of numbers, each stored once.

use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Hash-consed sorted lists; equal lists have equal numbers. List 0 is empty.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    numbers: FxHashMap<Arc<[u32]>, u32>,
    lists: Vec<Arc<[u32]>>,
    /// Entries of all lists together.
    stored: usize,
}

impl Default for Lists {
    fn default() -> Self {
        let mut lists = Self { numbers: FxHashMap::default(), lists: Vec::new(), stored: 0 };
        lists.intern(&[]);
        lists
    }
}

impl Lists {
    /// The number of a sorted list without repetitions.
    pub(super) fn intern(&mut self, list: &[u32]) -> u32 {
        debug_assert!(list.is_sorted_by(|a, b| a < b));
        if let Some(number) = self.numbers.get(list) {
            return *number;
        }
        let number = self.lists.len() as u32;
        let list: Arc<[u32]> = list.into();
        self.stored += list.len();
        self.numbers.insert(Arc::clone(&list), number);
        self.lists.push(list);
        number
    }

    /// The list with this number.
    pub(super) fn get(&self, number: u32) -> &[u32] {
        &self.lists[number as usize]
    }

    /// How many entries all lists have together.
    pub(super) fn stored(&self) -> usize {
        self.stored
    }
}
