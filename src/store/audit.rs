//! The audit: who did what, when, to how many, with which result.

use super::{Store, StoreError};
use crate::model::{AuditEntry, Page, PageRequest, Timestamp};

/// What a list of the audit is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Actor's name, exact.
    pub actor: Option<String>,
    /// Action, or its noun: `user` finds `user.add`.
    pub action: Option<String>,
    /// Earliest, inclusive.
    pub from: Option<Timestamp>,
    /// Latest, exclusive.
    pub to: Option<Timestamp>,
}

impl Store {
    /// Adds an entry; its `id` is ignored.
    pub async fn record_audit(&self, _entry: &AuditEntry) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Entries, newest first.
    pub async fn list_audit(&self, _filter: &AuditFilter, _page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        unimplemented!()
    }
    /// Distinct actors and distinct actions, for the filter's menus (at most 200 each).
    pub async fn list_audit_choices(&self) -> Result<(Vec<String>, Vec<String>), StoreError> {
        unimplemented!()
    }
}
