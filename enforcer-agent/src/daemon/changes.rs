//! When what is enforced changed, so that the record of a flow that was cut tells how long that took.
//!
//! A change counts from when the daemon noticed it: the first report of a changed file, the arrival of a command, the report of a device or an
//! address, the instant at which a policy expires. It is noted here before it is put in force, so that no record comes too early.

use crate::datapath::Epoch;
use enforcer_common::event::FlowEvent;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are remembered.
const REMEMBERED: usize = 4_096;

/// What one change brought. Instants are nanoseconds of the boot-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The first epoch with it.
    pub(super) epoch: Epoch,
    /// When it was noticed.
    pub(super) noticed: u64,
    /// When the next of the policies in force since then expires, if one does.
    pub(super) expiry: Option<u64>,
}

/// The last changes, shared by the engine, which makes them, and the records.
#[derive(Debug, Default, Clone)]
pub(super) struct Changes(Arc<Mutex<VecDeque<Change>>>);

impl Changes {
    /// A change is about to be put in force.
    pub(super) fn note(&self, change: Change) {
        let mut changes = self.lock();
        // One that failed had the epoch that is given to this one.
        while changes.back().is_some_and(|last| last.epoch >= change.epoch) {
            changes.pop_back();
        }
        if changes.len() == REMEMBERED {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// Since when a flow was to be cut that `event` tells the end of: the first change, or expiry, that came after its last verdict.
    /// Changes from before the daemon's start, or too many ago, aren't known.
    pub(super) fn since(&self, event: &FlowEvent) -> Option<u64> {
        let changes = self.lock();
        // The change that brought an epoch: the last that isn't of a later one.
        let of = |epoch| changes.partition_point(|change| change.epoch <= epoch).checked_sub(1);
        let then = of(event.before).and_then(|place| changes.get(place));
        let expired = then.and_then(|change| change.expiry).filter(|expiry| *expiry <= event.time);
        let changed = (event.before != event.epoch).then(|| {
            let first = of(event.before.saturating_add(1)).unwrap_or(0);
            changes.get(first).map(|change| change.noticed)
        });
        expired.into_iter().chain(changed.flatten()).min()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(all: &[(Epoch, u64, Option<u64>)]) -> Changes {
        let changes = Changes::default();
        all.iter().for_each(|(epoch, noticed, expiry)| {
            changes.note(Change { epoch: *epoch, noticed: *noticed, expiry: *expiry });
        });
        changes
    }

    fn cut(before: Epoch, epoch: Epoch, time: u64) -> FlowEvent {
        let flags = FlowEvent::CHANGED | FlowEvent::CUT;
        FlowEvent { before, epoch, time, flags, ..FlowEvent::default() }
    }

    #[test]
    fn the_first_change_since_the_flows_last_verdict_counts() {
        let changes = changes(&[(1, 100, None), (2, 200, None), (3, 300, None), (7, 700, None)]);
        assert_eq!(changes.since(&cut(1, 2, 250)), Some(200));
        assert_eq!(changes.since(&cut(1, 7, 750)), Some(200), "several came between");
        assert_eq!(changes.since(&cut(2, 7, 750)), Some(300));
        assert_eq!(changes.since(&cut(4, 7, 750)), Some(300), "one change may take several epochs");
        assert_eq!(changes.since(&cut(6, 7, 750)), Some(700));
    }

    #[test]
    fn an_expiry_counts_from_its_own_instant() {
        let changes = changes(&[(1, 100, Some(500)), (2, 200, Some(500)), (3, 500, Some(900))]);
        assert_eq!(changes.since(&cut(2, 2, 501)), Some(500), "before the daemon noticed");
        assert_eq!(changes.since(&cut(2, 3, 510)), Some(500), "afterwards");
        assert_eq!(changes.since(&cut(3, 3, 800)), None, "nothing has changed yet");
        assert_eq!(changes.since(&cut(1, 2, 210)), Some(200), "an expiry to come is none");
        assert_eq!(changes.since(&cut(1, 3, 510)), Some(200), "the earlier of both");
    }

    #[test]
    fn a_change_that_failed_gives_its_epoch_to_the_next() {
        let changes = changes(&[(1, 100, None), (2, 200, None), (2, 300, None)]);
        assert_eq!(changes.since(&cut(1, 2, 350)), Some(300));
    }

    #[test]
    fn what_was_forgotten_counts_from_the_oldest_that_is_known() {
        let adopted = changes(&[(41, 100, None)]);
        assert_eq!(adopted.since(&cut(38, 41, 150)), Some(100));
        assert_eq!(Changes::default().since(&cut(38, 41, 150)), None);
        let many: Vec<_> =
            (1..=REMEMBERED as u32 + 10).map(|epoch| (epoch, u64::from(epoch), None)).collect();
        assert_eq!(changes(&many).since(&cut(1, 5_000, 9_000)), Some(11));
    }
}
