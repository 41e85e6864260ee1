//! What is known of the namespace, and what a report changes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Change, Link};

/// An address on a device: the same one can be on several.
pub(super) type Placed = (u32, IpAddr);

/// One report of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Report {
    Link(Link),
    LinkGone(u32),
    Address(Placed),
    AddressGone(Placed),
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct State {
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<Placed>,
}

impl State {
    /// Takes in a report.
    pub(super) fn take(&mut self, report: Report) -> Vec<Change> {
        match report {
            Report::Link(link) => self.link(link).into_iter().collect(),
            Report::LinkGone(index) => self.link_gone(index),
            Report::Address((index, address)) => {
                let known = self.has(address);
                self.addresses.insert((index, address));
                if known { Vec::new() } else { vec![Change::AddressAppeared(address)] }
            }
            Report::AddressGone(placed) => self.address_gone(placed).into_iter().collect(),
        }
    }

    /// Takes in everything that is there: what isn't among it has gone.
    pub(super) fn replace(&mut self, reports: Vec<Report>) -> Vec<Change> {
        let mut links = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for report in &reports {
            match report {
                Report::Link(link) => drop(links.insert(link.index)),
                Report::Address(placed) => drop(addresses.insert(*placed)),
                Report::LinkGone(_) | Report::AddressGone(_) => {}
            }
        }
        let gone: Vec<u32> = self.links.keys().copied().filter(|index| !links.contains(index)).collect();
        let mut changes: Vec<Change> = gone.into_iter().flat_map(|index| self.link_gone(index)).collect();
        changes.extend(reports.into_iter().flat_map(|report| self.take(report)));
        // Last: an address that moved from one device to another never went.
        let gone: Vec<Placed> = self.addresses.difference(&addresses).copied().collect();
        changes.extend(gone.into_iter().filter_map(|placed| self.address_gone(placed)));
        changes
    }

    fn link(&mut self, link: Link) -> Option<Change> {
        match self.links.insert(link.index, link.clone()) {
            None => Some(Change::Appeared(link)),
            Some(old) if old == link => None,
            Some(old) if old.name != link.name => Some(Change::Renamed { link, before: old.name }),
            Some(_) => Some(Change::Changed(link)),
        }
    }

    fn link_gone(&mut self, index: u32) -> Vec<Change> {
        let on_it: Vec<Placed> = self.addresses.iter().copied().filter(|(on, _)| *on == index).collect();
        let mut changes: Vec<Change> =
            on_it.into_iter().filter_map(|placed| self.address_gone(placed)).collect();
        changes.extend(self.links.remove(&index).map(Change::Gone));
        changes
    }

    fn address_gone(&mut self, placed: Placed) -> Option<Change> {
        let was = self.addresses.remove(&placed);
        (was && !self.has(placed.1)).then_some(Change::AddressGone(placed.1))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, known)| *known == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: "veth".to_owned(),
            ethernet: true,
            loopback: false,
            mac: None,
            peer: None,
            abroad: false,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_device_appears_is_renamed_changes_and_goes() {
        let mut state = State::default();
        let (a, b) = (link(3, "a"), link(3, "b"));
        let changed = Link { mac: Some([1; 6]), ..b.clone() };
        assert_eq!(state.take(Report::Link(a.clone())), [Change::Appeared(a.clone())]);
        assert_eq!(state.take(Report::Link(a)), []);
        let renamed = Change::Renamed { link: b.clone(), before: "a".to_owned() };
        assert_eq!(state.take(Report::Link(b)), [renamed]);
        assert_eq!(state.take(Report::Link(changed.clone())), [Change::Changed(changed.clone())]);
        assert_eq!(state.take(Report::LinkGone(3)), [Change::Gone(changed)]);
        assert_eq!(state.take(Report::LinkGone(3)), []);
    }

    #[test]
    fn an_address_on_two_devices_goes_with_the_second() {
        let mut state = State::default();
        let address = ip("192.0.2.1");
        assert_eq!(state.take(Report::Address((1, address))), [Change::AddressAppeared(address)]);
        assert_eq!(state.take(Report::Address((2, address))), []);
        assert_eq!(state.take(Report::AddressGone((1, address))), []);
        assert_eq!(state.take(Report::LinkGone(2)), [Change::AddressGone(address)]);
    }

    #[test]
    fn replacing_reports_the_differences_only() {
        let mut state = State::default();
        let (moved, lost) = (ip("192.0.2.1"), ip("2001:db8::1"));
        let before = [Report::Link(link(1, "one")), Report::Link(link(2, "two"))];
        let placed = [Report::Address((1, moved)), Report::Address((2, lost))];
        before.into_iter().chain(placed).for_each(|report| drop(state.take(report)));
        let now =
            vec![Report::Link(link(1, "one")), Report::Link(link(3, "three")), Report::Address((3, moved))];
        let expected =
            [Change::AddressGone(lost), Change::Gone(link(2, "two")), Change::Appeared(link(3, "three"))];
        assert_eq!(state.replace(now.clone()), expected);
        assert_eq!(state.replace(now), []);
    }
}
