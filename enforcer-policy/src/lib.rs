//! Policy documents, their checks, the compiler to kernel tables, and the reference evaluator.
//!
//! Architecture Invariant: this crate reads no file, asks no clock, opens no socket and has no `unsafe`. Text
//! and the present instant come in as arguments.
#![forbid(unsafe_code)]

pub mod check;
pub mod compile;
pub mod diagnostic;
pub mod diff;
pub mod document;
pub mod explain;
pub mod flowtests;
pub mod lint;
pub mod memory;
pub mod model;
pub mod property;
pub mod reference;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;
pub mod write;
pub mod yaml;
