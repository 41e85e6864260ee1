//! What an address or a labelled identity is to the rules: the sides that match it, and its endpoint in the tables.

use super::Clock;
use super::classes::{Classes, used};
use super::labels::Reduced;
use super::lists::Lists;
use super::names::IdentityKind;
use super::regions::{Region, Regions, number};
use super::sides::Sides;
use crate::model::{Labels, OnDeny, SegmentMode, Workload};
use enforcer_common::maps::{Endpoint, Lease, kind};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything that says which sides match what. All lists of sides are numbers into `lists`.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) lists: Lists,
    pub(super) sides: Sides,
    pub(super) regions4: Regions,
    pub(super) regions6: Regions,
    /// By labels.
    bases: HashMap<Reduced, u32>,
    /// Signatures by sides that match by identity and sides that match by address.
    signatures: FxHashMap<(u32, u32), u32>,
    host_base: u32,
    world_base: u32,
    /// Identity number and sides, by index of the AddressGroup.
    pub(super) groups: Vec<(u32, u32)>,
    /// Side, mode and name of each Segment, in reading order.
    pub(super) segments: Vec<SegmentSide>,
    /// The sides that match the machine's own addresses, loopback's first: each list once, by place.
    pub(super) places: Vec<u32>,
}

/// The sides that match an identity, whatever its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// List of them.
    pub(super) sides: u32,
    /// Until when, boot-time clock, and the list from then on.
    pub(super) lease: Option<(u64, u32)>,
}

impl From<u32> for Base {
    /// For good.
    fn from(sides: u32) -> Self {
        Self { sides, lease: None }
    }
}

/// An endpoint before it has classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) identity: u32,
    pub(super) kind: u8,
    pub(super) signature: u32,
    /// Until when, boot-time clock, and the signature from then on.
    lease: Option<(u64, u32)>,
    /// [`used`].
    pub(super) uses: u8,
    /// The place of an address of this machine's, see [`enforcer_common::maps::Subject::at`].
    pub(super) place: Option<u8>,
}

impl Cells {
    pub(super) fn new(mut lists: Lists, sides: Sides, regions4: Regions, regions6: Regions) -> Self {
        let (host_base, world_base) = (lists.intern(&sides.host), lists.intern(&sides.world));
        Self {
            lists,
            sides,
            regions4,
            regions6,
            bases: HashMap::new(),
            signatures: FxHashMap::default(),
            host_base,
            world_base,
            groups: Vec::new(),
            segments: Vec::new(),
            places: Vec::new(),
        }
    }

    /// What rules tell apart among these addresses and loopback's, in the order in which it is met.
    pub(super) fn places_of(&self, host: &[IpAddr]) -> Vec<u32> {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let regions = self.regions4.regions.iter().chain(&self.regions6.regions);
        let named = regions.filter(|region| is_loopback_block(&region.block)).map(|region| region.sides);
        let own = loopback.iter().chain(host).map(|address| self.by_address(*address));
        let mut places = Vec::new();
        for sides in own.chain(named) {
            if !places.contains(&sides) {
                places.push(sides);
            }
        }
        places
    }

    /// The place of an address of this machine's.
    pub(super) fn place(&self, address: IpAddr) -> Option<u8> {
        self.place_of(self.by_address(address))
    }

    fn place_of(&self, sides: u32) -> Option<u8> {
        let at = self.places.iter().position(|known| *known == sides)?;
        u8::try_from(at).ok()
    }

    /// The sides that match an identity with these labels, whatever its address.
    pub(super) fn base(&mut self, labels: &Labels) -> u32 {
        let reduced = self.sides.labels.reduce(labels);
        if let Some(base) = self.bases.get(&reduced) {
            return *base;
        }
        let mut matching = self.sides.labelled.clone();
        self.sides.labels.matching(&reduced, &mut matching);
        matching.sort_unstable();
        matching.dedup();
        let base = self.lists.intern(&matching);
        self.bases.insert(reduced, base);
        base
    }

