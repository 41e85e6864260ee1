//! Devices and addresses of this network namespace, as route netlink reports them.
//!
//! A [`Watch`] begins with everything that is there, then says [`Change::Complete`], then goes on with what changes. Where the
//! kernel had to drop reports, everything is asked for again and the differences are reported: nothing is missed.
//!
//! Architecture Invariant: nothing outside this module knows a netlink crate.

mod ask;
mod bound;
mod connections;
mod filters;
mod list;
mod message;
mod namespaces;
mod nat;
mod session;
mod state;
mod tenants;
mod xdp;
mod xsk;

use std::io;
use std::net::IpAddr;

use tokio::sync::mpsc;

pub use bound::{BoundSocket, bound_sockets};
pub use connections::{Connection, connections};
pub use filters::{Filter, Filters};
pub use list::devices;
pub use namespaces::{addresses_in, connections_behind, devices_into};
pub use nat::nat_chains;
pub use tenants::{Tenant, tenants};
pub use xdp::XdpPrograms;
pub use xsk::{XdpSocket, xdp_sockets};

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Its name now. Chosen by whoever made it: escape it where it is shown.
    pub name: String,
    /// What kind of device, as `ip -details link` names it (`veth`, `netkit`, `tun`, `bridge`); empty for hardware and loopback.
    pub kind: String,
    /// Whether frames have an Ethernet header.
    pub ethernet: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// Its own hardware address, where it is an Ethernet one.
    pub mac: Option<[u8; 6]>,
    /// Index of the other end (of a veth) or of the device below (of a VLAN), in that one's network namespace.
    pub peer: Option<u32>,
    /// Whether that one is in another network namespace.
    pub abroad: bool,
}

impl Link {
    /// Whether it is one end of a pair, with the other in another network namespace.
    #[must_use]
    pub fn leads_abroad(&self) -> bool {
        self.abroad && matches!(self.kind.as_str(), "veth" | "netkit")
    }
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A device is there.
    Appeared(Link),
    /// A device has another name.
    Renamed {
        /// It, with the name it has now.
        link: Link,
        /// The name it had.
        before: String,
    },
    /// Something of a device other than its name changed.
    Changed(Link),
    /// A device has gone, deleted or moved to another network namespace.
    Gone(Link),
    /// This is now an address of this namespace.
    AddressAppeared(IpAddr),
    /// This is none any more.
    AddressGone(IpAddr),
    /// Everything that was there at first has been reported.
    Complete,
}

/// Reports of changes, in order.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::UnboundedReceiver<Change>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Starts watching the network namespace of the calling thread. Must be called inside a tokio runtime.
    pub fn start() -> io::Result<Self> {
        let session = session::Session::open()?;
        let (sender, changes) = mpsc::unbounded_channel();
        let task = tokio::spawn(session::run(session, sender));
        Ok(Self { changes, task })
    }

    /// The next change. Never ends as long as the runtime runs.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
