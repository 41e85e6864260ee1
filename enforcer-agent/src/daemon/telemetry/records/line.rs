//! One line of records: the document, and what syslog and the journal ask for beside it.

use serde::Serialize;
use serde_json::Value;

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flow,
    Tamper,
    /// Something was done because it was asked for.
    Action,
    Missed,
    Counts,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Tamper => "tamper",
            Self::Action => "action",
            Self::Missed => "missed",
            Self::Counts => "counts",
        }
    }
}

/// A document on its way out. The text is JSON without line breaks.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl Line {
    pub(super) fn of(kind: Kind, document: &impl Serialize) -> Self {
        // Documents of ours always can be written.
        Self { kind, text: serde_json::to_string(document).unwrap_or_default() }
    }

    pub(super) fn document(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// As syslog counts: 3 for what has to be looked at, 4 for what was denied, 5 for what would have been and what was asked for, 6 for the rest.
    pub(super) fn severity(&self) -> u8 {
        match self.kind {
            Kind::Tamper => 3,
            Kind::Action => 5,
            Kind::Missed | Kind::Counts => 6,
            Kind::Flow if self.text.contains("\"verdict\":\"denied\"") => 4,
            Kind::Flow if self.text.contains("\"verdict\":\"audited\"") => 5,
            Kind::Flow => 6,
        }
    }
}
