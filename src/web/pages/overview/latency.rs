//! How long messages take from sending to the end of processing, and which share of spans fails: from every span that
//! touched a message of the buses shown. Where only a span inside an application fails, it is on no bus: the page of traces counts it.

use super::flow::{Drawn, Share};
use crate::metrics::bucket::Bucket;
use crate::model::BusId;
use crate::model::figure::{Figure, Labels};
use crate::store::failure_groups::Buckets;
use crate::store::{Store, StoreError};
use crate::web::pages::consumer_group::history::query;
use crate::web::view::lines::{MOST, Named, Unit};
use crate::web::view::quantiles::{QUANTILES, quantile_of, shares_of};

/// Figures of spans over the range.
#[derive(Debug, Default)]
pub(in crate::web) struct Latency {
    /// Both drawings; none where no span was received.
    pub(in crate::web) drawn: Vec<Drawn>,
    /// All of the range in one; `None` where no message was seen from sending to processed.
    pub(in crate::web) whole: Option<Bucket>,
    /// All spans of the range.
    pub(in crate::web) spans: Share,
}

impl Latency {
    /// A quantile of all of the range, in seconds.
    pub(in crate::web) fn quantile(&self, quantile: f64) -> Option<f64> {
        self.whole.as_ref()?.value(quantile)
    }
}

/// Reads three figures per bus, each of all its series in one.
pub(super) async fn load(store: &Store, buses: &[BusId], buckets: Buckets) -> Result<Latency, StoreError> {
    let mut whole: Vec<Option<Bucket>> = vec![None; buckets.count as usize];
    let (mut shares, mut all) = (Vec::new(), Share::default());
    for bus in buses {
        let read = async |figure| store.read_merged(&query(figure, Labels::bus(bus), buckets)).await;
        for (sum, bucket) in whole.iter_mut().zip(read(Figure::EndToEndDurationSeconds).await?) {
            if let Some(bucket) = bucket {
                bucket.add_to(sum);
            }
        }
        let (spans, failed) = (read(Figure::SpansPerSecond).await?, read(Figure::SpanErrorsPerSecond).await?);
        let count = |steps: &[Option<Bucket>]| steps.iter().flatten().map(Bucket::count).sum::<f64>();
        all = Share { failed: all.failed + count(&failed), spans: all.spans + count(&spans) };
        let share = shares_of(&spans, &failed);
        if share.iter().any(Option::is_some) {
            shares.push(Named::new(bus.as_str(), share));
        }
    }
    if shares.is_empty() {
        return Ok(Latency::default());
    }
    shares.truncate(MOST);
    let mut sum = None;
    whole.iter().flatten().for_each(|bucket| bucket.add_to(&mut sum));
    let quantiles = QUANTILES.map(|(label, quantile)| Named::new(label, quantile_of(&whole, quantile)));
    let drawn = vec![
        Drawn { id: "end-to-end", title: "From sending to processed", unit: Unit::Seconds, lines: quantiles.into() },
        Drawn { id: "failed-spans", title: "Spans that touched a message and failed", unit: Unit::Ratio, lines: shares },
    ];
    Ok(Latency { drawn, whole: sum, spans: all })
}
