//! From what was seen to rules: sources, destinations and ports are put together only where all of their combinations were seen.

use super::apart::{Judgement, Why};
use super::selectors::Universe;
use super::targets::{Class, Target, sort};
use super::{Apart, Entry, Evidence, Options, Party, Policy, Suggestion};
use crate::audit::Audit;
use crate::report::Identity;
use enforcer_policy::model::{Entity, Labels, PortSpec, Selector};
use enforcer_policy::write::unique;
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Ports of flows that are set apart, up to which the entry that would allow them is told.
const FEW: usize = 8;

type Parties = BTreeSet<Party>;
type Port = (u8, u16);

/// What was seen at each port, and of each source.
type Told = (Vec<(Port, Evidence)>, BTreeMap<Party, Evidence>);

/// The same for each set of sources.
type Rows = Vec<(Parties, Told)>;

/// The same without the evidence.
type Shape = Vec<(Parties, Vec<Port>)>;

pub(super) fn suggest(audit: &Audit, options: &Options) -> Suggestion {
    let universe = Universe::of(audit);
    let identities: Vec<Option<u32>> =
        audit.ends.identities().iter().map(|identity| universe.find(&identity.labels)).collect();
    let party = |end: u32| {
        let end = audit.ends.get(end);
        match (audit.ends.identities()[end.identity as usize].kind, identities[end.identity as usize]) {
            ("host", _) => Party::Host,
            ("workload" | "group", Some(number)) => Party::Labelled(number),
            _ => Party::Address(end.address),
        }
    };
    let class = |target: &Target| -> Class {
        (party(target.source), party(target.destination), target.protocol, target.port)
    };
    let mut sorted = sort(audit, party);
    let judgement = Judgement::of(audit, &sorted, class);
    let mut seen: BTreeMap<Class, Evidence> = BTreeMap::new();
    for (target, what) in std::mem::take(&mut sorted.candidates) {
        let class = class(&target);
        let why = judgement.why(&target, &what, &class).or_else(|| {
            let named = |party| selectors(&universe, &[party].into()).is_some();
            (!named(class.0) || !named(class.1)).then_some(Why::Labels)
        });
        match why {
            Some(why) => sorted.out.entry((why, class)).or_default().add(what.evidence),
            None => seen.entry(class).or_default().add(what.evidence),
        }
    }
    // What a rule is made for anyway needs no judgement.
    sorted.out.retain(|(why, class), evidence| {
        let made = why.is_open() && seen.contains_key(class);
        if made && let Some(seen) = seen.get_mut(class) {
            seen.add(*evidence);
        }
        !made
    });
    let mut covered = Evidence::default();
    seen.values().for_each(|evidence| covered.add(*evidence));
    let names = audit.ground.set.policies.iter().map(|policy| policy.name.clone()).collect();
    Suggestion {
        sources: audit.sources.iter().map(|source| source.name.clone()).collect(),
        window: audit.window,
        policies: policies(audit, &universe, seen, options, names),
        apart: apart(audit, &universe, sorted.out),
        covered,
        allowed_before: sorted.allowed_before,
    }
}

/// Selectors that mean exactly these; `None` where there are none.
fn selectors(universe: &Universe, parties: &Parties) -> Option<Vec<Selector>> {
    let labelled = parties.iter().filter_map(|party| match party {
        Party::Labelled(identity) => Some(*identity),
        _ => None,
    });
    let cover = universe.cover(&labelled.collect())?;
    let mut list: Vec<Selector> = cover.into_iter().map(Selector::Labels).collect();
    let mut cidrs = Vec::new();
    for party in parties {
        match party {
            Party::Labelled(_) => {}
            Party::Host => list.push(Selector::Entity(Entity::Host)),
            Party::World => list.push(Selector::Entity(Entity::World)),
            Party::Address(address) => cidrs.push(IpNet::from(*address)),
        }
    }
    if !cidrs.is_empty() {
        list.push(Selector::Cidr { cidrs, except: Vec::new() });
    }
    Some(list)
}

