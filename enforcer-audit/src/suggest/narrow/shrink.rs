//! From what was used of a rule to the rules that would do in its place: sources, destinations and ports stand together only where all of
//! their combinations were used, and each selector is one of the rule's own with more conditions, or an address that it matched.

use super::super::rules::exactly;
use super::super::selectors::Universe;
use super::super::{Evidence, Options};
use super::Narrower;
use super::uses::Used;
use crate::audit::Audit;
use crate::ground::NOBODY;
use enforcer_policy::explain::{End, Place, Who, port_ranges, selects};
use enforcer_policy::model::{Entity, FlowEntry, LabelSelector, PortSpec, Selector};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Rules in place of one; where it would take more, one with all that was used on each side.
const MOST: usize = 12;

/// Ports of a range that are named one by one; more of them are the smallest range around them.
const FEW: usize = 32;

/// One end as a narrower rule can name it: by which of the rule's selectors, and what it is.
type Part = (usize, Is);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    /// Everybody who carries these labels, by number.
    Labelled(u32),
    Host,
    At(IpAddr),
    /// Any of the addresses that were used.
    Wide,
}

type Parts = BTreeSet<Part>;
type Port = (u8, u16);
type Ports = BTreeMap<Port, (Evidence, u64)>;

/// What was used: sources and destinations with all of these ports.
type Block = (Parts, Parts, Ports);

pub(super) struct Shrinker<'a> {
    audit: &'a Audit,
    options: &'a Options,
    universe: Universe,
}

/// One side of a rule.
struct Side<'a> {
    selectors: &'a [Selector],
    /// Addresses that were used, by selector.
    addresses: BTreeMap<usize, BTreeSet<IpAddr>>,
}

impl Side<'_> {
    /// Whether addresses under a selector are too many to be named.
    fn is_wide(&self, selector: usize, options: &Options) -> bool {
        self.addresses.get(&selector).is_some_and(|addresses| addresses.len() > options.world_addresses)
    }
}

impl<'a> Shrinker<'a> {
    pub(super) fn new(audit: &'a Audit, options: &'a Options) -> Self {
        Self { audit, options, universe: Universe::of(audit) }
    }

    /// Rules in place of this one; `None` where it is as wide as its use, or nothing narrower can be said.
    pub(super) fn shrink(&self, entry: &FlowEntry, used: &[Used]) -> Option<Vec<Narrower>> {
        let from = self.side(&entry.from, used.iter().map(|used| used.source));
        let to = self.side(&entry.to, used.iter().map(|used| used.destination));
        let mut cells: BTreeMap<(Part, Part), Ports> = BTreeMap::new();
        for used in used {
            let ends = (self.part(&from, used.source)?, self.part(&to, used.destination)?);
            let (sum, unanswered) =
                cells.entry(ends).or_default().entry((used.protocol, port_of(used))).or_default();
            sum.add(used.evidence);
            *unanswered += used.unanswered;
        }
        let mut blocks = blocks(cells);
        if blocks.len() > MOST {
            blocks = vec![around(blocks)];
        }
        let narrower: Vec<Narrower> =
            blocks.into_iter().map(|block| self.narrower(entry, &from, &to, block)).collect();
        let same = |old: &[Selector], new: &[Selector]| {
            let sorted = |list: &[Selector]| list.iter().map(canonical).collect::<BTreeSet<_>>();
            sorted(old) == sorted(new)
        };
        let fits = |one: &Narrower| {
            let ports = port_ranges(&one.ports) == port_ranges(&entry.ports);
            ports && same(&entry.from, &one.from) && same(&entry.to, &one.to)
        };
        match &narrower[..] {
            [one] if fits(one) => None,
            _ => Some(narrower),
        }
    }

