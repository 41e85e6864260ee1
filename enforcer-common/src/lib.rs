//! The packet parser, the map types and the one verdict function.
//!
//! Everything here is `no_std`, allocates nothing and calls no operating system. The kernel programs
//! implement [`packet::Packet`] and the traits of [`tables`] over a socket buffer and BPF maps; userspace implements
//! them over byte slices and ordinary collections. What is audited is therefore what is enforced.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod address;
pub mod answer;
pub mod checksum;
#[cfg(feature = "std")]
pub mod dissect;
pub mod event;
pub mod flow;
pub mod judge;
pub mod maps;
pub mod packet;
mod parse;
pub mod reason;
pub mod tables;
pub mod verdict;

pub use answer::{Answer, Decision, Interval, PortSet};
pub use judge::{Hook, judge};
pub use reason::Reason;
pub use verdict::{Cause, Outcome, Word};
