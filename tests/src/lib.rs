//! Worlds to test in: network namespaces, the real daemon, and drivers that send real packets.
//!
//! A [`World`] has one namespace that stands for a host, where the daemon runs, and one for each workload, joined to
//! the host by a veth pair. Traffic between workloads is routed by the host and so passes both host-side devices.
//! Nothing here needs programs other than `ip` and `nsenter`, and nothing waits without a limit.
//!
//! ```no_run
//! use enforcer_tests::{Probe, Protocol, world};
//!
//! let mut world = world!();
//! let web = world.workload("web", 10);
//! let checkout = world.workload("checkout", 20);
//! let _echo = checkout.serve(&[Protocol::Tcp(8080)]);
//! assert!(Probe::new(&web, checkout.v4(), Protocol::Tcp(8080)).run().passed());
//! ```
//!
//! What can only go wrong when the machine isn't fit (no root, no `ip`) panics with the reason: these are tests.
//! What a caller may want to see fail (the daemon's start, a command's result) is returned.

mod burst;
pub mod console;
mod crowd;
mod daemon;
pub mod engines;
pub mod evasion;
pub mod foreign;
pub mod forge;
pub mod frames;
pub mod images;
mod ip;
mod kernel;
mod leftovers;
mod memory;
mod meter;
mod namespace;
mod probe;
mod raw;
pub mod release;
mod resident;
pub mod revocation;
mod ring;
mod serve;
pub mod shop;
mod stream;
mod terminal;
mod trial;
mod volley;
mod world;

pub use burst::{Burst, Sent};
pub use crowd::{Batch, Crowd, End, FlowState, lost_segments};
pub use daemon::{CommandOutput, Daemon, DaemonOptions};
pub use kernel::own_cgroup;
pub use memory::MemoryLimit;
pub use meter::{Meter, Reading};
pub use namespace::Namespace;
pub use probe::{Probe, Protocol, Seen};
pub use raw::RawPort;
pub use resident::Resident;
pub use ring::TxRing;
pub use serve::Servers;
pub use stream::{Stream, StreamKind};
pub use terminal::Terminal;
pub use trial::{Cable, Counts, Trial, cause, documents, is_membership_talk, moved, policy, unit};
pub use volley::{Ends, Fate, Volley};
pub use world::{Workload, World};

/// Frames are built with this.
pub use etherparse;

/// A [`World`] named after the function that it is made in.
#[macro_export]
macro_rules! world {
    () => {{
        fn here() {}
        $crate::World::of(here)
    }};
}
