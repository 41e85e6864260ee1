//! What other systems say about workloads and rules, as policy documents: inventories of Kubernetes, EC2 and Docker,
//! Kubernetes' network policies, and AWS security groups.
//!
//! Architecture Invariant: this crate reads no file, asks no clock, opens no socket and has no `unsafe`. Text comes in as
//! an argument, and nothing in it is dropped in silence: what isn't carried over is part of what comes out.
#![forbid(unsafe_code)]

mod algebra;
pub mod inventory;
pub mod rules;
pub mod write;
