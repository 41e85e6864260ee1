//! The live set that is in force.

use crate::pipeline::Ready;
use crate::protocol::{Finding, PolicyFile};
use enforcer_policy::compile::Compiled;
use enforcer_policy::document::ParsedFile;
use enforcer_policy::model::PolicySet;
use jiff::Timestamp;
use std::sync::Arc;

/// The live set that is in force.
#[derive(Debug)]
pub(super) struct Live {
    /// The files it was read from, watched and applied, in reading order.
    pub(super) files: Vec<Arc<ParsedFile>>,
    pub(super) set: PolicySet,
    pub(super) compiled: Compiled,
    /// When it was put in force.
    pub(super) since: Timestamp,
    pub(super) warnings: Vec<Finding>,
    pub(super) not_yet_enforced: Vec<Finding>,
    /// When the next of its policies ends.
    pub(super) next_expiry: Option<Timestamp>,
}

impl Live {
    pub(super) fn new(files: Vec<Arc<ParsedFile>>, ready: Ready, now: Timestamp) -> Self {
        let Ready { set, compiled, warnings, not_yet_enforced } = ready;
        let next_expiry = next_expiry(&set, now);
        Self { files, set, compiled, since: now, warnings, not_yet_enforced, next_expiry }
    }

    /// Whether these files are the ones in force.
    pub(super) fn is_of(&self, files: &[Arc<ParsedFile>]) -> bool {
        self.files.len() == files.len()
            && self
                .files
                .iter()
                .zip(files)
                .all(|(ours, theirs)| Arc::ptr_eq(ours, theirs) || ours.source() == theirs.source())
    }

    /// The files as they are kept.
    pub(super) fn policy_files(&self) -> Vec<PolicyFile> {
        let kept = |file: &Arc<ParsedFile>| PolicyFile {
            name: file.source().name.to_string(),
            text: file.source().text.to_string(),
        };
        self.files.iter().map(kept).collect()
    }
}

pub(super) fn next_expiry(set: &PolicySet, now: Timestamp) -> Option<Timestamp> {
    set.policies.iter().filter_map(|policy| policy.expires).filter(|expires| *expires > now).min()
}
