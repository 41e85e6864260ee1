//! What the daemon counts of its own work, beside what the kernel counts of packets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Upper bounds of what a change takes, in seconds.
const APPLY: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of how long something was denied until it was known, in seconds.
const WINDOW: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often something took how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    /// How many were at or below each bound and above the one before; the last is of those above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn take(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum += seconds;
    }

    /// Each bound, and how many were at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(sums)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together, in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// What became of the lines for a file, a syslog daemon or a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Handed over.
    pub written: u64,
    /// Records that never got there: it was too slow, full or gone.
    pub lost: u64,
}

#[derive(Debug)]
struct Inner {
    read: AtomicU64,
    cut: AtomicU64,
    observers_lost: AtomicU64,
    apply_failures: AtomicU64,
    applied: Mutex<Histogram>,
    /// By source: containers may be denied before it has told of them.
    deny_windows: Mutex<BTreeMap<&'static str, Histogram>>,
    /// By what was done.
    tampered: Mutex<BTreeMap<String, u64>>,
    sinks: Mutex<BTreeMap<&'static str, SinkCounts>>,
    /// When a source of identities last said that they are so.
    confirmed: Mutex<BTreeMap<&'static str, Instant>>,
    /// What doesn't work at the moment, by who says so.
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

/// Counters that everything in the daemon shares.
#[derive(Debug, Clone)]
pub struct Tallies(Arc<Inner>);

impl Default for Tallies {
    fn default() -> Self {
        Self(Arc::new(Inner {
            read: AtomicU64::default(),
            cut: AtomicU64::default(),
            observers_lost: AtomicU64::default(),
            apply_failures: AtomicU64::default(),
            applied: Mutex::new(Histogram::new(APPLY)),
            deny_windows: Mutex::default(),
            tampered: Mutex::default(),
            sinks: Mutex::default(),
            confirmed: Mutex::default(),
            troubles: Mutex::default(),
        }))
    }
}

impl Tallies {
    /// The daemon read records of the kernel's.
    pub fn read(&self, records: u64) {
        self.0.read.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that the daemon has read.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// A flow was cut.
    pub fn cut(&self) {
        self.0.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Flows that were cut, of those whose record came here.
    #[must_use]
    pub fn flows_cut(&self) -> u64 {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// An observer didn't read these in time.
    pub fn observer_lost(&self, records: u64) {
        self.0.observers_lost.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that observers didn't read in time, all observers together.
    #[must_use]
    pub fn observers_lost(&self) -> u64 {
        self.0.observers_lost.load(Ordering::Relaxed)
    }

    /// A change is in force, so long after it was noticed.
    pub fn applied(&self, took: Duration) {
        lock(&self.0.applied).take(took);
    }

    /// How long changes took.
    #[must_use]
    pub fn applies(&self) -> Histogram {
        lock(&self.0.applied).clone()
    }

    /// A change could not be put in force.
    pub fn apply_failed(&self) {
        self.0.apply_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often one could not be.
    #[must_use]
    pub fn apply_failures(&self) -> u64 {
        self.0.apply_failures.load(Ordering::Relaxed)
    }

    /// Something that this source tells of was denied for so long before its policy was in force.
    pub fn denied_until_known(&self, source: &'static str, window: Duration) {
        lock(&self.0.deny_windows).entry(source).or_insert_with(|| Histogram::new(WINDOW)).take(window);
    }

    /// For how long that was so, by source.
    #[must_use]
    pub fn deny_windows(&self) -> BTreeMap<&'static str, Histogram> {
        lock(&self.0.deny_windows).clone()
    }

    /// Others did something to what is enforced.
    pub fn tampered(&self, what: &str) {
        *lock(&self.0.tampered).entry(what.to_owned()).or_default() += 1;
    }

    /// How often, by what was done.
    #[must_use]
    pub fn tampering(&self) -> BTreeMap<String, u64> {
        lock(&self.0.tampered).clone()
    }

    /// Lines went somewhere, or didn't.
    pub fn sink(&self, sink: &'static str, more: SinkCounts) {
        let mut sinks = lock(&self.0.sinks);
        let counts = sinks.entry(sink).or_default();
        counts.written += more.written;
        counts.lost += more.lost;
    }

    /// What became of lines, by where they go.
    #[must_use]
    pub fn sinks(&self) -> BTreeMap<&'static str, SinkCounts> {
        lock(&self.0.sinks).clone()
    }

    /// A source of identities has just said that they are so.
    pub fn confirmed(&self, source: &'static str) {
        lock(&self.0.confirmed).insert(source, Instant::now());
    }

    /// How long ago each did.
    #[must_use]
    pub fn identity_ages(&self) -> BTreeMap<&'static str, Duration> {
        lock(&self.0.confirmed).iter().map(|(source, at)| (*source, at.elapsed())).collect()
    }

    /// Something doesn't work, or does again. Whether that is news.
    pub fn trouble(&self, who: &'static str, what: Option<String>) -> bool {
        let mut troubles = lock(&self.0.troubles);
        match what {
            Some(what) => troubles.insert(who, what.clone()) != Some(what),
            None => troubles.remove(who).is_some(),
        }
    }

    /// Everything that doesn't work at the moment.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        lock(&self.0.troubles).values().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_once_and_a_bound_holds_itself() {
        let mut histogram = Histogram::new(&[0.001, 0.01]);
        for micros in [500, 1_000, 1_001, 10_000, 10_001] {
            histogram.take(Duration::from_micros(micros));
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(0.001, 2), (0.01, 4)]);
        assert_eq!(histogram.count(), 5);
        assert!((histogram.sum() - 0.022_502).abs() < 1e-9);
    }

    #[test]
    fn a_trouble_is_news_once_and_its_end_too() {
        let tallies = Tallies::default();
        let full = || Some("full".to_owned());
        assert!(tallies.trouble("file", full()));
        assert!(!tallies.trouble("file", full()));
        assert_eq!(tallies.troubles(), ["full"]);
        assert!(tallies.trouble("file", None));
        assert!(!tallies.trouble("file", None));
        assert!(tallies.troubles().is_empty());
    }
}
