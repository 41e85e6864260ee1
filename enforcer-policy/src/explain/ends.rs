//! The ends of a flow that nobody sent: what an [`Endpoint`] stands for.

use super::Explainer;
use crate::diagnostic::shown;
use crate::model::{AddressGroup, Endpoint, Entity, Labels, Workload};
use enforcer_common::address;
use std::fmt;
use std::net::IpAddr;

/// What an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// A Workload document.
    Workload(&'a Workload),
    /// An AddressGroup document.
    Group(&'a AddressGroup),
    /// Labels that no document carries: an identity that may exist elsewhere.
    Labels(&'a Labels),
    /// The machine itself.
    Host,
    /// A multicast or broadcast destination.
    Multicast,
    /// Addresses that nothing names.
    World,
}

/// Where an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    At(IpAddr),
    /// At some address that no block names but those of the whole family: IPv4 if `Some(true)`, IPv6 if `Some(false)`.
    Anywhere(Option<bool>),
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// What it is.
    pub who: Who<'a>,
    /// Where it is.
    pub place: Place,
}

impl<'a> End<'a> {
    /// Its labels, if it has some.
    pub fn labels(&self) -> Option<&'a Labels> {
        match self.who {
            Who::Workload(workload) => Some(&workload.labels),
            Who::Group(group) => Some(&group.labels),
            Who::Labels(labels) => Some(labels),
            Who::Host | Who::Multicast | Who::World => None,
        }
    }

    /// Its address, where it has one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.place {
            Place::At(address) => Some(address),
            Place::Anywhere(_) => None,
        }
    }
}

impl fmt::Display for End<'_> {
    /// Name, labels and address, safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Workload(workload) => f.write_str(&shown(&workload.name))?,
            Who::Group(group) => write!(f, "group {}", shown(&group.name))?,
            Who::Labels(_) => f.write_str("an identity")?,
            Who::Host => f.write_str("host")?,
            Who::Multicast => f.write_str("multicast")?,
            Who::World => f.write_str("world")?,
        }
        if let Some(labels) = self.labels() {
            write!(f, " ({})", pairs(labels))?;
        }
        match self.place {
            Place::At(address) => write!(f, " at {address}"),
            Place::Anywhere(_) => Ok(()),
        }
    }
}

/// Characters of labels in one line, but for the first of them.
const LABELS: usize = 80;

/// `app=web,env=prod`, safe to show: as many as a line holds.
pub(super) fn pairs(labels: &Labels) -> String {
    let mut text = String::new();
    for (key, value) in labels {
        let pair = format!("{}={}", shown(key), shown(value));
        if !text.is_empty() && text.len() + pair.len() > LABELS {
            return text + ",…";
        }
        if !text.is_empty() {
            text.push(',');
        }
        text += &pair;
    }
    text
}

/// Whether an address names a group of receivers.
pub fn is_multicast(at: IpAddr) -> bool {
    match at {
        IpAddr::V4(v4) => address::is_multicast(&address::v4(v4.octets())),
        IpAddr::V6(v6) => address::is_multicast(&address::v6(v6.octets())),
    }
}

impl<'a> Explainer<'a> {
    /// Whose `address` is.
    pub fn identify(&self, at: IpAddr) -> Who<'a> {
        if is_multicast(at) {
            return Who::Multicast;
        }
        if let Some(workload) = self.compiled.owner(at).and_then(|name| self.workloads.get(name)) {
            return Who::Workload(workload);
        }
        if self.inputs.host.contains(&at) || at.is_loopback() {
            return Who::Host;
        }
        match self.compiled.group(at).and_then(|index| self.inputs.set.groups.get(index)) {
            Some(group) => Who::Group(group),
            None => Who::World,
        }
    }

    /// Everything that `endpoint` stands for: a workload at each of its addresses, a group at the first address of each of its
    /// blocks. Nothing where no document has the name.
    pub fn ends<'b: 'a>(&self, endpoint: &'b Endpoint) -> Vec<End<'a>> {
        let anywhere = |who| vec![End { who, place: Place::Anywhere(None) }];
        match endpoint {
            Endpoint::Address(at) => vec![End { who: self.identify(*at), place: Place::At(*at) }],
            Endpoint::Entity(Entity::Host) => anywhere(Who::Host),
            Endpoint::Entity(Entity::World) => anywhere(Who::World),
            // These name no single endpoint.
            Endpoint::Entity(Entity::Workloads | Entity::All) => Vec::new(),
            Endpoint::Workload(name) => self.named(|of, _| of == name),
            Endpoint::Labels(labels) => {
                let ends = self.named(|_, of| of == labels);
                if ends.is_empty() { anywhere(Who::Labels(labels)) } else { ends }
            }
        }
    }

    fn named(&self, wanted: impl Fn(&str, &Labels) -> bool) -> Vec<End<'a>> {
        let mut ends = Vec::new();
        let mut add = |who: Who<'a>, addresses: Vec<IpAddr>| {
            if addresses.is_empty() {
                ends.push(End { who, place: Place::Anywhere(None) });
            }
            ends.extend(addresses.into_iter().map(|at| End { who, place: Place::At(at) }));
        };
        for workload in
            self.inputs.set.workloads.iter().filter(|workload| wanted(&workload.name, &workload.labels))
        {
            add(Who::Workload(workload), workload.addresses.clone());
        }
        for group in self.inputs.set.groups.iter().filter(|group| wanted(&group.name, &group.labels)) {
            let who = Who::Group(group);
            let firsts = group.cidrs.iter().map(|block| block.network());
            add(who, firsts.filter(|first| self.identify(*first) == who).collect());
        }
        ends
    }
}

/// Every pair of ends that can speak to each other: of one family, and of ICMP's own for ICMP. Where no addresses fit, the
/// identities without them.
pub(super) fn couples<'a>(from: &[End<'a>], to: &[End<'a>], protocol: u8) -> Vec<(End<'a>, End<'a>)> {
    let wanted = match protocol {
        1 => Some(true),
        58 => Some(false),
        _ => None,
    };
    let product = || from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
    let couples: Vec<_> = product().filter_map(|(from, to)| couple(from, to, wanted)).collect();
    if !couples.is_empty() {
        return couples;
    }
    let place = Place::Anywhere(wanted);
    product().map(|(from, to)| (End { place, ..*from }, End { place, ..*to })).collect()
}

fn couple<'a>(from: &End<'a>, to: &End<'a>, wanted: Option<bool>) -> Option<(End<'a>, End<'a>)> {
    let mut family = wanted;
    for at in [from, to].into_iter().filter_map(End::address) {
        if family.is_some_and(|v4| v4 != at.is_ipv4()) {
            return None;
        }
        family = Some(at.is_ipv4());
    }
    let settled = |end: &End<'a>| match end.place {
        Place::At(_) => *end,
        Place::Anywhere(_) => End { place: Place::Anywhere(family), ..*end },
    };
    Some((settled(from), settled(to)))
}
