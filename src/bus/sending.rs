//! Writing to a bus for one owner: batches with their progress, in transactions where the bus has them.

use async_trait::async_trait;
use bytes::Bytes;

use super::BusError;
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Header, TopicName};

/// What the bus says we may do on a topic; `None` where it does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicRights {
    /// Read its records.
    pub read: Option<bool>,
    /// Write records to it.
    pub write: Option<bool>,
    /// Delete records from it.
    pub delete: Option<bool>,
}

/// How a [`Sender`] is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderSettings {
    /// Names the owner among producers (`transactional.id`): a new sender of this name fences the one before. `None`: no transactions;
    /// every batch may arrive twice.
    pub transactional_id: Option<String>,
    /// Consumer group whose committed offset carries the progress.
    pub group: GroupName,
    /// Partition on which that offset is kept.
    pub progress: TopicPartition,
}

/// A record on its way to the bus. Its timestamp is the time of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Target topic.
    pub topic: TopicName,
    /// Target partition.
    pub partition: i32,
    /// Key; `None` is a null key.
    pub key: Option<Bytes>,
    /// Value; `None` is a null value.
    pub value: Option<Bytes>,
    /// Headers in order; names and values byte for byte.
    pub headers: Vec<Header>,
}

impl Outgoing {
    /// Bytes of key, value and headers together.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Bytes::len)).sum();
        headers + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Why a batch was not sent. With transactions nothing of it is visible to consumers that read committed, except after
/// [`SendError::Undecided`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The bus refused the batch for the sake of a record: too large, invalid. The sender can go on.
    #[error("refused: {0}")]
    Refused(String),
    /// Another sender of the same name has taken over.
    #[error("another owner has taken over: {0}")]
    Fenced(String),
    /// An access rule forbids it; names the operation and what is needed.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The target topic or partition is not there any more.
    #[error("the target is gone: {0}")]
    TargetGone(String),
    /// The bus cannot be reached; nothing was committed.
    #[error("the bus did not answer: {0}")]
    Unreachable(String),
    /// Whether the batch was committed is not known: a new sender of this name finds out.
    #[error("it is not known whether the batch was committed: {0}")]
    Undecided(String),
    /// The bus has no transactions, or not all that belongs to them; nothing was sent.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Anything else, in the client's words; nothing was committed.
    #[error("{0}")]
    Other(String),
}

/// A batch that was not sent, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct SendFailure {
    /// Why.
    pub error: SendError,
    /// Without transactions: the offset of each record that did arrive, in the order of the batch. Empty with transactions.
    pub delivered: Vec<Option<i64>>,
}

/// Sends batches for one owner. After any failure but [`SendError::Refused`] it is of no more use.
#[async_trait]
pub trait Sender: Send {
    /// Progress committed with the newest batch, by whichever owner; `None` when the bus has none (never sent, expired, deleted).
    /// Always `None` without transactions.
    async fn progress(&mut self) -> Result<Option<i64>, BusError>;
    /// Sends a batch and its progress in one transaction and answers the records' offsets, in the order of the batch. Everything is
    /// acknowledged before the commit.
    async fn send(&mut self, batch: Vec<Outgoing>, progress: i64) -> Result<Vec<i64>, SendFailure>;
    /// Tries whether transactions with offsets are allowed: an empty one that is aborted.
    async fn rehearse(&mut self) -> Result<(), SendError>;
}
