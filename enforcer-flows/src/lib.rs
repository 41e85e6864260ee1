//! Recorded traffic: captures, flow logs, conntrack tables and flow records, read as a stream of packets and flows.
//!
//! [`read()`] takes an input of any of the [formats](Format), packed or not, and pushes what it says into a [`Sink`]; [`merge()`] takes several,
//! and pushes what they say in the order of its time.
//!
//! Architecture Invariant: this crate decides nothing and knows no policy. It reads what others wrote, so it never panics and never
//! allocates more than a record's worth on any input; what it can't read it hands on as damage, and goes on with the next record.
#![forbid(unsafe_code)]

mod capture;
mod conntrack;
mod detect;
mod error;
mod format;
mod hubble;
mod input;
mod item;
mod merge;
mod observed;
mod opener;
mod read;
mod report;
mod ss;
mod text;
mod vpc;
mod who;

pub use capture::{Network, network};
pub use detect::detect;
pub use error::ReadError;
pub use format::{Format, UnknownFormat};
pub use input::{Counted, Counter, Packing};
pub use item::{Damage, End, Flow, Gap, Item, Link, Opener, Packet, Recorded, Side, Sink, Time, Who};
pub use merge::{Input, Sinks, merge};
pub use read::{Options, read};
pub use report::Summary;
