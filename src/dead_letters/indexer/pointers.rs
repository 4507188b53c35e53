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
            Ok(found) => (found.records, format!("The source record at {} was no longer there.", place(&partition, first))),
            Err(error @ BusError::Unreachable(_)) => return Err(error),
            Err(error) => (Vec::new(), format!("The source record at {} could not be read: {error}.", place(&partition, first))),
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
            for index in wanted.remove(&key).into_iter().flatten() {
                letters[index].1.custody_problem = Some(missing.clone());
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

fn place(partition: &TopicPartition, offset: i64) -> String {
    format!("{}, partition {}, offset {offset}", partition.topic, partition.partition)
}
