//! Failure groups: dead letters by cause.

use super::{Store, StoreError};
use crate::model::dead_letter::StatusCounts;
use crate::model::failure_group::FailureGroup;
use crate::model::{BusId, DeadLetterFilter, Fingerprint, Page, PageRequest, Timestamp};

/// Order of a list of failure groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureGroupSort {
    /// Most open dead letters first.
    #[default]
    Open,
    /// Newest failure first.
    LastSeen,
    /// Newest group first.
    FirstSeen,
}

/// Dead letters that arrived (without backlog), for the first page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Per bucket, oldest first.
    pub per_bucket: Vec<u64>,
    /// Sum of the range.
    pub total: u64,
    /// Sum of the range just before.
    pub before: u64,
}

/// The time range of arrivals: from (inclusive), to (exclusive), and how many equal buckets it is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Number of buckets, 1 to 400.
    pub count: u32,
}

impl Store {
    /// Groups that hold a dead letter matching `filter` (its `q` searches titles and messages of groups); counts are of the matching ones.
    /// The page's cursor is only valid for the same sort.
    pub async fn list_failure_groups(
        &self,
        _filter: &DeadLetterFilter,
        _sort: FailureGroupSort,
        _buckets: Buckets,
        _page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        unimplemented!()
    }
    /// One group, all of its dead letters.
    pub async fn find_failure_group(
        &self,
        _bus: &BusId,
        _fingerprint: Fingerprint,
        _buckets: Buckets,
    ) -> Result<Option<FailureGroup>, StoreError> {
        unimplemented!()
    }
    /// Dead letters by status under a filter (without `q`).
    pub async fn count_by_status(&self, _filter: &DeadLetterFilter) -> Result<StatusCounts, StoreError> {
        unimplemented!()
    }
    /// Arrivals over time under a filter (without `q`; exact to the minute).
    pub async fn list_arrivals(&self, _filter: &DeadLetterFilter, _buckets: Buckets) -> Result<Arrivals, StoreError> {
        unimplemented!()
    }
}
