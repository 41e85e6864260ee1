//! Quarantine in the tables: marks on a workload and on its addresses, and how it is cut off. Written over the tables in place, whatever
//! else they hold: it never needs a compile.

use super::Compiled;
use super::image::Delta;
use super::names::IdentityKind;
use crate::explain::single_port;
use crate::model::{Endpoint, Entity, PortSpec};
use enforcer_common::address;
use enforcer_common::maps::{Quarantine as Entry, Subject, kind};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A workload that is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Name of the Workload document.
    pub workload: String,
    /// Until when, boot-time clock, nanoseconds; `u64::MAX` for until it is released.
    pub deadline: u64,
    /// The one path into it that is left.
    pub except: Option<Except>,
}

/// A path into a workload that is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Except {
    /// Who may open it.
    pub from: Endpoint,
    /// At which port.
    pub port: PortSpec,
}

/// Why the path of a quarantine can't be left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptError {
    /// The port is a range.
    #[error("`{0}` is more than one port")]
    Port(PortSpec),
    /// Nothing is selected.
    #[error("nothing that is known is named so")]
    Nobody,
    /// Too much is.
    #[error("that names {0} workloads and groups, and a quarantine leaves a path for at most {most}", most = Entry::PEERS)]
    Many(usize),
}

impl Compiled {
    /// Makes these the workloads that are cut off, and nobody else: what to write. Workloads that aren't in the set, and paths whose other end isn't, are
    /// left out.
    pub fn set_quarantines(&mut self, all: &[Quarantine]) -> Delta {
        let mut wanted: BTreeMap<u32, Entry> = BTreeMap::new();
        for quarantine in all {
            let Some(known) = self.state.workloads.get(&quarantine.workload) else { continue };
            let mut entry = Entry::sealed(quarantine.deadline);
            if let Some(except) = &quarantine.except
                && let Ok(open) = self.except(except)
            {
                entry = Entry { deadline: quarantine.deadline, ..open };
            }
            wanted.insert(known.identity, entry);
        }
        let mut delta = Delta::default();
        let before = std::mem::take(&mut self.state.quarantined);
        let touched: Vec<(Vec<IpAddr>, bool)> = self
            .state
            .workloads
            .values()
            .filter(|known| wanted.contains_key(&known.identity) != before.contains(&known.identity))
            .map(|known| (known.addresses.clone(), wanted.contains_key(&known.identity)))
            .collect();
        for (addresses, held) in touched {
            for at in addresses {
                self.mark(&mut delta, at, held);
            }
        }
        for plan in &mut self.subjects {
            let held = wanted.contains_key(&plan.identity);
            if held != (plan.subject.flags & Subject::QUARANTINED != 0) {
                plan.subject.flags ^= Subject::QUARANTINED;
                plan.hosted.iter_mut().for_each(|(_, subject)| subject.flags ^= Subject::QUARANTINED);
                delta.subjects.push(plan.clone());
            }
        }
        let known: BTreeMap<u32, Entry> = self.image.quarantines.iter().copied().collect();
        delta.quarantines.extend(
            wanted
                .iter()
                .filter(|(identity, entry)| known.get(*identity) != Some(*entry))
                .map(|(identity, entry)| (*identity, Some(*entry))),
        );
        delta.quarantines.extend(
            known.keys().filter(|identity| !wanted.contains_key(*identity)).map(|gone| (*gone, None)),
        );
        self.state.quarantined = wanted.into_keys().collect();
        self.image.apply(&delta);
        delta
    }

    /// What a path is to the tables, or why there can be none.
    pub fn except(&self, except: &Except) -> Result<Entry, ExceptError> {
        let (protocol, port) = single_port(&except.port).ok_or(ExceptError::Port(except.port))?;
        let mut entry = Entry::sealed(u64::MAX);
        entry.port = u32::from(protocol) << 16 | u32::from(port);
        let by = |wanted: &dyn Fn(&super::IdentityInfo) -> bool| -> Vec<u32> {
            self.identities.values().filter(|info| wanted(info)).map(|info| info.number).collect()
        };
        let peers = match &except.from {
            Endpoint::Address(at) => {
                match at {
                    IpAddr::V4(at) => entry.address[0] = address::v4(at.octets())[0],
                    IpAddr::V6(at) => entry.address = address::v6(at.octets()),
                }
                entry.family = if at.is_ipv4() { 4 } else { 6 };
                return Ok(entry);
            }
            Endpoint::Entity(Entity::World) => vec![0],
            Endpoint::Entity(_) => by(&|info| info.kind == IdentityKind::Host),
            Endpoint::Workload(name) => by(&|info| info.kind != IdentityKind::Host && info.name == *name),
            Endpoint::Labels(labels) => by(&|info| info.kind != IdentityKind::Host && info.labels == *labels),
        };
        match peers.len() {
            0 => Err(ExceptError::Nobody),
            count if count > Entry::PEERS => Err(ExceptError::Many(count)),
            count => {
                entry.peers[..count].copy_from_slice(&peers);
                entry.count = count as u32;
                Ok(entry)
            }
        }
    }

    /// Names of the workloads of the set.
    pub fn workloads(&self) -> impl Iterator<Item = &str> {
        self.state.workloads.keys().map(String::as_str)
    }

    /// Notes that an address of a workload is marked, or isn't any more.
    fn mark(&self, delta: &mut Delta, at: IpAddr, held: bool) {
        let marked = |endpoint: enforcer_common::maps::Endpoint| {
            let plain = endpoint.kind & !kind::QUARANTINED;
            let kind = if held { plain | kind::QUARANTINED } else { plain };
            enforcer_common::maps::Endpoint { kind, ..endpoint }
        };
        match at {
            IpAddr::V4(at) => {
                let key = address::v4(at.octets());
                if let Ok(place) = self.image.addresses4.binary_search_by_key(&key, |(key, _)| *key) {
                    delta.addresses4.push((key, Some(marked(self.image.addresses4[place].1))));
                }
            }
            IpAddr::V6(at) => {
                let key = address::v6(at.octets());
                if let Ok(place) = self.image.addresses6.binary_search_by_key(&key, |(key, _)| *key) {
                    delta.addresses6.push((key, Some(marked(self.image.addresses6[place].1))));
                }
            }
        }
    }
}
