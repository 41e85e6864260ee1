//! From endpoints and links to an image.

use super::answers::{Answers, Name, Rule};
use super::cells::{Cell, Cells, is_loopback_block};
use super::classes::Classes;
use super::error::{CompileError, fits};
use super::image::Image;
use super::regions::Regions;
use super::rows::{Link, Links, flag};
use super::{Known, Workload};
use crate::model::PolicySet;
use enforcer_common::address;
use enforcer_common::maps::{Endpoint, Generation, kind, limits};
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Entries in lists of matching sides beyond which a set isn't tried: 256 MiB of them.
const MATCHES: u32 = 1 << 26;

/// Every endpoint there is, before classes.
pub(super) struct Found {
    /// Workload and host addresses.
    exact: Vec<(IpAddr, Cell)>,
    /// Workloads that have a hook and no address, and those known by their cgroups at each place.
    bare: Vec<Cell>,
    regions4: Vec<RegionCell>,
    regions6: Vec<RegionCell>,
    world: Cell,
    /// The host at 127.0.0.1 and at `::1`.
    loopback: [Cell; 2],
}

struct RegionCell {
    block: IpNet,
    parent: Option<u32>,
    cell: Cell,
}

/// Everything made of them.
pub(super) struct Tables {
    pub(super) image: Image,
    pub(super) classes: Classes,
    pub(super) links: Links,
    pub(super) answers: Answers,
    /// Single addresses that groups or rules name.
    pub(super) named: HashMap<IpAddr, Endpoint>,
}

impl Found {
    pub(super) fn new(
        set: &PolicySet,
        host: &[IpAddr],
        workloads: &HashMap<String, Known>,
        owners: &HashMap<IpAddr, String>,
        host_identity: u32,
        cells: &mut Cells,
    ) -> Result<Self, CompileError> {
        let (mut exact, mut bare) = (Vec::new(), Vec::new());
        for Workload { name, .. } in &set.workloads {
            let Known { identity, base, hooked, hosted, addresses } = &workloads[name];
            for address in addresses {
                let mut cell = cells.workload(*identity, *base, *hooked, Some(*address));
                if *hosted && host.contains(address) {
                    cell.place = cells.place(*address);
                }
                exact.push((*address, cell));
            }
            if addresses.is_empty() && *hooked {
                bare.push(cells.workload(*identity, *base, true, None));
            }
            if *hosted {
                let places = 0..cells.places.len() as u8;
                bare.extend(places.map(|place| cells.hosted(*identity, kind::WORKLOAD, *base, place)));
            }
        }
        for place in 0..cells.places.len() as u8 {
            bare.push(cells.hosted(host_identity, kind::HOST, cells.host_base().into(), place));
        }
        let mut seen = HashSet::new();
        for address in host {
            if !owners.contains_key(address) && seen.insert(*address) {
                exact.push((*address, cells.host(host_identity, *address)));
            }
        }
        let regions4 = region_cells(cells, host_identity, |cells| &cells.regions4);
        let regions6 = region_cells(cells, host_identity, |cells| &cells.regions6);
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let loopback = loopback.map(|address| cells.host(host_identity, address));
        fits("matches of endpoints and selectors", cells.lists.stored(), MATCHES)?;
        Ok(Self { exact, bare, regions4, regions6, world: cells.world(), loopback })
    }

