//! Metric families of the exposition format, built from what was counted elsewhere.

use crate::daemon::telemetry::Histogram;
use enforcer_policy::diagnostic::shown_within;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// Characters of a label's value: more than any name that is accepted has.
const LONGEST: usize = 320;

/// A family under way. One without series is left out of the page.
pub(super) struct Family(MetricFamily);

impl Family {
    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    pub(super) fn histogram(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self(family)
    }

    /// Adds the counter with these labels.
    #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers; exact up to 2^53")]
    pub(super) fn count(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        self.0.mut_metric().push(metric);
        self
    }

    /// Adds the gauge with these labels.
    pub(super) fn level(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        self.0.mut_metric().push(metric);
        self
    }

    /// Adds the histogram with these labels.
    pub(super) fn times(&mut self, labels: &[(&str, &str)], times: &Histogram) -> &mut Self {
        let mut histogram = prometheus::proto::Histogram::default();
        let buckets = times.cumulative().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(times.count());
        histogram.set_sample_sum(times.sum());
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.0.mut_metric().push(metric);
        self
    }

    /// The family, if it has a series.
    pub(super) fn done(mut self) -> Option<MetricFamily> {
        (!self.0.mut_metric().is_empty()).then_some(self.0)
    }
}

/// Labels as given: the format escapes quotes and line breaks, and whatever else drives a terminal is escaped here.
fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(shown_within(value, LONGEST));
        pair
    };
    labels.iter().map(pair).collect()
}
