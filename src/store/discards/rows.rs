//! How rows become discards and restores.

use super::{LetterDiscard, restore};
use crate::model::discard::{Discard, DiscardId, DiscardKind, DiscardState};
use crate::model::{Actor, DeadLetterId, Timestamp};
use crate::store::StoreError;
use crate::store::error::contradiction;

/// Number of the state in which the scope is frozen.
pub(in crate::store) const FREEZING: i16 = 0;

#[derive(sqlx::FromRow)]
pub(in crate::store) struct ActRow {
    pub(in crate::store) id: i64,
    discard_id: String,
    pub(in crate::store) kind: i16,
    actor: String,
    address: Option<String>,
    reason: String,
    pub(in crate::store) selection: String,
    target: String,
    pub(in crate::store) undoes: Option<i64>,
    undoes_id: Option<String>,
    pub(in crate::store) upper_id: i64,
    pub(in crate::store) state: i16,
    pub(in crate::store) step: i64,
    pub(in crate::store) cursor_key: Option<i64>,
    pub(in crate::store) cursor_id: Option<i64>,
    total: i64,
    changed: i64,
    skipped: i64,
    created_at: i64,
    ended_at: Option<i64>,
    undone_at: Option<i64>,
    undone_by: Option<String>,
}

fn id(text: &str) -> Result<DiscardId, StoreError> {
    DiscardId::parse(text).ok_or_else(|| contradiction("a discard's id"))
}

impl ActRow {
    pub(in crate::store) fn kind(&self) -> Result<DiscardKind, StoreError> {
        DiscardKind::from_code(self.kind).ok_or_else(|| contradiction(format!("kind of a discard {}", self.kind)))
    }

    pub(in crate::store) fn into_discard(self) -> Result<Discard, StoreError> {
        let state = if self.state == FREEZING { Some(DiscardState::Running) } else { DiscardState::from_code(self.state) };
        Ok(Discard {
            number: self.id,
            id: id(&self.discard_id)?,
            kind: self.kind()?,
            actor: Actor { name: self.actor, address: self.address },
            reason: self.reason,
            target: self.target,
            undoes: self.undoes_id.as_deref().map(id).transpose()?,
            upper_id: DeadLetterId(self.upper_id),
            state: state.ok_or_else(|| contradiction(format!("state of a discard {}", self.state)))?,
            frozen: self.state != FREEZING,
            total: self.total.unsigned_abs(),
            changed: self.changed.unsigned_abs(),
            skipped: self.skipped.unsigned_abs(),
            created_at: Timestamp::from_millis(self.created_at),
            ended_at: self.ended_at.map(Timestamp::from_millis),
            undone: self.undone_at.map(Timestamp::from_millis).zip(self.undone_by),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct LetterRow {
    discard_id: String,
    actor: String,
    reason: String,
    changed_at: i64,
    restore_id: Option<String>,
    restore_actor: Option<String>,
    restored_at: Option<i64>,
}

impl LetterRow {
    pub(in crate::store) fn into_discard(self) -> Result<LetterDiscard, StoreError> {
        Ok(LetterDiscard {
            id: id(&self.discard_id)?,
            actor: self.actor,
            reason: self.reason,
            at: Timestamp::from_millis(self.changed_at),
            restored: restore(self.restore_id.as_deref(), self.restore_actor, self.restored_at),
        })
    }
}
