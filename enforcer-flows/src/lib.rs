//! Recorded traffic: captures, flow logs, conntrack tables and flow records, read as a stream of packets and flows.
//!
//! Architecture Invariant: this crate decides nothing and knows no policy. It reads what others wrote, so it never panics and never
//! allocates more than a record's worth on any input; what it can't read it hands on as damage, and goes on with the next record.
#![forbid(unsafe_code)]

mod item;

pub use item::{Damage, End, Flow, Gap, Item, Link, Opener, Packet, Recorded, Side, Sink, Time, Who};
