//! Who an end is, as far as policies can tell.

use enforcer_policy::model::{LabelSelector, Labels};
use enforcer_policy::write::label_selector;
use serde::{Serialize, Serializer};

/// Names that are kept of those who share an identity.
const MEMBERS: usize = 8;

/// An identity: everybody of one kind who carries the same labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Identity {
    /// `workload`, `group`, `host`, `world` or `multicast`.
    pub kind: &'static str,
    /// Its labels; none for the last three.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The smallest selector that means them and, of everybody who is known, nobody else. Absent where labels can't tell.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    pub selector: Option<LabelSelector>,
    /// Names of those who carry them, the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// How many more carry them.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// As it stands in a policy.
fn as_written<S: Serializer>(selector: &Option<LabelSelector>, to: S) -> Result<S::Ok, S::Error> {
    selector.as_ref().map(label_selector).serialize(to)
}

impl Identity {
    pub(crate) fn entity(kind: &'static str) -> Self {
        Self { kind, labels: Labels::new(), selector: None, members: Vec::new(), more: 0 }
    }

    pub(crate) fn labelled(kind: &'static str, name: &str, labels: Labels) -> Self {
        Self { kind, labels, selector: None, members: vec![name.to_owned()], more: 0 }
    }

    /// Takes in another one with the same labels.
    pub(crate) fn join(&mut self, other: Self) {
        for name in other.members {
            if self.members.contains(&name) {
            } else if self.members.len() < MEMBERS {
                self.members.push(name);
            } else {
                // Members come once each.
                self.more += 1;
            }
        }
    }

    /// Its name, where only one carries the labels.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.members[..] {
            [only] if self.more == 0 => Some(only),
            _ => None,
        }
    }
}
