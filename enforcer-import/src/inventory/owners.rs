//! Whose an address was at some instant.

use super::{Held, Inventory, Time};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

/// Entries by address and time.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    by_address: HashMap<IpAddr, Vec<(Held, usize)>>,
    changing: bool,
}

impl Owners {
    /// An index over the identities of `inventory`.
    pub fn new(inventory: &Inventory) -> Self {
        let mut owners = Self::default();
        for (index, entry) in inventory.entries.iter().enumerate().filter(|(_, entry)| entry.is_identity()) {
            for held in &entry.addresses {
                owners.by_address.entry(held.address).or_default().push((*held, index));
                owners.changing |= held.until.is_some();
            }
        }
        for holders in owners.by_address.values_mut() {
            // The latest to begin comes first: where two overlap, the address has changed hands by then.
            holders.sort_by_key(|(held, _)| Reverse((held.from.unwrap_or(Time::MIN), held.until.is_none())));
        }
        owners
    }

    /// Index into [`Inventory::entries`] of the entry that has this address at `time`, or now.
    pub fn find(&self, address: IpAddr, time: Option<Time>) -> Option<usize> {
        let holders = self.by_address.get(&address)?;
        holders.iter().find(|(held, _)| held.at(time)).map(|(_, index)| *index)
    }

    /// Whether some address was given back within the times that the inventory knows, so that time matters.
    pub fn is_changing(&self) -> bool {
        self.changing
    }
}
