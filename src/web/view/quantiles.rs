//! Durations as lines: a quantile of each step.

use crate::metrics::bucket::Bucket;

/// Quantiles that are drawn, with their names, the highest first.
pub const QUANTILES: [(&str, f64); 3] = [("p99", 0.99), ("p95", 0.95), ("p50", 0.5)];

/// A quantile of each step, in seconds; none where nothing was measured.
#[must_use]
pub fn quantile_of(steps: &[Option<Bucket>], quantile: f64) -> Vec<Option<f64>> {
    steps.iter().map(|bucket| bucket.as_ref()?.value(quantile)).collect()
}
