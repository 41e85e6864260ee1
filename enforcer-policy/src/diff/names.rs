//! What a difference calls an address.

use crate::compile::{Compiled, is_multicast_block};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// Names of endpoints without a workload, as [`super::Change`]s have them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    blocks: FxHashMap<IpNet, String>,
    /// Prefix lengths that there are, longest first: of IPv4, of IPv6.
    lengths: [Vec<u8>; 2],
}

/// The name of a block: its group's in the new set, else in the old one, else its own.
pub(super) fn of_block(old: Option<&Compiled>, new: &Compiled, block: &IpNet) -> String {
    let multicast = is_multicast_block(block);
    let group = |set: &Compiled| set.standing_block(block, multicast).0.map(|group| format!("group {group}"));
    group(new).or_else(|| group(old?)).unwrap_or_else(|| block.to_string())
}

impl Names {
    /// Of the endpoints of both sets.
    #[must_use]
    pub fn new(old: Option<&Compiled>, new: &Compiled) -> Self {
        let mut names = Self::default();
        for block in new.blocks().chain(old.into_iter().flat_map(Compiled::blocks)) {
            names.blocks.entry(block).or_insert_with(|| of_block(old, new, &block));
        }
        for block in names.blocks.keys() {
            let lengths = &mut names.lengths[usize::from(block.addr().is_ipv6())];
            if !lengths.contains(&block.prefix_len()) {
                lengths.push(block.prefix_len());
            }
        }
        names.lengths.iter_mut().for_each(|lengths| lengths.sort_unstable_by(|a, b| b.cmp(a)));
        names
    }

    /// The endpoint that an address belongs to which is neither a workload's nor the host's.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> &str {
        let around = |length: &u8| {
            let block = IpNet::new(address, *length).ok()?.trunc();
            self.blocks.get(&block).map(String::as_str)
        };
        self.lengths[usize::from(address.is_ipv6())].iter().find_map(around).unwrap_or("world")
    }
}
