//! Lists, counts, search and single dead letters.

use std::collections::HashMap;

use super::facets::{FacetRow, restricts_facets, statuses};
use super::indexing::{id_list, text_list};
use super::presence::presence_sql;
use super::rows::{SummaryRow, summary_sql, text};
use super::search::words::Words;
use super::{Store, StoreError, custody};
use crate::model::dead_letter::{DeadLetterDetail, DeadLetterSummary};
use crate::model::{BusId, Cursor, DeadLetterFilter, DeadLetterId, PageRequest, Status, Timestamp};

pub mod count;
pub(super) mod detail;
pub(super) mod select;

use select::{Bounds, Key};

statements! {
    const SUMMARIES = summary_sql!("where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))");
    const CHOICES = "select f.topic, f.origin_topic, f.consumer_group, f.exception_class, f.convention, \
        f.open + f.replaying + f.replayed + f.resolved + f.failed_again + f.discarded as letters \
        from facets f join buses b on b.id = f.bus_id \
        where (cast($1 as text) is null or b.bus in (select value from json_each(cast($1 as text))))";
    const SAME_ORIGIN = summary_sql!("where d.origin_offset = $1 and d.origin_partition = $2 and f.origin_topic = $3 \
        and b.bus = $4 and d.id <> $5 order by d.failed_at desc, d.id desc limit 20");
}

/// Choices per menu at most.
const CHOICES_PER_MENU: usize = 100;

/// A page of dead letters, newest first by (`failed_at`, id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The rows; may be empty with a cursor while a search goes on.
    pub items: Vec<DeadLetterSummary>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<Cursor>,
    /// With `q` (or a filter by presence): everything newer has been looked at.
    pub searched_back_to: Option<Timestamp>,
    /// Whether everything has been looked at, newest to oldest.
    pub search_complete: bool,
    /// How far the search index trails, when it does: dead letters not yet searchable.
    pub not_yet_searchable: u64,
}

/// Choices for the filter's menus with the number of dead letters behind each, most first, at most 100 each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterChoices {
    /// Dead-letter topics.
    pub topics: Vec<(String, u64)>,
    /// Origin topics.
    pub origin_topics: Vec<(String, u64)>,
    /// Consumer groups.
    pub consumer_groups: Vec<(String, u64)>,
    /// Root-cause classes.
    pub exception_classes: Vec<(String, u64)>,
    /// Conventions.
    pub conventions: Vec<(String, u64)>,
}

impl Store {
    /// One page. A search (`q`) stops after about `scan_millis` and says how far it came; the cursor goes on from there.
    pub async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
        scan_millis: u64,
    ) -> Result<DeadLetterPage, StoreError> {
        let selection = self.select(filter, page, scan_millis).await?;
        let items = self.summaries(&selection.keys).await?;
        Ok(DeadLetterPage {
            items,
            next_cursor: selection.next,
            searched_back_to: selection.searched_back_to.map(Timestamp::from_millis),
            search_complete: selection.complete,
            not_yet_searchable: 0,
        })
    }

    /// Some dead letters by their ids, in this order; those that retention has removed are left out.
    pub async fn list_dead_letters_by_id(&self, ids: &[DeadLetterId]) -> Result<Vec<DeadLetterSummary>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|id| Key { failed_at: 0, id: id.0, facet_id: 0 }).collect();
        self.summaries(&keys).await
    }

    /// Choices for the menus of a list over these buses (all when empty).
    pub async fn list_filter_choices(&self, bus: &[BusId]) -> Result<FilterChoices, StoreError> {
        let buses: Vec<&str> = bus.iter().map(BusId::as_str).filter(|bus| !bus.contains('\0')).collect();
        let list = (!bus.is_empty()).then(|| text_list(&buses));
        let rows: Vec<ChoiceRow> = read!(self, |pool| sqlx::query_as(CHOICES).bind(&list).fetch_all(pool).await?)?;
        let mut menus: [HashMap<String, u64>; 5] = Default::default();
        for row in rows.into_iter().filter(|row| row.letters > 0) {
            let bytes = [row.origin_topic, row.consumer_group, row.exception_class].map(|name| name.map(text));
            let [origin_topic, consumer_group, exception_class] = bytes;
            let names = [Some(row.topic), origin_topic, consumer_group, exception_class, Some(row.convention)];
            for (menu, name) in menus.iter_mut().zip(names) {
                if let Some(name) = name {
                    *menu.entry(name).or_default() += row.letters.unsigned_abs();
                }
            }
        }
        let [topics, origin_topics, consumer_groups, exception_classes, conventions] = menus.map(most_first);
        Ok(FilterChoices { topics, origin_topics, consumer_groups, exception_classes, conventions })
    }

    /// Other dead letters with the same origin coordinates (a failing handler, a restart), newest first, at most 20.
    pub async fn list_same_origin(&self, id: DeadLetterId) -> Result<Vec<DeadLetterSummary>, StoreError> {
        let Some(summary) = self.summaries(&[Key { failed_at: 0, id: id.0, facet_id: 0 }]).await?.pop() else { return Ok(Vec::new()) };
        let origin = &summary.origin;
        let (Some(topic), Some(partition), Some(offset)) = (&origin.topic, origin.partition, origin.offset) else { return Ok(Vec::new()) };
        let rows: Vec<SummaryRow> = read!(self, |pool| sqlx::query_as(SAME_ORIGIN)
            .bind(offset)
            .bind(partition)
            .bind(topic.as_str().as_bytes())
            .bind(summary.bus.as_str())
            .bind(id.0)
            .fetch_all(pool)
            .await?)?;
        rows.into_iter().map(SummaryRow::into_summary).collect()
    }

    /// The dead letters of some keys, in their order; those that retention has removed meanwhile are left out.
    pub(super) async fn summaries(&self, keys: &[Key]) -> Result<Vec<DeadLetterSummary>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ids = id_list(&keys.iter().map(|key| key.id).collect::<Vec<_>>());
        let rows: Vec<SummaryRow> = read!(self, |pool| sqlx::query_as(SUMMARIES).bind(&ids).fetch_all(pool).await?)?;
        let mut rows: HashMap<i64, SummaryRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        keys.iter().filter_map(|key| rows.remove(&key.id)).map(SummaryRow::into_summary).collect()
    }
}

#[derive(sqlx::FromRow)]
struct ChoiceRow {
    topic: String,
    origin_topic: Option<Vec<u8>>,
    consumer_group: Option<Vec<u8>>,
    exception_class: Option<Vec<u8>>,
    convention: String,
    letters: i64,
}

fn most_first(menu: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut menu: Vec<(String, u64)> = menu.into_iter().collect();
    menu.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    menu.truncate(CHOICES_PER_MENU);
    menu
}
