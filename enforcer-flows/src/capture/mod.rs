//! Captures: packets as they were on a wire.

mod link;
mod network;
mod pcap;
mod pcapng;
mod time;

pub use network::{Network, network};
pub(crate) use pcap::pcap;
pub(crate) use pcapng::pcapng;
