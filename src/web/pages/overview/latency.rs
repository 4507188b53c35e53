//! How long messages take from sending to the end of processing, and which share of spans fails: from every span, on the buses shown.

use crate::metrics::bucket::Bucket;
use crate::model::BusId;
use crate::model::figure::{Figure, Labels};
use crate::store::failure_groups::Buckets;
use crate::store::{Store, StoreError};
use crate::web::pages::consumer_group::history::query;
use crate::web::view::lines::{LineChart, MOST, Named, Unit};
use crate::web::view::marks::Marked;
use crate::web::view::quantiles::{QUANTILES, quantile_of};

/// Both drawings; none where no span was received.
pub(super) async fn charts(store: &Store, buses: &[BusId], buckets: Buckets, marks: &[Marked]) -> Result<Vec<LineChart>, StoreError> {
    let mut whole: Vec<Option<Bucket>> = vec![None; buckets.count as usize];
    let mut shares = Vec::new();
    for bus in buses {
        let read = async |figure| store.read_merged(&query(figure, Labels::bus(bus), buckets)).await;
        for (sum, bucket) in whole.iter_mut().zip(read(Figure::EndToEndDurationSeconds).await?) {
            if let Some(bucket) = bucket {
                bucket.add_to(sum);
            }
        }
        let (spans, failed) = (read(Figure::SpansPerSecond).await?, read(Figure::SpanErrorsPerSecond).await?);
        let share = shares_of(&spans, &failed);
        if share.iter().any(Option::is_some) {
            shares.push(Named::new(bus.as_str(), share));
        }
    }
    if shares.is_empty() {
        return Ok(Vec::new());
    }
    shares.truncate(MOST);
    let quantiles = QUANTILES.map(|(label, quantile)| Named::new(label, quantile_of(&whole, quantile)));
    Ok(vec![
        LineChart::new("end-to-end", "From sending to processed", Unit::Seconds, buckets, quantiles.into(), marks),
        LineChart::new("failed-spans", "Spans that failed", Unit::Ratio, buckets, shares, marks),
    ])
}

/// Which share of the spans of each step failed; none where there was no span.
fn shares_of(spans: &[Option<Bucket>], failed: &[Option<Bucket>]) -> Vec<Option<f64>> {
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