    fn side<'e>(&self, selectors: &'e [Selector], ends: impl Iterator<Item = u32>) -> Side<'e> {
        let mut side = Side { selectors, addresses: BTreeMap::new() };
        for end in ends {
            if let Some((selector, Is::At(address))) = self.exact(selectors, end) {
                side.addresses.entry(selector).or_default().insert(address);
            }
        }
        side
    }

    /// An end by the first of a rule's selectors that means it.
    fn exact(&self, selectors: &[Selector], end: u32) -> Option<Part> {
        let end = self.audit.ends.get(end);
        let identity = &self.audit.ends.identities()[end.identity as usize];
        let set = &self.audit.ground.set;
        let who = match (end.workload, identity.kind) {
            (NOBODY, "host") => Who::Host,
            (NOBODY, "multicast") => Who::Multicast,
            (NOBODY, "world") => Who::World,
            (NOBODY, _) => Who::Labels(&identity.labels),
            (workload, _) => Who::Workload(&set.workloads[workload as usize]),
        };
        let of = End { who, place: Place::At(end.address) };
        let meant = |selector: &Selector| selects(std::slice::from_ref(selector), &of);
        let at = selectors.iter().position(meant)?;
        let is = match (&selectors[at], who, self.universe.find(&identity.labels)) {
            (Selector::Cidr { .. }, ..) | (_, Who::World | Who::Multicast, _) => Is::At(end.address),
            (_, Who::Host, _) => Is::Host,
            (_, _, Some(number)) => Is::Labelled(number),
            (_, _, None) => return None,
        };
        Some((at, is))
    }

    fn part(&self, side: &Side<'_>, end: u32) -> Option<Part> {
        let (selector, is) = self.exact(side.selectors, end)?;
        let wide = matches!(is, Is::At(_)) && side.is_wide(selector, self.options);
        Some((selector, if wide { Is::Wide } else { is }))
    }

    fn narrower(&self, entry: &FlowEntry, from: &Side<'_>, to: &Side<'_>, block: Block) -> Narrower {
        let (sources, destinations, used) = block;
        let mut total = Evidence::default();
        used.values().for_each(|(evidence, _)| total.add(*evidence));
        let (ports, unseen) = self.ports(entry, &used);
        Narrower {
            from: self.selectors(from, &sources),
            to: self.selectors(to, &destinations),
            ports,
            total,
            unanswered: used.values().map(|(_, unanswered)| unanswered).sum(),
            by_port: used.into_iter().map(|(at, (evidence, _))| (exactly(at), evidence)).collect(),
            unseen,
        }
    }

    /// Selectors for these parts, each no wider than the one that it comes from.
    fn selectors(&self, side: &Side<'_>, parts: &Parts) -> Vec<Selector> {
        let mut list = Vec::new();
        for (number, old) in side.selectors.iter().enumerate() {
            let own = || parts.iter().filter(|(selector, _)| *selector == number).map(|(_, is)| *is);
            let labelled: BTreeSet<u32> = own()
                .filter_map(|is| if let Is::Labelled(number) = is { Some(number) } else { None })
                .collect();
            let at: BTreeSet<IpAddr> =
                own().filter_map(|is| if let Is::At(at) = is { Some(at) } else { None }).collect();
            if !labelled.is_empty() {
                self.labelled(old, &labelled, &mut list);
            }
            if own().any(|is| is == Is::Host) {
                list.push(Selector::Entity(Entity::Host));
            }
            if own().any(|is| is == Is::Wide) {
                list.push(match old {
                    Selector::Cidr { cidrs, except } => smaller(cidrs, except, &side.addresses[&number]),
                    Selector::Labels(_) | Selector::Entity(_) => Selector::Entity(Entity::World),
                });
            } else if !at.is_empty() {
                list.push(Selector::Cidr {
                    cidrs: at.into_iter().map(IpNet::from).collect(),
                    except: Vec::new(),
                });
            }
        }
        list
    }

    /// Labels that mean these of those whom `old` means.
    fn labelled(&self, old: &Selector, wanted: &BTreeSet<u32>, list: &mut Vec<Selector>) {
        let everybody = Selector::Entity(Entity::Workloads);
        let (own, old) = match old {
            Selector::Labels(own) => (own.clone(), old),
            Selector::Cidr { .. } | Selector::Entity(_) => (LabelSelector::default(), &everybody),
        };
        let meant = |number: &u32| {
            let of = End { who: Who::Labels(self.universe.labels(*number)), place: Place::Anywhere(None) };
            selects(std::slice::from_ref(old), &of)
        };
        // Whoever else there is, the rule doesn't mean.
        let all = (0..self.universe.len()).filter(meant).collect::<BTreeSet<_>>();
        match self.universe.cover_among(wanted, Some(&all)) {
            Some(cover) if all != *wanted => list.extend(cover.into_iter().map(|mut selector| {
                selector.labels.extend(own.labels.clone());
                // What is said of a key whose value is given holds of it.
                let said = |key: &String| selector.labels.contains_key(key);
                let missing = own.expressions.iter().filter(|one| !said(&one.key));
                let missing: Vec<_> =
                    missing.filter(|one| !selector.expressions.contains(one)).cloned().collect();
                selector.expressions.extend(missing);
                Selector::Labels(selector)
            })),
            Some(_) | None => list.push(old.clone()),
        }
    }

    /// The ports that were used, and how many that weren't their ranges let in. No range goes beyond one of the rule's.
    fn ports(&self, entry: &FlowEntry, used: &Ports) -> (Vec<PortSpec>, u64) {
        let key = |(protocol, port): Port| u32::from(protocol) << 16 | u32::from(port);
        let mut list: Vec<PortSpec> = Vec::new();
        let mut unseen = 0;
        for (first, last) in port_ranges(&entry.ports) {
            let mut by_protocol: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
            for at in used.keys().filter(|at| (first..=last).contains(&key(**at))) {
                by_protocol.entry(at.0).or_default().push(at.1);
            }
            for (protocol, ports) in by_protocol {
                let ported = matches!(protocol, 6 | 17 | 132);
                let gap = if ported && ports.len() > FEW { u16::MAX } else { self.options.fold_ports };
                for port in ports {
                    if let Some(PortSpec::Ports { protocol: before, last, .. }) = list.last_mut()
                        && ported
                        && *before == protocol
                        && port - *last <= gap
                        && key((protocol, *last)) >= first
                    {
                        unseen += u64::from(port - *last - 1);
                        *last = port;
                    } else {
                        list.push(exactly((protocol, port)));
                    }
                }
            }
        }
        (list, unseen)
    }
}

