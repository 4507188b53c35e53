//! Keyset paging.

/// An opaque position in a list: where the next page begins. Its text form is URL-safe and checked when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// First sort key of the last row seen, often milliseconds since the epoch.
    pub key: i64,
    /// Second sort key, the row's id.
    pub id: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.key, self.id)
    }
}

/// The text is not a cursor that we have given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct InvalidCursor;

impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, id) = text.split_once('.').ok_or(InvalidCursor)?;
        Ok(Self { key: key.parse().map_err(|_| InvalidCursor)?, id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

/// Which page is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Where to begin; `None` is the first page.
    pub cursor: Option<Cursor>,
    /// Rows at most, from 1 to 1,000.
    pub limit: u32,
}

impl PageRequest {
    /// The first page.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { cursor: None, limit }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<Cursor>,
}
