//! Text search. Words are found by looking; what saves the looking is a signature per block of dead letters, written in the
//! transaction that indexes them, so a search never trails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::dead_letters::select::{Bounds, Key, Plan, Selection};
use super::error::contradiction;
use super::indexing::id_list;
use super::{Store, StoreError, custody};
use crate::model::{Cursor, DeadLetterFilter};

pub(super) mod signature;
pub(super) mod words;

use words::{Found, Words, lower_into};

statements! {
    const TEXTS = "select d.id, d.message, f.exception_class from dead_letters d join facets f on f.id = d.facet_id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Dead letters whose content is looked at in one step.
const STEP: usize = 512;

impl Store {
    /// Dead letters that hold all words, newest first.
    pub(super) async fn search(
        &self,
        plan: &Plan,
        filter: &DeadLetterFilter,
        bounds: Bounds,
        limit: usize,
        words: &Words,
        deadline: Instant,
    ) -> Result<Selection, StoreError> {
        let (mut bounds, mut found) = (bounds, Vec::new());
        loop {
            let rows = self.scan(plan, bounds, u32::try_from(STEP).unwrap_or(u32::MAX)).await?;
            let ended = rows.len() < STEP;
            let last = rows.last().copied();
            let rows = self.with_presence(rows, &filter.presence).await?;
            found.extend(self.with_words(&rows, words).await?);
            if found.len() > limit {
                let mut selection = Selection::page(found, limit);
                selection.searched_back_to = selection.keys.last().map(|key| key.failed_at);
                return Ok(selection);
            }
            let Some(last) = last.filter(|_| !ended) else {
                return Ok(Selection { keys: found, complete: true, ..Selection::default() });
            };
            bounds.after = (last.failed_at, last.id);
            if Instant::now() >= deadline {
                let next = Some(Cursor { key: last.failed_at, id: last.id });
                return Ok(Selection { keys: found, next, searched_back_to: Some(last.failed_at), complete: false });
            }
        }
    }

    /// Those of some keys whose content holds all words, in their order.
    pub(super) async fn with_words(&self, keys: &[Key], words: &Words) -> Result<Vec<Key>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = keys.iter().map(|key| key.id).collect();
        let list = id_list(&ids);
        let texts: Vec<Text> = read!(self, |pool| sqlx::query_as(TEXTS).bind(&list).fetch_all(pool).await?)?;
        let bodies = self.bodies(&ids).await?;
        let frames = self.frames(bodies.iter().filter_map(|(_, frames, _)| *frames)).await?;
        let words = words.clone();
        let look = move || look(&words, &texts, &bodies, &frames);
        let looked = tokio::task::spawn_blocking(look).await;
        let holding = looked.map_err(|error| contradiction(format!("custody: {error}")))??;
        Ok(keys.iter().copied().filter(|key| holding.contains(&key.id)).collect())
    }
}

#[derive(sqlx::FromRow)]
struct Text {
    id: i64,
    message: Option<Vec<u8>>,
    exception_class: Option<Vec<u8>>,
}

/// Decompresses and looks, on a blocking thread.
fn look(
    words: &Words,
    texts: &[Text],
    bodies: &[(i64, Option<i64>, Vec<u8>)],
    frames: &HashMap<i64, Arc<[u8]>>,
) -> Result<HashSet<i64>, StoreError> {
    let mut lower = Vec::new();
    let mut find = |found: &mut Found, text: &[u8]| {
        lower.clear();
        lower_into(&mut lower, text);
        words.find(found, &lower);
    };
    // Frames are shared by thousands: looked at once.
    let mut in_frames: HashMap<i64, Found> = HashMap::new();
    for (id, frames) in frames {
        find(in_frames.entry(*id).or_default(), frames);
    }
    let texts: HashMap<i64, &Text> = texts.iter().map(|text| (text.id, text)).collect();
    let mut holding = HashSet::new();
    for (id, frames, body) in bodies {
        let mut found = frames.and_then(|id| in_frames.get(&id).copied()).unwrap_or_default();
        let text = texts.get(id).map(|text| [&text.message, &text.exception_class]);
        text.iter().flatten().filter_map(|text| text.as_deref()).for_each(|text| find(&mut found, text));
        if found != words.all() {
            let raw = custody::decompress(body)?;
            custody::visit_searchable(&raw, |text| find(&mut found, text)).ok_or_else(|| contradiction("custody"))?;
        }
        if found == words.all() {
            holding.insert(*id);
        }
    }
    Ok(holding)
}
