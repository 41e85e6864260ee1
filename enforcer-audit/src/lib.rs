//! The dry run: recorded traffic judged by a policy set, and the report on it.
//!
//! Guarantees:
//!
//! - every verdict is that of [`enforcer_common::judge()`] over [`enforcer_policy::memory::MemoryTables`]: what a packet would meet at the hooks
//!   on its path, by the same function and tables as the kernel programs'. Nothing here decides by itself;
//! - what couldn't be judged is counted under its own heading, never under a verdict;
//! - memory grows with distinct addresses, flows and groups of results, not with the length of a recording.
//!
//! Architecture Invariant: this crate reads no file, asks no clock and opens no socket. What is recorded comes in through
//! [`enforcer_flows::Sink`], the present instant through [`Setting`].
#![forbid(unsafe_code)]

mod audit;
pub mod compare;
mod ends;
mod flows;
mod ground;
mod groups;
mod intake;
mod judge;
mod opener;
mod packets;
mod quoted;
mod records;
pub mod render;
mod repeats;
pub mod report;
mod setting;
pub mod suggest;
mod unsure;
mod wire;

pub use audit::{Audit, AuditError, FlowLine};
pub use compare::Comparison;
pub use intake::Intake;
pub use judge::Ruling;
pub use report::Report;
pub use setting::{At, Known, Managed, Setting, Tenure};
