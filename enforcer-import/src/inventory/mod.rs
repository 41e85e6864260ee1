//! What runs, under which addresses and labels, and since when: one form for every system that can be asked.
//!
//! Where labels come from, and which keys nobody but this module may give, says [`labels`].

mod docker;
mod documents;
mod ec2;
mod finish;
pub(crate) mod kubernetes;
pub mod labels;
pub(crate) mod names;
mod owners;
pub(crate) mod read;

use enforcer_policy::model::Labels;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use documents::{Hooks, Merged};
pub use owners::Owners;
pub use read::ReadError;

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Time = i64;

/// Everything that the sources name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Things that run or have run, in the order in which the sources name them.
    pub entries: Vec<Entry>,
    /// Labels of the Kubernetes namespaces that the sources describe, as they are there, without prefix.
    pub namespaces: BTreeMap<String, Labels>,
    /// What was left out or contradicts itself.
    pub problems: Vec<Problem>,
}

/// Something that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name as its system has it. Chosen by others: bounded, but to be escaped wherever it is shown.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Name of its document: valid, and unique in the inventory.
    pub document: String,
    /// Identity labels, valid in documents. Never empty.
    pub labels: Labels,
    /// Its addresses, and when they were its own.
    pub addresses: Vec<Held>,
    /// Ports with names.
    pub ports: Vec<NamedPort>,
    /// Which source names it.
    pub source: Arc<str>,
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A pod with a network of its own.
    Pod,
    /// A pod in its node's network: its addresses are the node's.
    HostPod,
    /// A machine that runs pods.
    Node,
    /// An EC2 instance.
    Instance,
    /// An EC2 network interface of something else than an instance (a load balancer, a database).
    Interface,
    /// A container with a network of its own.
    Container,
    /// A container in its host's network. It has no addresses here.
    HostContainer,
}

/// An address, and the time in which it belongs to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The address.
    pub address: IpAddr,
    /// First instant; for ever before `until` where it isn't known.
    pub from: Option<Time>,
    /// First instant at which it is free again; `None` while it is in use.
    pub until: Option<Time>,
}

/// A port that rules may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// IP protocol number.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// Something in a source that was left out or that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The source.
    pub source: Arc<str>,
    /// What is wrong, safe to show.
    pub message: String,
}

impl fmt::Display for Problem {
    /// `source: message`, safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", enforcer_policy::diagnostic::shown(&self.source), self.message)
    }
}

impl Held {
    /// Whether the address belongs to its entry at this instant; without one, now: while nothing ended it.
    pub fn at(&self, time: Option<Time>) -> bool {
        match time {
            None => self.until.is_none(),
            Some(time) => {
                self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time < until)
            }
        }
    }
}

impl Entry {
    /// Whether the enforcer would have a hook at its boundary: it has a network of its own.
    pub fn managed(&self) -> bool {
        match self.kind {
            Kind::Pod | Kind::Instance | Kind::Container => true,
            Kind::HostPod | Kind::Node | Kind::Interface | Kind::HostContainer => false,
        }
    }

    /// Whether it becomes a document of its own. What lives in its machine's network is seen as the machine.
    pub fn is_identity(&self) -> bool {
        !matches!(self.kind, Kind::HostPod | Kind::HostContainer)
    }

    /// Its addresses at this instant, or now.
    pub fn addresses_at(&self, time: Option<Time>) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().filter(move |held| held.at(time)).map(|held| held.address)
    }
}
