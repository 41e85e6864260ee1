//! Blocks of one address family cut into regions whose addresses no group and no `cidr` selector tells apart.

use super::lists::Lists;
use super::sides::Blocks;
use ipnet::IpNet;
use std::net::IpAddr;

/// An address as a number; families never share a [`Regions`].
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Whether a block lies inside multicast space, so that it names groups: 224.0.0.0/4, 255.255.255.255, ff00::/8.
pub(crate) fn is_multicast_block(block: &IpNet) -> bool {
    match block {
        IpNet::V4(v4) => {
            let first = v4.network().to_bits();
            first == u32::MAX || (v4.prefix_len() >= 4 && first >> 28 == 0xe)
        }
        IpNet::V6(v6) => v6.prefix_len() >= 8 && v6.network().octets()[0] == 0xff,
    }
}

/// A block, less the blocks inside it that stand here as well.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) block: IpNet,
    /// Index of the region directly around it.
    pub(super) parent: Option<u32>,
    /// Index of the AddressGroup with the longest prefix.
    pub(super) group: Option<u32>,
    /// List of the sides that select the region by address.
    pub(super) sides: u32,
    /// Whether it lies in multicast space.
    pub(super) multicast: bool,
}

impl Region {
    /// Not kept: there may be a hundred thousand of them.
    fn first(&self) -> u128 {
        number(self.block.network())
    }

    fn last(&self) -> u128 {
        number(self.block.broadcast())
    }
}

/// The regions of one family, sorted by first address, outer before inner.
#[derive(Clone, Debug, Default)]
pub(super) struct Regions {
    pub(super) regions: Vec<Region>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Group(u32),
    In(u32),
    Except(u32),
}

impl Regions {
    /// The regions that `groups` (block and group index) and `blocks` make among the blocks for which `family` holds.
    /// Two groups with one block give the block and both indexes.
    pub(super) fn new(
        family: impl Fn(&IpNet) -> bool,
        groups: impl Iterator<Item = (IpNet, u32)>,
        blocks: &[Blocks],
        lists: &mut Lists,
    ) -> Result<Self, (IpNet, u32, u32)> {
        let mut uses: Vec<(u128, u8, Use, IpNet)> = Vec::new();
        let mut add = |block: IpNet, used: Use| {
            if family(&block) {
                let block = block.trunc();
                uses.push((number(block.network()), block.prefix_len(), used, block));
            }
        };
        groups.for_each(|(block, group)| add(block, Use::Group(group)));
        for (selector, named) in (0..).zip(blocks) {
            named.cidrs.iter().for_each(|block| add(*block, Use::In(selector)));
            named.except.iter().for_each(|block| add(*block, Use::Except(selector)));
        }
        uses.sort_unstable_by_key(|(first, length, used, _)| (*first, *length, *used));
        uses.dedup();

        let mut build = Builder { out: Vec::new(), uses: Vec::new(), scratch: Scratch::new(blocks.len()) };
        let mut rest = uses.as_slice();
        while let Some((first, length, _, block)) = rest.first() {
            let same = rest.iter().take_while(|(f, l, _, _)| f == first && l == length).count();
            let (here, after) = rest.split_at(same);
            rest = after;
            let own: Vec<Use> = here.iter().map(|(_, _, used, _)| *used).collect();
            build.add(*block, *first, own, blocks, lists)?;
        }
        // It is kept for as long as the set is in force.
        build.out.shrink_to_fit();
        Ok(Self { regions: build.out })
    }

    /// The smallest region that holds the whole of `block`.
    pub(super) fn around(&self, block: &IpNet) -> Option<&Region> {
        let (first, last) = (number(block.network()), number(block.broadcast()));
        // Of the regions that begin at the same address, those as long as the block or shorter hold it.
        let before =
            |region: &Region| (region.first(), region.block.prefix_len()) <= (first, block.prefix_len());
        let mut at = self.regions.partition_point(before).checked_sub(1)?;
        loop {
            let region = &self.regions[at];
            if region.last() >= last {
                return Some(region);
            }
            at = region.parent? as usize;
        }
    }

    /// The smallest region that holds `address`.
    pub(super) fn of(&self, address: u128) -> Option<&Region> {
        let mut at = self.regions.partition_point(|region| region.first() <= address).checked_sub(1)?;
        loop {
            let region = &self.regions[at];
            if region.last() >= address {
                return Some(region);
            }
            at = region.parent? as usize;
        }
    }
}

struct Builder {
    out: Vec<Region>,
    /// Uses of each region's own block.
    uses: Vec<Vec<Use>>,
    scratch: Scratch,
}

/// Which selectors except the region in hand: a round number per selector, so that nothing needs clearing.
struct Scratch {
    round: u32,
    excepted: Vec<u32>,
    sides: Vec<u32>,
}

impl Scratch {
    fn new(selectors: usize) -> Self {
        Self { round: 0, excepted: vec![0; selectors], sides: Vec::new() }
    }
}

