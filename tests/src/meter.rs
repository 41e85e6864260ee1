//! What one receiver saw of a stream, and when.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Notes every arrival. Shared between the receiver and whoever looks.
#[derive(Debug)]
pub struct Meter {
    state: Mutex<Reading>,
}

/// What a receiver saw since the meter was made or last [reset](Meter::reset).
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Bytes that arrived.
    pub bytes: u64,
    /// When the last of them did.
    pub last: Option<Instant>,
    /// The longest time between two arrivals, the reset counting as one.
    pub longest_gap: Duration,
    /// When counting began.
    pub since: Instant,
}

impl Default for Meter {
    fn default() -> Self {
        Self { state: Mutex::new(Reading::new()) }
    }
}

impl Reading {
    fn new() -> Self {
        Self { bytes: 0, last: None, longest_gap: Duration::ZERO, since: Instant::now() }
    }

    /// How long after `then` the last byte came; zero if before.
    #[must_use]
    pub fn last_after(&self, then: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(then))
    }
}

impl Meter {
    /// Notes an arrival now.
    pub(crate) fn note(&self, bytes: usize) {
        let now = Instant::now();
        let mut state = self.lock();
        let gap = now.saturating_duration_since(state.last.unwrap_or(state.since));
        state.longest_gap = state.longest_gap.max(gap);
        state.bytes += bytes as u64;
        state.last = Some(now);
    }

    /// What was seen so far. A gap that is still open counts.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = *self.lock();
        reading.longest_gap = reading.longest_gap.max(reading.last.unwrap_or(reading.since).elapsed());
        reading
    }

    /// Starts counting anew and returns what was seen before.
    pub fn reset(&self) -> Reading {
        let before = self.read();
        *self.lock() = Reading::new();
        before
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_gaps_and_the_last_arrival_are_kept() {
        let meter = Meter::default();
        let start = Instant::now();
        meter.note(10);
        std::thread::sleep(Duration::from_millis(20));
        meter.note(5);
        let reading = meter.read();
        assert_eq!(reading.bytes, 15);
        assert!(reading.longest_gap >= Duration::from_millis(20));
        assert!(reading.last_after(start) >= Duration::from_millis(20));
    }

    #[test]
    fn a_reset_forgets_and_an_open_gap_counts() {
        let meter = Meter::default();
        meter.note(10);
        assert_eq!(meter.reset().bytes, 10);
        std::thread::sleep(Duration::from_millis(10));
        let reading = meter.read();
        assert_eq!((reading.bytes, reading.last), (0, None));
        assert!(reading.longest_gap >= Duration::from_millis(10));
        assert_eq!(reading.last_after(Instant::now()), Duration::ZERO);
    }
}
