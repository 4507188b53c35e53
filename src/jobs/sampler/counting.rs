//! Short reads that tell how many of the last offsets are records: a marker at the end of a topic looks like lag for ever.

use std::time::Duration;

use futures::StreamExt;

use super::lag::Lags;
use crate::bus::ReadFrom;
use crate::dead_letters::indexer::BusWork;
use crate::metrics::status::COUNTABLE;
use crate::model::GroupName;
use crate::model::names::TopicPartition;

/// Reads of one sweep; the others come with the next.
const READS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(3);

/// A range of offsets that a group has left, few and unmoved.
pub(super) struct Wish {
    pub(super) group: GroupName,
    pub(super) place: TopicPartition,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Reads some of the ranges, as a consumer that reads committed would. What cannot be read stays unknown.
pub(super) async fn count(work: &BusWork, lags: &mut Lags, wishes: Vec<Wish>) {
    let reads = futures::stream::iter(wishes.into_iter().take(READS)).map(|wish| async move {
        let limit = usize::try_from(COUNTABLE).unwrap_or(usize::MAX);
        let read = tokio::time::timeout(PATIENCE, work.bus.read(&wish.place, ReadFrom::Offset(wish.from), limit)).await;
        let places = std::slice::from_ref(&wish.place);
        // What was removed before it was read is missing for another reason.
        let whole = work.bus.offsets(places).await.is_ok_and(|offsets| offsets.get(&wish.place).is_some_and(|o| o.log_start <= wish.from));
        (wish, if whole { Some(read) } else { None })
    });
    for (wish, read) in reads.buffer_unordered(READS).collect::<Vec<_>>().await {
        // An open transaction ends a read early: then nobody knows yet.
        if let Some(Ok(Ok(read))) = read
            && (read.next >= wish.to || read.records.last().is_some_and(|last| last.offset + 1 >= wish.to))
        {
            let records = read.records.iter().filter(|record| record.offset < wish.to).count();
            lags.counted(&wish.group, &wish.place, wish.from, wish.to, i64::try_from(records).unwrap_or(i64::MAX));
        }
    }
}

/// A number for a gauge.
pub(super) fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