fn port_of(used: &Used) -> u16 {
    if matches!(used.protocol, 1 | 6 | 17 | 58 | 132) { used.port } else { 0 }
}

/// Cells to blocks: ends with the same ports together, as far as all of their combinations are there.
fn blocks(cells: BTreeMap<(Part, Part), Ports>) -> Vec<Block> {
    // By destination and port, who.
    let mut sources: BTreeMap<(Part, Port), Parts> = BTreeMap::new();
    for ((from, to), ports) in &cells {
        ports.keys().for_each(|port| _ = sources.entry((*to, *port)).or_default().insert(*from));
    }
    // By destination and who, ports.
    let mut ports: BTreeMap<(Part, Parts), BTreeSet<Port>> = BTreeMap::new();
    for ((to, port), from) in sources {
        ports.entry((to, from)).or_default().insert(port);
    }
    // By who and ports, destinations.
    let mut destinations: BTreeMap<(Parts, BTreeSet<Port>), Parts> = BTreeMap::new();
    for ((to, from), ports) in ports {
        destinations.entry((from, ports)).or_default().insert(to);
    }
    let sum = |from: &Parts, to: &Parts, ports: &BTreeSet<Port>| {
        let mut sums = Ports::new();
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        for cell in pairs.filter_map(|ends| cells.get(&ends)) {
            for (port, (evidence, unanswered)) in cell.iter().filter(|(port, _)| ports.contains(port)) {
                let (sum, silent) = sums.entry(*port).or_default();
                sum.add(*evidence);
                *silent += unanswered;
            }
        }
        sums
    };
    destinations
        .into_iter()
        .map(|((from, ports), to)| {
            let ports = sum(&from, &to, &ports);
            (from, to, ports)
        })
        .collect()
}

/// One block with everything that is in some.
fn around(blocks: Vec<Block>) -> Block {
    let (mut from, mut to, mut all) = (Parts::new(), Parts::new(), Ports::new());
    for (sources, destinations, ports) in blocks {
        from.extend(sources);
        to.extend(destinations);
        for (port, (evidence, unanswered)) in ports {
            let (sum, silent) = all.entry(port).or_default();
            sum.add(evidence);
            *silent += unanswered;
        }
    }
    (from, to, all)
}

/// In each block, the smallest one around the addresses that were used.
fn smaller(cidrs: &[IpNet], except: &[IpNet], used: &BTreeSet<IpAddr>) -> Selector {
    let mut small: BTreeSet<IpNet> = BTreeSet::new();
    let mut left = used.clone();
    for block in cidrs {
        let inside: Vec<IpAddr> = left.iter().filter(|at| block.contains(*at)).copied().collect();
        left.retain(|at| !block.contains(at));
        if let (Some(first), Some(last)) = (inside.first(), inside.last()) {
            let holds = |length: &u8| IpNet::new(*first, *length).is_ok_and(|block| block.contains(last));
            let most = block.max_prefix_len();
            let length = (block.prefix_len()..=most).rev().find(holds).unwrap_or(block.prefix_len());
            small.insert(IpNet::new(*first, length).map_or(*block, |block| block.trunc()));
        }
    }
    let meets = |out: &&IpNet| small.iter().any(|block| block.contains(*out) || out.contains(block));
    Selector::Cidr {
        except: except.iter().filter(meets).copied().collect(),
        cidrs: small.into_iter().collect(),
    }
}

/// The order of blocks says nothing.
fn canonical(selector: &Selector) -> Selector {
    let mut selector = selector.clone();
    match &mut selector {
        Selector::Cidr { cidrs, except } => {
            cidrs.sort_unstable();
            except.sort_unstable();
        }
        Selector::Labels(labels) => labels.expressions.sort_unstable(),
        Selector::Entity(_) => {}
    }
    selector
}
