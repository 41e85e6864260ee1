//! What connectivity a new set changes.

use crate::daemon::clock::Instants;
use crate::protocol::{Change, Connectivity};
use enforcer_policy::compile::Compiled;
use enforcer_policy::diff::{self, connectivity};

/// Changes that are told one by one. Beyond them nobody reads, and the answer would only grow.
const TOLD: usize = 10_000;

/// Compares what is in force with what is to be.
pub(crate) fn changes(old: Option<&Compiled>, new: &Compiled, now: Instants) -> Connectivity {
    let difference = connectivity(old, new, now.boot);
    let more = difference.changes.len().saturating_sub(TOLD);
    let changes = difference.changes.iter().take(TOLD).map(told).collect();
    Connectivity { changes, more, complete: difference.complete }
}

fn told(change: &diff::Change) -> Change {
    Change {
        text: change.to_string(),
        opens: change.opens(),
        from: change.from.clone(),
        to: change.to.clone(),
        ports: change.ports_text(usize::MAX).split(", ").map(str::to_owned).collect(),
        before: change.before.word().to_owned(),
        after: change.after.word().to_owned(),
        rule_before: change.rule_before.clone(),
        rule_after: change.rule_after.clone(),
    }
}