    /// The sides that match a workload by its labels, those that it has for a time among them.
    pub(super) fn base_of(&mut self, workload: &Workload, clock: Clock) -> Base {
        let sides = self.base(&workload.labels_at(clock.now));
        let Some(lease) = workload.lease.as_ref().filter(|lease| lease.until > clock.now) else {
            return sides.into();
        };
        let after = self.base(&workload.labels_after());
        // Labels that nothing selects by need no deadline.
        Base { sides, lease: (after != sides).then(|| (clock.boot_of(lease.until), after)) }
    }

    /// The smallest region that holds `address`.
    pub(super) fn region(&self, address: IpAddr) -> Option<&Region> {
        let regions = if address.is_ipv4() { &self.regions4 } else { &self.regions6 };
        regions.of(number(address))
    }

    /// The sides that match `address`, whosever it is.
    pub(super) fn by_address(&self, address: IpAddr) -> u32 {
        self.region(address).map_or(0, |region| region.sides)
    }

    /// A workload at one of its addresses, or without any.
    pub(super) fn workload(
        &mut self,
        identity: u32,
        base: Base,
        hooked: bool,
        address: Option<IpAddr>,
    ) -> Cell {
        let by_address = address.map_or(0, |address| self.by_address(address));
        let hook = if hooked { used::HOOKED } else { 0 };
        let (signature, lease) = self.signatures_of(base, by_address);
        Cell { identity, kind: kind::WORKLOAD, signature, lease, uses: used::UNICAST | hook, place: None }
    }

    /// Somebody known by its cgroup at the machine's addresses of a place.
    pub(super) fn hosted(&mut self, identity: u32, kind: u8, base: Base, place: u8) -> Cell {
        let by_address = self.places.get(usize::from(place)).copied().unwrap_or_default();
        let (signature, lease) = self.signatures_of(base, by_address);
        Cell { identity, kind, signature, lease, uses: used::UNICAST | used::HOOKED, place: Some(place) }
    }

    /// The host at one of its addresses.
    pub(super) fn host(&mut self, identity: u32, address: IpAddr) -> Cell {
        let by_address = self.by_address(address);
        let signature = self.signature(self.host_base, by_address);
        let (kind, place) = (IdentityKind::Host.code(), self.place_of(by_address));
        Cell { identity, kind, signature, lease: None, uses: used::UNICAST | used::HOOKED, place }
    }

    /// Addresses that nothing names and no block selects.
    pub(super) fn world(&mut self) -> Cell {
        let signature = self.signature(self.world_base, 0);
        Cell { identity: 0, kind: kind::WORLD, signature, lease: None, uses: used::UNICAST, place: None }
    }

    /// What lies in a region, where no workload and no host has the address.
    pub(super) fn of_region(&mut self, multicast: bool, group: Option<u32>, sides: u32) -> Cell {
        if multicast {
            let signature = self.signature(0, sides);
            return Cell {
                identity: 0,
                kind: kind::MULTICAST,
                signature,
                lease: None,
                uses: used::MULTICAST,
                place: None,
            };
        }
        let (identity, kind, base) = match group {
            Some(group) => {
                let (identity, base) = self.groups[group as usize];
                (identity, kind::GROUP, base)
            }
            None => (0, kind::WORLD, self.world_base),
        };
        let signature = self.signature(base, sides);
        Cell { identity, kind, signature, lease: None, uses: used::UNICAST, place: None }
    }

    /// The signature of an endpoint that was there when the tables were made.
    pub(super) fn known_signature(&self, base: u32, by_address: u32) -> Option<u32> {
        self.signatures.get(&(base, by_address)).copied()
    }

    /// Sides that match the host, and addresses that nothing names.
    pub(super) fn host_base(&self) -> u32 {
        self.host_base
    }

    pub(super) fn world_base(&self) -> u32 {
        self.world_base
    }

    /// The smallest region that holds the whole of `block`.
    pub(super) fn around_block(&self, block: &IpNet) -> Option<&Region> {
        let regions = if block.addr().is_ipv4() { &self.regions4 } else { &self.regions6 };
        regions.around(block)
    }

