//! Figures of spans as lines: a quantile of each step, and the share that failed.

use crate::metrics::bucket::Bucket;

/// Quantiles that are drawn, with their names, the highest first.
pub const QUANTILES: [(&str, f64); 3] = [("p99", 0.99), ("p95", 0.95), ("p50", 0.5)];

/// A quantile of each step, in seconds; none where nothing was measured.
#[must_use]
pub fn quantile_of(steps: &[Option<Bucket>], quantile: f64) -> Vec<Option<f64>> {
    steps.iter().map(|bucket| bucket.as_ref()?.value(quantile)).collect()
}

/// Which share of the spans of each step failed; none where there was no span.
#[must_use]
pub fn shares_of(spans: &[Option<Bucket>], failed: &[Option<Bucket>]) -> Vec<Option<f64>> {
    let share = |(spans, failed): (&Option<Bucket>, &Option<Bucket>)| {
        let spans = spans.as_ref()?.count();
        (spans > 0.0).then(|| failed.as_ref().map_or(0.0, Bucket::count) / spans)
    };
    spans.iter().zip(failed).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(total: f64) -> Bucket {
        Bucket::Count { total, covers_ms: 60_000, peak: total }
    }

    #[test]
    fn a_share_is_of_the_spans_that_there_were() {
        let spans = [Some(count(10.0)), Some(count(0.0)), None, Some(count(4.0))];
        let failed = [Some(count(1.0)), Some(count(0.0)), None, None];
        assert_eq!(shares_of(&spans, &failed), [Some(0.1), None, None, Some(0.0)]);
    }
}