    fn signatures(&self) -> Vec<u32> {
        let regions = self.regions4.iter().chain(&self.regions6).map(|region| &region.cell);
        let others = self
            .exact
            .iter()
            .map(|(_, cell)| cell)
            .chain(&self.bare)
            .chain(&self.loopback)
            .chain([&self.world]);
        let cells = others.chain(regions);
        let mut all: Vec<u32> =
            cells.flat_map(|cell| [Some(cell.signature), cell.after()]).flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The tables, with sides of more than `narrow` kinds of endpoints broad.
    pub(super) fn tables(
        &self,
        cells: &mut Cells,
        narrow: u32,
        links: &[Link],
        rules: &[Rule],
        name: Name<'_>,
    ) -> Result<Tables, CompileError> {
        let mut classes =
            Classes::new(cells.sides.in_rules, narrow, self.signatures().into_iter(), &cells.lists);
        let mut changed = Vec::new();
        let mut endpoint = |cell: &Cell| cell.endpoint(&mut classes, &mut cells.lists, &mut changed);

        let mut image = Image::default();
        let world = endpoint(&self.world);
        let [loopback4, loopback6] = self.loopback.map(|cell| endpoint(&cell));
        image.generation =
            Generation { world4: world, world6: world, loopback4, loopback6, ..Generation::default() };
        for (at, cell) in &self.exact {
            let value = endpoint(cell);
            push(&mut image, *at, value);
        }
        self.bare.iter().for_each(|cell| {
            endpoint(cell);
        });
        let claimed: HashSet<IpAddr> = self.exact.iter().map(|(at, _)| *at).collect();
        let mut named = HashMap::new();
        for regions in [&self.regions4, &self.regions6] {
            let endpoints: Vec<Endpoint> = regions.iter().map(|region| endpoint(&region.cell)).collect();
            for (region, value) in regions.iter().zip(&endpoints) {
                // What is around answers the same.
                if *value == region.parent.map_or(world, |parent| endpoints[parent as usize]) {
                    continue;
                }
                if region.block.prefix_len() == region.block.max_prefix_len() {
                    let at = region.block.addr();
                    named.insert(at, *value);
                    if !claimed.contains(&at) {
                        push(&mut image, at, *value);
                    }
                } else {
                    match region.block {
                        IpNet::V4(block) => image.prefixes4.push((block, *value)),
                        IpNet::V6(block) => image.prefixes6.push((block, *value)),
                    }
                }
            }
        }
        image.addresses4.shrink_to_fit();
        image.addresses6.shrink_to_fit();
        image.addresses4.sort_unstable_by_key(|(key, _)| *key);
        image.addresses6.sort_unstable_by_key(|(key, _)| *key);
        fits("IPv4 addresses", image.addresses4.len(), limits::ADDRESSES)?;
        fits("IPv6 addresses", image.addresses6.len(), limits::ADDRESSES)?;
        // Both banks share one table.
        fits("IPv4 prefixes", image.prefixes4.len(), limits::PREFIXES / 2)?;
        fits("IPv6 prefixes", image.prefixes6.len(), limits::PREFIXES / 2)?;

        let mut answers = Answers::new(rules.to_vec());
        let mut links = Links::new(links.to_vec(), cells.sides.in_rules);
        image.pairs = links.all(&classes, &cells.lists, &mut answers, name)?;
        answers.fits()?;
        image.intervals.clone_from(&answers.intervals);
        image.decisions.clone_from(&answers.decisions);
        image.generation.flags = image.pairs.iter().fold(0, |flags, (key, _)| flags | flag(key));
        if !image.prefixes4.is_empty() {
            image.generation.flags |= Generation::PREFIXES4;
        }
        if !image.prefixes6.is_empty() {
            image.generation.flags |= Generation::PREFIXES6;
        }
        Ok(Tables { image, classes, links, answers, named })
    }
}

fn region_cells(cells: &mut Cells, host: u32, of: impl Fn(&Cells) -> &Regions) -> Vec<RegionCell> {
    let regions: Vec<_> =
        of(cells).regions.iter().map(|r| (r.block, r.parent, r.multicast, r.group, r.sides)).collect();
    regions
        .into_iter()
        .map(|(block, parent, multicast, group, sides)| RegionCell {
            block,
            parent,
            // Loopback's addresses are the machine's own, whatever groups say of them.
            cell: match is_loopback_block(&block) {
                true => cells.host(host, block.addr()),
                false => cells.of_region(multicast, group, sides),
            },
        })
        .collect()
}

fn push(image: &mut Image, at: IpAddr, value: Endpoint) {
    match at {
        IpAddr::V4(v4) => image.addresses4.push((address::v4(v4.octets()), value)),
        IpAddr::V6(v6) => image.addresses6.push((address::v6(v6.octets()), value)),
    }
}