    /// The rules' sides among those of an identity and those of an address, now and once its lease is over.
    fn signatures_of(&mut self, base: Base, by_address: u32) -> (u32, Option<(u64, u32)>) {
        let signature = self.signature(base.sides, by_address);
        (signature, base.lease.map(|(until, after)| (until, self.signature(after, by_address))))
    }

    /// The rules' sides among two lists of sides.
    fn signature(&mut self, base: u32, by_address: u32) -> u32 {
        if let Some(signature) = self.signatures.get(&(base, by_address)) {
            return *signature;
        }
        let lists = [base, by_address].map(|list| self.lists.get(list));
        let in_rules = self.sides.in_rules;
        let mut both: Vec<u32> =
            lists.into_iter().flatten().copied().filter(|side| *side < in_rules).collect();
        both.sort_unstable();
        both.dedup();
        let signature = self.lists.intern(&both);
        self.signatures.insert((base, by_address), signature);
        signature
    }

    /// The strictest segment that names the host. What only happens to hold for it as well, as `all` does, doesn't: nobody is to be locked out by it.
    pub(super) fn host_segment(&self) -> Option<&SegmentSide> {
        let named = self.segments.iter().filter(|segment| segment.names_host);
        named.fold(None, |found: Option<&SegmentSide>, one| match found {
            Some(strictest) if strictest.mode >= one.mode => Some(strictest),
            _ => Some(one),
        })
    }

    /// The strictest segment that selects an identity with sides `base` at any of `addresses`, and what all of those make of denied packets.
    pub(super) fn segment(&self, base: u32, addresses: &[IpAddr]) -> Option<(&SegmentSide, OnDeny)> {
        let selects = |side: &u32| {
            let has = |list: u32| self.lists.get(list).binary_search(side).is_ok();
            has(base) || addresses.iter().any(|address| has(self.by_address(*address)))
        };
        let mut found: Option<(&SegmentSide, OnDeny)> = None;
        for segment in self.segments.iter().filter(|segment| selects(&segment.side)) {
            let (strictest, on_deny) = found.unwrap_or((segment, segment.on_deny));
            let strictest = if segment.mode > strictest.mode { segment } else { strictest };
            found = Some((strictest, on_deny.max(segment.on_deny)));
        }
        found
    }
}

/// A Segment, its selectors resolved to a side.
#[derive(Clone, Debug)]
pub(super) struct SegmentSide {
    pub(super) side: u32,
    pub(super) mode: SegmentMode,
    pub(super) on_deny: OnDeny,
    pub(super) name: String,
    /// Whether `entity: host` stands in it.
    pub(super) names_host: bool,
}

/// Whether a block lies inside loopback's.
pub(super) fn is_loopback_block(block: &IpNet) -> bool {
    match block {
        IpNet::V4(v4) => v4.prefix_len() >= 8 && v4.network().is_loopback(),
        IpNet::V6(v6) => v6.prefix_len() == 128 && v6.network().is_loopback(),
    }
}

impl Cell {
    /// The signature once its lease is over.
    pub(super) fn after(&self) -> Option<u32> {
        self.lease.map(|(_, signature)| signature)
    }

    /// The endpoint as the kernel has it.
    pub(super) fn endpoint(
        self,
        classes: &mut Classes,
        lists: &mut Lists,
        changed: &mut Vec<(u32, u8)>,
    ) -> Endpoint {
        let (class, coarse) = classes.class(self.signature, self.uses, lists, changed);
        let mut endpoint = Endpoint::new(self.identity, class, coarse, self.kind);
        if let Some((until, after)) = self.lease {
            let (class, coarse) = classes.class(after, self.uses, lists, changed);
            endpoint.lease = Lease { until, class, coarse };
        }
        match self.place {
            Some(place) => Endpoint { local: 1, place, ..endpoint },
            None => endpoint,
        }
    }
}
