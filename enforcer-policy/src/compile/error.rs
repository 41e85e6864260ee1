//! Why a policy set can't become tables.

use ipnet::IpNet;
use std::net::IpAddr;
use thiserror::Error;

/// Why a policy set can't become tables. The old generation stays in force.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CompileError {
    /// A table of the kernel is too small for the set.
    #[error("the policy set needs {figure} {table}, the limit is {limit}")]
    Limit {
        /// What there is too much of.
        table: &'static str,
        /// How much of it.
        figure: u64,
        /// How much fits.
        limit: u64,
    },
    /// Too many different port ranges meet on one pair of endpoints.
    #[error(
        "the rules between one pair of endpoints have {figure} port boundaries, the limit is {limit} (one of them is `{rule}`)"
    )]
    PortSet {
        /// Boundaries.
        figure: u64,
        /// How many are looked through.
        limit: u64,
        /// One of the rules, as `policy#index`.
        rule: String,
    },
    /// Too many different expiries meet on one port range.
    #[error(
        "{figure} expiries decide one after the other on one port, the limit is {limit} (one of them is that of `{rule}`)"
    )]
    Expiries {
        /// Expiries.
        figure: u64,
        /// How many are looked through.
        limit: u64,
        /// One of the rules, as `policy#index`.
        rule: String,
    },
    /// Two workloads claim one address.
    #[error("the workloads `{first}` and `{second}` both claim `{address}`")]
    Address {
        /// The address.
        address: IpAddr,
        /// The workload read first.
        first: String,
        /// The other.
        second: String,
    },
    /// Two address groups claim one block.
    #[error("the address groups `{first}` and `{second}` both claim `{block}`")]
    Block {
        /// The block.
        block: IpNet,
        /// The group read first.
        first: String,
        /// The other.
        second: String,
    },
    /// Two documents of one kind have one name.
    #[error("two documents of the kind {kind} have the name `{name}`")]
    Name {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

impl CompileError {
    /// How to mend it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Limit { .. } => {
                "select by fewer distinct label combinations, or merge rules that have the same effect"
            }
            Self::PortSet { .. } => "merge port ranges, or write ranges instead of single ports",
            Self::Expiries { .. } => "give exceptions for the same endpoints and ports the same expiry",
            Self::Address { .. } => "an address belongs to one workload: take it from one of them",
            Self::Block { .. } => {
                "a block belongs to one group: take it from one of them, or make one of them longer"
            }
            Self::Name { .. } => "rename one of them",
        }
    }
}

/// Refuses `figure` above `limit`.
pub(super) fn fits(table: &'static str, figure: usize, limit: u32) -> Result<(), CompileError> {
    if figure as u64 > u64::from(limit) {
        return Err(CompileError::Limit { table, figure: figure as u64, limit: u64::from(limit) });
    }
    Ok(())
}
