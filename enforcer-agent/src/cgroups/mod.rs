//! The cgroup v2 hierarchy: where it is, which cgroups there are, and whose each of them is.
//!
//! What the kernel judges by is a cgroup's number, which it never gives to another one. A path is looked at once, when the cgroup appears.

mod claims;
mod lineage;
mod root;
mod watch;

pub(crate) use claims::{Claims, ELSEWHERE, Place};
pub(crate) use lineage::lineages;
pub(crate) use root::Root;
pub(crate) use watch::{Change, Hierarchy};
