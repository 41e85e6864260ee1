//! How long containers were denied because nobody knew them yet: from their start, as the engine tells it, to their rules being in force.

use std::collections::VecDeque;
use std::time::Duration;

/// So many of the latest are looked at.
const LATEST: usize = 1024;

/// The deny windows of the latest containers.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    latest: VecDeque<Duration>,
    count: u64,
    longest: Duration,
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowStatistics {
    /// Containers that were seen to start, ever.
    pub count: u64,
    /// Of the latest 1,024.
    pub median: Duration,
    /// Of the latest 1,024.
    pub p99: Duration,
    /// Of all.
    pub longest: Duration,
}

impl Windows {
    /// A container began at `began` and its rules were in force at `known`, both by the wall clock in nanoseconds. What was known before it
    /// began was never denied.
    pub fn note(&mut self, began: i64, known: i64) {
        let window = Duration::from_nanos(u64::try_from(known.saturating_sub(began)).unwrap_or(0));
        self.count += 1;
        self.longest = self.longest.max(window);
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(window);
    }

    /// Where they stand.
    #[must_use]
    pub fn statistics(&self) -> WindowStatistics {
        let mut sorted: Vec<Duration> = self.latest.iter().copied().collect();
        sorted.sort_unstable();
        // The nearest rank.
        let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| sorted.get(rank(percent)).copied().unwrap_or_default();
        WindowStatistics { count: self.count, median: at(50), p99: at(99), longest: self.longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_ranked_and_the_longest_is_kept() {
        let mut windows = Windows::default();
        assert_eq!(windows.statistics(), WindowStatistics::default());
        windows.note(1_000_000, 9_000_000_000);
        for number in 0..2000 {
            windows.note(0, number * 1000);
        }
        let told = windows.statistics();
        assert_eq!((told.count, told.longest), (2001, Duration::from_nanos(8_999_000_000)));
        assert_eq!((told.median, told.p99), (Duration::from_micros(1487), Duration::from_micros(1989)));
    }

    #[test]
    fn what_was_known_before_it_began_was_never_denied() {
        let mut windows = Windows::default();
        windows.note(10, 3);
        assert_eq!(windows.statistics().longest, Duration::ZERO);
    }
}
