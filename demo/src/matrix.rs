//! Drives all attempts, many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use enforcer_tests::{Probe, Seen};

use crate::shop::{Case, Shop};

/// Attempts under way at a time. Most of them only wait.
const WIDTH: usize = 32;

/// How long an attempt waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// An answer should come: a slow one is still an answer.
    Long,
    /// None should come: answers take well below a millisecond here.
    Short,
}

impl Patience {
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Long => Duration::from_secs(3),
            Self::Short => Duration::from_millis(300),
        }
    }
}

/// Tries every case and returns what was seen, in the same order.
pub(crate) fn drive(shop: &Shop, cases: &[Case], patience: impl Fn(&Case) -> Patience + Sync) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(vec![Seen::Silence; cases.len()]);
    thread::scope(|scope| {
        for _ in 0..WIDTH.min(cases.len()) {
            scope.spawn(|| {
                while let Some((index, case)) = take(&next, cases) {
                    let to = shop.workloads[case.to].address(case.v6);
                    let probe = Probe::new(&shop.workloads[case.from], to, case.protocol);
                    let outcome = probe.timeout(patience(case).duration()).run();
                    seen.lock().unwrap_or_else(PoisonError::into_inner)[index] = outcome;
                }
            });
        }
    });
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn take<'a>(next: &AtomicUsize, cases: &'a [Case]) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, cases.get(index)?))
}
