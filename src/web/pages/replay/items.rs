//! The messages of one replay, one by one.

use std::collections::HashMap;

use super::super::super::view::letter_row::KeyView;
use super::super::super::view::look::{Look, short_class};
use super::super::super::view::number::grouped;
use super::super::super::view::replay as view;
use super::super::super::view::text::short;
use crate::model::dead_letter::DeadLetterSummary;
use crate::model::replay::{ItemResult, Replay, ReplayItem, Route, SkipReason};
use crate::model::{DeadLetterId, Timestamp};
use crate::store::{Store, StoreError};

/// Characters of a key that are shown.
const KEY_CHARS: usize = 60;

/// A result and how many have it.
pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) count: String,
    pub(super) href: String,
    pub(super) current: bool,
}

/// A message: the dead letter that it was, and what became of it.
pub(super) struct ItemRow {
    pub(super) look: Look,
    pub(super) letter_href: String,
    /// `None`: retention has removed the dead letter.
    pub(super) key: Option<KeyView>,
    pub(super) from: String,
    pub(super) target: String,
    /// Partition and offset on the target; empty while it was not sent.
    pub(super) sent: String,
    pub(super) successor: Option<(String, String)>,
    pub(super) note: String,
    pub(super) at: Option<Timestamp>,
}

pub(super) fn tabs(replay: &Replay, current: Option<ItemResult>, here: &str) -> Vec<Tab> {
    let all = Tab { label: "All", count: grouped(replay.counts.total()), href: format!("{here}#items"), current: current.is_none() };
    let of = |result: &ItemResult| {
        let count = replay.counts.of(*result);
        (count > 0 || current == Some(*result)).then(|| Tab {
            label: view::result(*result).word,
            count: grouped(count),
            href: format!("{here}?result={result}#items"),
            current: current == Some(*result),
        })
    };
    std::iter::once(all).chain(ItemResult::ALL.iter().filter_map(of)).collect()
}

/// Rows of a page of items, with the dead letters that they were and that came back.
pub(super) async fn rows(store: &Store, items: &[ReplayItem], routes: &[Route]) -> Result<Vec<ItemRow>, StoreError> {
    let ids: Vec<DeadLetterId> = items.iter().flat_map(|item| [Some(item.dead_letter_id), item.successor_id]).flatten().collect();
    let letters = store.list_dead_letters_by_id(&ids).await?.into_iter().map(|letter| (letter.id, letter)).collect();
    Ok(items.iter().map(|item| ItemRow::new(item, routes, &letters)).collect())
}

impl ItemRow {
    fn new(item: &ReplayItem, routes: &[Route], letters: &HashMap<DeadLetterId, DeadLetterSummary>) -> Self {
        let topic = routes.iter().find(|route| route.route == item.route).and_then(|route| route.target.as_ref());
        let target = topic.map(|topic| short(topic.as_str(), 80)).unwrap_or_default();
        let sent = item.partition.zip(item.offset).map(|(partition, offset)| format!("{partition} / {}", grouped(offset.unsigned_abs())));
        let letter = letters.get(&item.dead_letter_id);
        let successor = item.successor_id.map(|id| {
            let words = letters.get(&id).map_or_else(|| "removed by retention".to_owned(), coordinates);
            (format!("/dead-letters/{id}"), words)
        });
        let failure = item.successor_id.and_then(|id| letters.get(&id)).map(failure);
        Self {
            look: view::result(item.result),
            letter_href: format!("/dead-letters/{}", item.dead_letter_id),
            key: letter.map(|letter| KeyView::new(letter.key.as_deref(), letter.key_size_bytes, KEY_CHARS)),
            from: letter.map(coordinates).unwrap_or_default(),
            target,
            sent: sent.unwrap_or_default(),
            successor,
            note: item.reason.as_deref().map(|reason| reason_of_item(reason, item.result)).or(failure).unwrap_or_default(),
            at: item.result_at,
        }
    }
}

fn coordinates(letter: &DeadLetterSummary) -> String {
    format!("{} / {}", letter.partition, grouped(letter.offset.unsigned_abs()))
}

fn failure(letter: &DeadLetterSummary) -> String {
    let class = letter.exception_class.as_deref().map(short_class);
    let message = letter.exception_message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    short(&class.into_iter().chain(message).collect::<Vec<_>>().join(": "), 300)
}

fn reason_of_item(reason: &str, result: ItemResult) -> String {
    let words = match reason.parse::<SkipReason>() {
        Ok(SkipReason::Duplicate) if result == ItemResult::Skipped => "an older copy of a message in this replay",
        Ok(SkipReason::Status) => "its status allows no replay",
        Ok(SkipReason::OtherReplay) => "in another replay",
        Ok(SkipReason::AlreadyReplayed) => "replayed before",
        Ok(SkipReason::OriginUnknown) => "no header tells where it came from",
        Ok(SkipReason::TargetMissing) => "its target topic is not there",
        Ok(SkipReason::NoCustody) => "its content is not in custody",
        Ok(SkipReason::TooLarge) => "larger than the target takes",
        Ok(SkipReason::AttemptLimit) => "replayed as often as the limit allows",
        Ok(SkipReason::AfterFailed) => "after a message of its key that could not be sent",
        Ok(SkipReason::Changed) => "its status changed after the plan was made",
        Ok(SkipReason::Gone) => "removed by retention",
        Ok(SkipReason::JobEnded) => "the replay ended before",
        Ok(SkipReason::NotAllowed) => "writing to its target is not allowed",
        _ => return short(reason, 300),
    };
    words.to_owned()
}
