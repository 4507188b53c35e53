//! Pointer records (KIP-1191): key and value are null and must be read from the source topic before its retention takes them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::work::BusWork;
use crate::bus::{BusError, ReadFrom};
use crate::model::dead_letter::NewDeadLetter;
use crate::model::names::TopicPartition;
use crate::store::indexing::Advance;

/// Source records read with one call, and letters that are looked at together.
const STEP: usize = 50;
/// Sources at most this far apart are read together.
const NEAR: i64 = 50;
/// A batch whose sources have more bytes than this is cut; the rest is read again.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Fetches what the pointers among the letters point to. A source that is gone is said in the letter; a bus that cannot be reached is
/// an error, so that the batch is tried again instead of being stored without content. Answers whether the batch was cut for its size:
/// the letters after the cut are taken out, and must be read again from where the advances now end.
pub(super) async fn resolve(
    work: &BusWork,
    letters: &mut Vec<(i64, NewDeadLetter)>,
    advances: &mut HashMap<TopicPartition, Advance>,
) -> Result<bool, BusError> {
    let (mut bytes, mut done) = (0, 0);
    while done < letters.len() {
        let end = (done + STEP).min(letters.len());
        let step = &mut letters[done..end];
        if step.iter().any(|(_, letter)| letter.failure.is_pointer) {
            resolve_step(work, step).await?;
            bytes += step.iter().map(|(_, letter)| resolved_bytes(letter)).sum::<usize>();
        }
        done = end;
        if bytes > BATCH_BYTES && done < letters.len() {
            for (_, NewDeadLetter { record, .. }) in letters.drain(done..).rev() {
                let partition = TopicPartition { topic: record.topic, partition: record.partition };
                advances.entry(partition).and_modify(|advance| advance.next = record.offset);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

fn resolved_bytes(letter: &NewDeadLetter) -> usize {
    letter.resolved.iter().flat_map(|(key, value)| [key, value]).flatten().map(Bytes::len).sum()
}

async fn resolve_step(work: &BusWork, letters: &mut [(i64, NewDeadLetter)]) -> Result<(), BusError> {
    let mut wanted: BTreeMap<(TopicPartition, i64), Vec<usize>> = BTreeMap::new();
    for (index, (_, letter)) in letters.iter_mut().enumerate() {
        if !letter.failure.is_pointer || letter.custody_problem.is_some() {
            continue;
        }
        let origin = &letter.failure.origin;
        if let (Some(topic), Some(partition), Some(offset)) = (origin.topic.clone(), origin.partition, origin.offset) {
            wanted.entry((TopicPartition { topic, partition }, offset)).or_default().push(index);
        } else {
            letter.custody_problem = Some("The record points to its source, but does not say where that is.".to_owned());
        }
    }
    while let Some(((partition, first), _)) = wanted.first_key_value() {
        let (partition, first) = (partition.clone(), *first);
        let found = work.bus.read(&partition, ReadFrom::Offset(first), STEP).await;
        let (records, missing) = match found {
            Ok(found) => (found.records, "was no longer there".to_owned()),
            Err(error @ BusError::Unreachable(_)) => return Err(error),
            Err(error) => (Vec::new(), format!("could not be read: {error}")),
        };
        let reached = records.last().map_or(first, |record| record.offset.min(first.saturating_add(NEAR)));
        for record in records {
            for index in wanted.remove(&(partition.clone(), record.offset)).into_iter().flatten() {
                give(work, &mut letters[index].1, &record);
            }
        }
        // Everything up to where we read that was not among the records is gone.
        let gone: Vec<(TopicPartition, i64)> =
            wanted.range((partition.clone(), first)..=(partition, reached.max(first))).map(|(key, _)| key.clone()).collect();
        for key in gone {
            let problem = format!("The source record at {}, partition {}, offset {} {missing}.", key.0.topic, key.0.partition, key.1);
            for index in wanted.remove(&key).into_iter().flatten() {
                letters[index].1.custody_problem = Some(problem.clone());
            }
        }
    }
    Ok(())
}

fn give(work: &BusWork, letter: &mut NewDeadLetter, source: &crate::model::Record) {
    let size = source.size_bytes();
    if size > work.max_record_bytes {
        letter.custody_problem = Some(format!(
            "The source record has {size} bytes, more than custody.max_record_bytes allows ({}); its content is not kept.",
            work.max_record_bytes
        ));
    } else {
        letter.resolved = Some((source.key.clone(), source.value.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::fixture;
    use super::{BusError, BusWork, NewDeadLetter, resolve};
    use crate::model::names::TopicPartition;
    use crate::model::{FailedAtSource, Origin, Timestamp};
    use crate::store::indexing::Advance;

    fn source(partition: i32) -> TopicPartition {
        TopicPartition { topic: "orders".into(), partition }
    }

    /// The source holds the offsets 3 and 200, and 201 which is large.
    fn bus() -> fixture::MemoryBus {
        let mut bus = fixture::MemoryBus::default();
        let mut large = fixture::record("orders", 0, 201);
        large.value = Some(Bytes::from(vec![0; 2_000]));
        bus.records.insert(source(0), vec![fixture::record("orders", 0, 3), fixture::record("orders", 0, 200), large]);
        bus
    }

    fn pointer(offset: i64, to: Option<(i32, i64)>) -> (i64, NewDeadLetter) {
        let (mut failure, fingerprint) = fixture::failure();
        failure.is_pointer = true;
        if let Some((partition, offset)) = to {
            failure.origin = Origin { topic: Some("orders".into()), partition: Some(partition), offset: Some(offset), timestamp: None };
        }
        let letter = NewDeadLetter {
            record: fixture::record("share.DLQ", 0, offset),
            failure,
            fingerprint,
            failed_at: Timestamp::from_millis(1),
            failed_at_source: FailedAtSource::Indexed,
            arrived_at: Timestamp::from_millis(1),
            backlog: false,
            resolved: None,
            custody_problem: None,
        };
        (7, letter)
    }

    async fn resolved(work: &BusWork, mut letters: Vec<(i64, NewDeadLetter)>) -> (Vec<(i64, NewDeadLetter)>, i64, bool) {
        let partition = TopicPartition { topic: "share.DLQ".into(), partition: 0 };
        let advance = Advance { partition_id: 7, expected: 0, next: i64::try_from(letters.len()).expect("small"), gap: None };
        let mut advances = HashMap::from([(partition.clone(), advance)]);
        let cut = resolve(work, &mut letters, &mut advances).await.expect("the bus answers");
        (letters, advances[&partition].next, cut)
    }

    #[tokio::test]
    async fn each_pointer_gets_its_source_or_says_why_not() {
        let work = fixture::work_on(Arc::new(bus()));
        let targets = [Some((0, 200)), Some((0, 3)), Some((0, 4)), Some((0, 201)), Some((5, 0)), None, Some((0, 200))];
        let letters = targets.iter().zip(0..).map(|(to, offset)| pointer(offset, *to)).collect();
        let (letters, next, cut) = resolved(&work, letters).await;
        let value = Some((None, Some(Bytes::from_static(b"value"))));
        let found: Vec<_> = letters.iter().map(|(_, letter)| letter.resolved.clone()).collect();
        assert_eq!(found, [value.clone(), value.clone(), None, None, None, None, value]);
        let problems: Vec<String> = letters.into_iter().map(|(_, letter)| letter.custody_problem.unwrap_or_default()).collect();
        let words = ["", "", "offset 4 was no longer there", "max_record_bytes", "could not be read", "does not say where", ""];
        for (problem, words) in problems.iter().zip(words) {
            assert!(problem.contains(words) && problem.is_empty() == words.is_empty(), "{problem:?} should say {words:?}");
        }
        assert_eq!((next, cut), (7, false));
    }

    #[tokio::test]
    async fn a_bus_that_does_not_answer_stops_the_batch_instead_of_losing_content() {
        let bus = Arc::new(bus());
        *bus.error.lock().expect("not poisoned") = Some(BusError::Unreachable("timed out".into()));
        let work = fixture::work_on(bus);
        let error = resolve(&work, &mut vec![pointer(0, Some((0, 3)))], &mut HashMap::new()).await;
        assert!(matches!(error, Err(BusError::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_batch_with_too_much_content_is_cut_and_its_position_with_it() {
        let mut bus = fixture::MemoryBus::default();
        let records = (0..300).map(|offset| {
            let mut record = fixture::record("orders", 0, offset);
            record.value = Some(Bytes::from(vec![1; 200 * 1024]));
            record
        });
        bus.records.insert(source(0), records.collect());
        let mut work = fixture::work_on(Arc::new(bus));
        work.max_record_bytes = 1 << 20;
        let (letters, next, cut) = resolved(&work, (0..300).map(|offset| pointer(offset, Some((0, offset)))).collect()).await;
        assert!(cut);
        assert_eq!((letters.len(), next), (100, 100), "17 MiB and more after the second step of fifty");
        assert!(letters.iter().all(|(_, letter)| letter.resolved.is_some()));
    }
}
