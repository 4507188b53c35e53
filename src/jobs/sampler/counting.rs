//! Short reads that tell how many of the last offsets are records: a marker at the end of a topic looks like lag for ever.

use std::time::Duration;

use futures::StreamExt;

use super::lag::Lags;
use crate::bus::{ReadFrom, ReadRecords};
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

impl Wish {
    fn key(&self) -> (&GroupName, &TopicPartition) {
        (&self.group, &self.place)
    }
}

/// Whose turn it is: a range that can never be counted (an open transaction, no right to read) keeps no other waiting.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: Option<(GroupName, TopicPartition)>,
}

impl Turns {
    /// The next few after those of the last sweep.
    fn next(&mut self, mut wishes: Vec<Wish>) -> Vec<Wish> {
        wishes.sort_unstable_by(|one, other| one.key().cmp(&other.key()));
        if let Some((group, place)) = &self.last {
            let had_their_turn = wishes.partition_point(|wish| wish.key() <= (group, place));
            wishes.rotate_left(had_their_turn);
        }
        wishes.truncate(READS);
        if let Some(last) = wishes.last() {
            self.last = Some((last.group.clone(), last.place.clone()));
        }
        wishes
    }
}

/// Reads some of the ranges, as a consumer that reads committed would. What cannot be read stays unknown.
pub(super) async fn count(work: &BusWork, lags: &mut Lags, turns: &mut Turns, wishes: Vec<Wish>) {
    let reads = futures::stream::iter(turns.next(wishes)).map(|wish| async move {
        let read = tokio::time::timeout(PATIENCE, read(work, &wish)).await.ok().flatten();
        (wish, read)
    });
    for (wish, read) in reads.buffer_unordered(READS).collect::<Vec<_>>().await {
        // An open transaction ends a read early: then nobody knows yet.
        if let Some(read) = read
            && (read.next >= wish.to || read.records.last().is_some_and(|last| last.offset + 1 >= wish.to))
        {
            let records = read.records.iter().filter(|record| record.offset < wish.to).count();
            lags.counted(&wish.group, &wish.place, wish.from, wish.to, i64::try_from(records).unwrap_or(i64::MAX));
        }
    }
}

/// What lies in a range, unless some of it was removed before it was read: that is missing for another reason.
async fn read(work: &BusWork, wish: &Wish) -> Option<ReadRecords> {
    let limit = usize::try_from(COUNTABLE).unwrap_or(usize::MAX);
    let read = work.bus.read(&wish.place, ReadFrom::Offset(wish.from), limit).await.ok()?;
    let offsets = work.bus.offsets(std::slice::from_ref(&wish.place)).await.ok()?;
    offsets.get(&wish.place).is_some_and(|offsets| offsets.log_start <= wish.from).then_some(read)
}

/// A number for a gauge.
pub(super) fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(names: &str) -> Vec<Wish> {
        let place = || TopicPartition { topic: "orders".into(), partition: 0 };
        names.chars().map(|name| Wish { group: name.to_string().as_str().into(), place: place(), from: 0, to: 1 }).collect()
    }

    #[test]
    fn what_cannot_be_counted_keeps_no_other_waiting() {
        let mut turns = Turns::default();
        let mut next = |names| turns.next(wishes(names)).iter().map(|wish| wish.group.as_str().to_owned()).collect::<String>();
        assert_eq!(next("gabcdef"), "abcd");
        // Nothing came of these four, and they wish again.
        assert_eq!(next("gabcdef"), "efga");
        assert_eq!(next("abcdefg"), "bcde");
        assert_eq!(next("ab"), "ab");
        assert_eq!(next(""), "");
    }
}