impl Builder {
    fn add(
        &mut self,
        block: IpNet,
        first: u128,
        own: Vec<Use>,
        blocks: &[Blocks],
        lists: &mut Lists,
    ) -> Result<(), (IpNet, u32, u32)> {
        let host_bits = block.max_prefix_len() - block.prefix_len();
        let last = first | if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 };
        let mut parent = self.out.len().checked_sub(1).map(|at| at as u32);
        while let Some(at) = parent {
            let outer = &self.out[at as usize];
            if outer.last() >= last {
                break;
            }
            parent = outer.parent;
        }
        let outer = parent.map(|at| &self.out[at as usize]);
        let multicast = is_multicast_block(&block);
        let mut groups =
            own.iter().filter_map(|used| if let Use::Group(group) = used { Some(*group) } else { None });
        let group = groups.next();
        if let (Some(group), Some(other)) = (group, groups.next()) {
            return Err((block, group, other));
        }
        let enters_multicast = multicast && !outer.is_some_and(|outer| outer.multicast);
        let selected = own.iter().any(|used| !matches!(used, Use::Group(_)));
        let inherited = outer.map_or(0, |outer| outer.sides);
        // A multicast destination belongs to no group.
        let group = if multicast { None } else { group.or(outer.and_then(|outer| outer.group)) };
        self.uses.push(own);
        let sides = if selected || enters_multicast {
            self.selecting(parent, multicast, blocks, lists)
        } else {
            inherited
        };
        self.out.push(Region { block, parent, group, sides, multicast });
        Ok(())
    }

    /// The sides that select the region whose uses were pushed last and which lies directly in `parent`.
    fn selecting(
        &mut self,
        parent: Option<u32>,
        multicast: bool,
        blocks: &[Blocks],
        lists: &mut Lists,
    ) -> u32 {
        let scratch = &mut self.scratch;
        scratch.round += 1;
        scratch.sides.clear();
        // An exception counts however far around it stands; a block that is wider than multicast space names no group.
        let here = (self.uses.len() - 1) as u32;
        for excepts in [true, false] {
            let mut at = Some(here);
            while let Some(region) = at {
                let known = self.out.get(region as usize);
                let names = !multicast || known.is_none_or(|known| known.multicast);
                for used in &self.uses[region as usize] {
                    match used {
                        Use::Except(selector) if excepts => {
                            scratch.excepted[*selector as usize] = scratch.round
                        }
                        Use::In(selector)
                            if !excepts && names && scratch.excepted[*selector as usize] != scratch.round =>
                        {
                            scratch.sides.push(blocks[*selector as usize].side);
                        }
                        Use::Group(_) | Use::Except(_) | Use::In(_) => {}
                    }
                }
                at = match known {
                    Some(known) => known.parent,
                    None => parent,
                };
            }
        }
        scratch.sides.sort_unstable();
        scratch.sides.dedup();
        lists.intern(&scratch.sides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(side: u32, cidrs: &[&str], except: &[&str]) -> Blocks {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Blocks { side, cidrs: parse(cidrs), except: parse(except) }
    }

    fn at(regions: &Regions, lists: &Lists, address: &str) -> (Option<u32>, Vec<u32>) {
        let region = regions.of(number(address.parse().unwrap()));
        region.map_or((None, vec![]), |region| (region.group, lists.get(region.sides).to_vec()))
    }

    #[test]
    fn regions_inherit_and_except() {
        let mut lists = Lists::default();
        let selectors = [
            blocks(0, &["10.0.0.0/8"], &["10.1.0.0/16"]),
            blocks(1, &["10.1.2.0/24", "192.0.2.1/32"], &[]),
            blocks(2, &["0.0.0.0/0"], &[]),
        ];
        let groups =
            [("10.1.0.0/16", 0), ("10.0.0.0/8", 1)].map(|(block, group)| (block.parse().unwrap(), group));
        let v4 = |block: &IpNet| block.addr().is_ipv4();
        let regions = Regions::new(v4, groups.into_iter(), &selectors, &mut lists).unwrap();
        for (address, group, sides) in [
            ("10.9.9.9", Some(1), vec![0, 2]),
            ("10.1.9.9", Some(0), vec![2]),
            ("10.1.2.9", Some(0), vec![1, 2]),
            ("192.0.2.1", None, vec![1, 2]),
            ("192.0.2.2", None, vec![2]),
            ("255.255.255.254", None, vec![2]),
        ] {
            assert_eq!(at(&regions, &lists, address), (group, sides), "{address}");
        }
        let twice =
            [("10.0.0.0/8", 0), ("10.0.0.0/8", 1)].map(|(block, group)| (block.parse().unwrap(), group));
        let clash = Regions::new(v4, twice.into_iter(), &[], &mut lists).unwrap_err();
        assert_eq!(clash, ("10.0.0.0/8".parse().unwrap(), 0, 1));
    }

    #[test]
    fn wide_blocks_name_no_multicast() {
        let mut lists = Lists::default();
        let selectors = [
            blocks(0, &["0.0.0.0/0"], &[]),
            blocks(1, &["224.0.0.0/4"], &["224.0.0.251/32"]),
            blocks(2, &["255.255.255.255/32"], &[]),
        ];
        let v4 = |block: &IpNet| block.addr().is_ipv4();
        let group = ("224.0.0.0/4".parse().unwrap(), 0);
        let regions = Regions::new(v4, [group].into_iter(), &selectors, &mut lists).unwrap();
        assert_eq!(at(&regions, &lists, "224.0.0.1"), (None, vec![1]));
        assert_eq!(at(&regions, &lists, "224.0.0.251"), (None, vec![]));
        assert_eq!(at(&regions, &lists, "255.255.255.255"), (None, vec![2]));
        assert_eq!(at(&regions, &lists, "10.0.0.1"), (None, vec![0]));
    }
}
