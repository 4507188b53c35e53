//! Lists, counts, search and single dead letters.

use super::{Store, StoreError};
use crate::model::dead_letter::{DeadLetterDetail, DeadLetterSummary};
use crate::model::{BusId, Cursor, DeadLetterFilter, DeadLetterId, PageRequest, Timestamp};

/// A page of dead letters, newest first by (failed_at, id).
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
        _filter: &DeadLetterFilter,
        _page: &PageRequest,
        _scan_millis: u64,
    ) -> Result<DeadLetterPage, StoreError> {
        unimplemented!()
    }
    /// How many match; `None` with `q`, where only a scan would tell.
    pub async fn count_dead_letters(&self, _filter: &DeadLetterFilter) -> Result<Option<u64>, StoreError> {
        unimplemented!()
    }
    /// Choices for the menus of a list over these buses (all when empty).
    pub async fn list_filter_choices(&self, _bus: &[BusId]) -> Result<FilterChoices, StoreError> {
        unimplemented!()
    }
    /// One dead letter with its content and its neighbours under `filter`.
    pub async fn find_dead_letter(&self, _id: DeadLetterId, _filter: &DeadLetterFilter) -> Result<Option<DeadLetterDetail>, StoreError> {
        unimplemented!()
    }
    /// Other dead letters with the same origin coordinates (a failing handler, a restart), newest first, at most 20.
    pub async fn list_same_origin(&self, _id: DeadLetterId) -> Result<Vec<DeadLetterSummary>, StoreError> {
        unimplemented!()
    }
    /// How many match and are newer than `id` in the order of indexing: the "show n newer" of a live list.
    pub async fn count_newer(&self, _filter: &DeadLetterFilter, _id: DeadLetterId) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Whole dead letters in list order for an export, so many from a cursor.
    pub async fn list_for_export(
        &self,
        _filter: &DeadLetterFilter,
        _page: &PageRequest,
    ) -> Result<(Vec<DeadLetterDetail>, Option<Cursor>), StoreError> {
        unimplemented!()
    }
}
