//! What the daemon tells of its work beside the control socket: metrics for Prometheus, and records for files, syslog and the journal.
//!
//! Guarantees: nothing here holds up a packet, the engine or another reader. Who reads too slowly loses, and what it lost is counted.

pub mod metrics;
pub mod records;
mod tallies;

pub use tallies::{Histogram, SinkCounts, Tallies};