/// Sources that reached the same destinations, destinations that were reached by the same sources, ports likewise: never more than was seen,
/// but for the world.
fn policies(
    audit: &Audit,
    universe: &Universe,
    seen: BTreeMap<Class, Evidence>,
    options: &Options,
    mut names: HashSet<String>,
) -> Vec<Policy> {
    let is_world = |party: &Party| matches!(party, Party::Address(at) if !is_group(*at));
    // Addresses of the world by the other end and port: few are named, many are the world.
    let mut inbound: BTreeMap<(Party, Port), Parties> = BTreeMap::new();
    let mut outbound: BTreeMap<(Party, Port), Parties> = BTreeMap::new();
    for (from, to, protocol, port) in seen.keys() {
        if is_world(from) {
            inbound.entry((*to, (*protocol, *port))).or_default().insert(*from);
        }
        if is_world(to) {
            outbound.entry((*from, (*protocol, *port))).or_default().insert(*to);
        }
    }
    let few = |parties: &Parties| parties.len() <= options.world_addresses;
    // By destination and port, who.
    let mut by_port: BTreeMap<(Parties, Port), BTreeMap<Party, Evidence>> = BTreeMap::new();
    for ((from, to, protocol, port), evidence) in seen {
        let at = (protocol, port);
        let source = if is_world(&from) && !few(&inbound[&(to, at)]) { Party::World } else { from };
        let destination = if !is_world(&to) {
            [to].into()
        } else if few(&outbound[&(from, at)]) {
            outbound[&(from, at)].clone()
        } else {
            [Party::World].into()
        };
        by_port.entry((destination, at)).or_default().entry(source).or_default().add(evidence);
    }
    // By destination and who, ports.
    let mut rows: BTreeMap<Parties, BTreeMap<Parties, Told>> = BTreeMap::new();
    for ((destination, port), sources) in by_port {
        let parties = sources.keys().copied().collect();
        let (ports, of) = rows.entry(destination).or_default().entry(parties).or_default();
        let mut total = Evidence::default();
        for (source, evidence) in sources {
            total.add(evidence);
            of.entry(source).or_default().add(evidence);
        }
        ports.push((port, total));
    }
    // Destinations with the same ports and sources stand together.
    let mut alike: BTreeMap<Shape, (Parties, Rows)> = BTreeMap::new();
    let mut entries: Vec<(Parties, Rows)> = Vec::new();
    for (destination, rows) in rows {
        let labelled = destination.iter().all(|party| matches!(party, Party::Labelled(_)));
        let rows: Rows = rows.into_iter().collect();
        if !labelled {
            entries.push((destination, rows));
            continue;
        }
        let key = rows
            .iter()
            .map(|(sources, (ports, _))| (sources.clone(), ports.iter().map(|(port, _)| *port).collect()))
            .collect();
        match alike.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((destination, rows));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let (destinations, sum) = entry.get_mut();
                destinations.extend(destination);
                for ((_, (ports, of)), (_, (more_ports, more))) in sum.iter_mut().zip(rows) {
                    ports.iter_mut().zip(more_ports).for_each(|((_, to), (_, from))| to.add(from));
                    more.into_iter().for_each(|(party, evidence)| of.entry(party).or_default().add(evidence));
                }
            }
        }
    }
    entries.extend(alike.into_values());
    let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
    for (destination, rows) in entries {
        let Some(to) = selectors(universe, &destination) else { continue };
        let title = title(audit, universe, &destination);
        let shared = !destination.iter().any(|party| matches!(party, Party::Labelled(_)));
        // The world's parts share one policy; identities have theirs.
        let name = if shared && policies.contains_key(&title) { title } else { unique(&title, &mut names) };
        let policy = policies.entry(name.clone()).or_insert_with(|| Policy { name, entries: Vec::new() });
        for (sources, told) in rows {
            let Some(from) = selectors(universe, &sources) else { continue };
            let by_source = by_source(universe, told.1);
            policy.entries.push(entry(from, to.clone(), told.0, by_source, options));
        }
    }
    policies.into_values().collect()
}

