//! What connectivity a new set changes.

use super::held::held;
use crate::daemon::clock::Instants;
use crate::protocol::{Change, Connectivity};
use enforcer_policy::compile::Compiled;
use enforcer_policy::diff::{self, Difference, connectivity};

/// Changes that are told one by one. Beyond them nobody reads, and the answer would only grow.
const TOLD: usize = 10_000;

/// Compares what is in force with what is to be.
pub(crate) fn changes(old: Option<&Compiled>, new: &Compiled, now: Instants) -> Connectivity {
    Connectivity { held: held(old, new), ..tell(&connectivity(old, new, now.boot), &[]) }
}

/// Puts a difference into words, with how many recorded flows each change touches, where that is known.
pub(crate) fn tell(difference: &Difference, touched: &[u64]) -> Connectivity {
    let more = difference.changes.len().saturating_sub(TOLD);
    let changes = difference.changes.iter().take(TOLD).zip(0..);
    let changes = changes.map(|(change, at)| told(change, touched.get::<usize>(at).copied())).collect();
    Connectivity { held: Vec::new(), changes, more, complete: difference.complete }
}

fn told(change: &diff::Change, flows: Option<u64>) -> Change {
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
        flows,
    }
}
