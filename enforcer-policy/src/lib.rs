//! Policy documents, their checks, the compiler to kernel tables, and the reference evaluator.
//!
//! Architecture Invariant: this crate reads no file, asks no clock, opens no socket and has no `unsafe`. Text
//! and the present instant come in as arguments.
#![forbid(unsafe_code)]

pub mod compile;
pub mod model;
pub mod reference;
#[cfg(feature = "testing")]
pub mod testing;