/// What was seen of each source, by what means it; the least of it first, for that is what may be a mistake.
fn by_source(universe: &Universe, of: BTreeMap<Party, Evidence>) -> Vec<(Vec<Selector>, Evidence)> {
    let told = of.into_iter().filter_map(|(party, evidence)| {
        selectors(universe, &[party].into()).map(|selectors| (selectors, evidence))
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(_, evidence)| evidence.flows);
    told
}

fn entry(
    from: Vec<Selector>,
    to: Vec<Selector>,
    seen: Vec<(Port, Evidence)>,
    by_source: Vec<(Vec<Selector>, Evidence)>,
    options: &Options,
) -> Entry {
    let mut total = Evidence::default();
    seen.iter().for_each(|(_, evidence)| total.add(*evidence));
    let (ports, unseen) = fold(seen.iter().map(|(port, _)| *port), options.fold_ports);
    let by_port = seen.into_iter().map(|(at, evidence)| (exactly(at), evidence)).collect();
    Entry { from, to, ports, total, by_port, by_source, unseen }
}

/// Nothing but this port: of ICMP, this type with this code.
pub(super) fn exactly((protocol, port): Port) -> PortSpec {
    match protocol {
        6 | 17 | 132 => PortSpec::Ports { protocol, first: port, last: port },
        1 | 58 => {
            let [kind, code] = port.to_be_bytes();
            PortSpec::Icmp { protocol, kind, code: Some(code) }
        }
        _ => PortSpec::Protocol(protocol),
    }
}

/// Ports in ascending order to ranges, and how many ports of those nobody has used.
fn fold(ports: impl Iterator<Item = Port>, gap: u16) -> (Vec<PortSpec>, u64) {
    let mut folded: Vec<PortSpec> = Vec::new();
    let mut unseen = 0;
    for (protocol, port) in ports {
        if let Some(PortSpec::Ports { protocol: before, last, .. }) = folded.last_mut()
            && *before == protocol
            && port - *last <= gap
        {
            unseen += u64::from(port - *last - 1);
            *last = port;
        } else {
            folded.push(exactly((protocol, port)));
        }
    }
    (folded, unseen)
}

fn is_group(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(at) => at.is_multicast() || at.is_broadcast(),
        std::net::IpAddr::V6(at) => at.is_multicast(),
    }
}

/// A policy's name, by what it is about.
fn title(audit: &Audit, universe: &Universe, destination: &Parties) -> String {
    let word = match destination.first() {
        Some(Party::Labelled(identity)) => {
            let labels = universe.labels(*identity);
            let names = ["app", "app.kubernetes.io/name", "k8s-app", "name", "role"];
            let name = names.iter().find_map(|key| labels.get(*key)).map(String::as_str);
            let only = identity_of(audit, labels).and_then(Identity::name);
            // `shop.redis-86a1b907d-00000` is one of the pods that `redis` names.
            let own =
                only.filter(|only| destination.len() == 1 && name.is_none_or(|name| !only.contains(name)));
            slug(own.or(name).or(only).unwrap_or_default(), "identity")
        }
        Some(Party::Host) => "host".to_owned(),
        Some(Party::Address(at)) if is_group(*at) => "multicast".to_owned(),
        _ => "world".to_owned(),
    };
    format!("to-{word}")
}

/// A name that may stand in a document's, whatever the text is.
fn slug(text: &str, otherwise: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(64) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { otherwise.to_owned() } else { slug.to_owned() }
}

fn identity_of<'a>(audit: &'a Audit, labels: &Labels) -> Option<&'a Identity> {
    audit.ends.identities().iter().find(|identity| identity.labels == *labels)
}

/// What isn't made a rule, by reason and ends.
fn apart(audit: &Audit, universe: &Universe, out: BTreeMap<(Why, Class), Evidence>) -> Vec<Apart> {
    type Lump = (BTreeSet<Port>, Evidence, Parties, Parties);
    let mut lumps: BTreeMap<(Why, Party, Party), Lump> = BTreeMap::new();
    let coarse = |party: Party| match party {
        Party::Address(at) if !is_group(at) => Party::World,
        party => party,
    };
    for ((why, (from, to, protocol, port)), evidence) in out {
        let (ports, sum, sources, destinations) = lumps.entry((why, coarse(from), coarse(to))).or_default();
        ports.insert((protocol, port));
        sum.add(evidence);
        sources.insert(from);
        destinations.insert(to);
    }
    let mut shown: FxHashMap<u32, String> = FxHashMap::default();
    let mut name = |parties: &Parties| match parties.first() {
        Some(Party::Labelled(number)) => shown
            .entry(*number)
            .or_insert_with(|| {
                let labels = universe.labels(*number);
                let name = identity_of(audit, labels).and_then(Identity::name).unwrap_or_default();
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("{name} ({})", pairs.join(",")).trim_start().to_owned()
            })
            .clone(),
        Some(Party::Host) => "host".to_owned(),
        Some(Party::Address(at)) if parties.len() == 1 => at.to_string(),
        Some(Party::Address(_) | Party::World) | None => format!("{} addresses of the world", parties.len()),
    };
    let lumps = lumps.into_iter().map(|((why, ..), (ports, evidence, sources, destinations))| {
        let few = ports.len() <= FEW && sources.len() <= FEW && destinations.len() <= FEW;
        let entry = if why.is_open() && few {
            selectors(universe, &sources).zip(selectors(universe, &destinations))
        } else {
            None
        };
        let (from, to) = (name(&sources), name(&destinations));
        Apart { why, from, to, ports: fold(ports.into_iter(), 1).0, evidence, entry }
    });
    lumps.collect()
}
