//! How long messages of a topic or a consumer group take at each stage of their way, and which share of their spans fails: from every
//! span that touched a message of theirs, over the time of the page.

use std::collections::BTreeMap;

use super::super::view::lines::{LineChart, MOST, Named, Unit};
use super::super::view::marks::Marked;
use super::super::view::quantiles::{QUANTILES, quantile_of, shares_of};
use super::consumer_group::history::query;
use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels};
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesBuckets;
use crate::store::{Store, StoreError};

/// Stages of a message's way, each with the id and the title of its drawing. A consumer group publishes nothing.
const STAGES: [(Figure, &str, &str); 4] = [
    (Figure::EndToEndDurationSeconds, "end-to-end", "From sending to processed"),
    (Figure::PublishDurationSeconds, "publish", "Publish"),
    (Figure::BrokerDurationSeconds, "in-broker", "Time in broker"),
    (Figure::ProcessingDurationSeconds, "processing", "Processing"),
];

/// What the share of failed spans does not know.
pub(super) const ELSEWHERE: &str = "; other spans that failed are under Traces";

type Steps = Vec<Option<Bucket>>;

/// A drawing of the spans that failed, by service, and one of each stage of which anything is known; none where no span came.
pub(super) async fn charts(store: &Store, labels: &Labels, buckets: Buckets, marks: &[Marked]) -> Result<Vec<LineChart>, StoreError> {
    let mut charts = Vec::new();
    for (figure, id, title) in STAGES {
        let steps = store.read_merged(&query(figure, labels.clone(), buckets)).await?;
        if steps.iter().any(Option::is_some) {
            let lines = QUANTILES.map(|(label, quantile)| Named::new(label, quantile_of(&steps, quantile)));
            charts.push(LineChart::new(id, title, Unit::Seconds, buckets, lines.into(), marks));
        }
    }
    let spans = by_service(store.read_series(&query(Figure::SpansPerSecond, labels.clone(), buckets)).await?, buckets);
    if spans.is_empty() {
        return Ok(charts);
    }
    let failed = by_service(store.read_series(&query(Figure::SpanErrorsPerSecond, labels.clone(), buckets)).await?, buckets);
    let title = if spans.len() > MOST {
        format!("Spans that touched a message and failed, the {MOST} services with most")
    } else {
        "Spans that touched a message and failed, by service".to_owned()
    };
    let mut chart = LineChart::new("failed-spans", &title, Unit::Ratio, buckets, shares(&spans, &failed), marks);
    chart.note.push_str(ELSEWHERE);
    charts.insert(0, chart);
    Ok(charts)
}

/// Counts of each service, whatever the operation.
fn by_service(series: Vec<SeriesBuckets>, buckets: Buckets) -> BTreeMap<String, Steps> {
    let mut services: BTreeMap<String, Steps> = BTreeMap::new();
    for one in series {
        let sums = services.entry(one.labels.service.unwrap_or_default()).or_insert_with(|| vec![None; buckets.count as usize]);
        for (sum, bucket) in sums.iter_mut().zip(&one.buckets) {
            if let Some(bucket) = bucket {
                bucket.add_to(sum);
            }
        }
    }
    services
}

/// The share that failed of the services with the most failed spans, then of those with the most spans.
fn shares(spans: &BTreeMap<String, Steps>, failed: &BTreeMap<String, Steps>) -> Vec<Named> {
    let total = |of: Option<&Steps>| of.into_iter().flatten().flatten().map(Bucket::count).sum::<f64>();
    let mut services: Vec<(&String, f64, f64)> =
        spans.iter().map(|(service, steps)| (service, total(failed.get(service)), total(Some(steps)))).collect();
    services.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.2.total_cmp(&a.2)).then_with(|| a.0.cmp(b.0)));
    services.truncate(MOST);
    // By name, so that a line keeps its colour while their numbers change.
    services.sort_by_key(|(service, ..)| *service);
    let none = Steps::new();
    let share = |(service, ..): (&String, f64, f64)| {
        let (spans, failed) = (&spans[service], failed.get(service).unwrap_or(&none));
        let failed: Steps = (0..spans.len()).map(|step| failed.get(step).cloned().flatten()).collect();
        Named::new(service.clone(), shares_of(spans, &failed))
    };
    services.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_fail_most_are_drawn_and_a_step_without_a_span_has_no_share() {
        let steps = |counts: [f64; 2]| {
            let bucket = |total| (total > 0.0).then_some(Bucket::Count { total, covers_ms: 60_000, peak: total });
            counts.map(bucket).to_vec()
        };
        let spans: BTreeMap<String, Steps> = (0..7).map(|n| (format!("service-{n}"), steps([10.0 * f64::from(n + 1), 0.0]))).collect();
        let failed = BTreeMap::from([("service-0".to_owned(), steps([5.0, 0.0])), ("service-1".to_owned(), Vec::new())]);
        let drawn = shares(&spans, &failed);
        let labels: Vec<&str> = drawn.iter().map(|named| named.label.as_str()).collect();
        assert_eq!(labels, ["service-0", "service-3", "service-4", "service-5", "service-6"]);
        assert_eq!((&drawn[0].values, &drawn[1].values), (&vec![Some(0.5), None], &vec![Some(0.0), None]));
    }
}
