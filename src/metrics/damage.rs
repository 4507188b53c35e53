//! What is stored and cannot be read again.

/// Bytes that this version did not write, or that were damaged since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored figures are damaged")]
pub struct Damaged;
