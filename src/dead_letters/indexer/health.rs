//! Readiness as far as the store decides it: gone, full or read-only, said by code and sentence, and taken back when it is well again.

use crate::lifecycle::Readiness;
use crate::store::StoreError;

/// Every reason that a store can give.
const CODES: [&str; 4] = ["store_unavailable", "store_full", "store_read_only", "store_failed"];

/// The readiness code of an error; `None` for one that says nothing about the store's health.
#[must_use]
pub const fn code(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Unavailable(_) => Some("store_unavailable"),
        StoreError::Full(_) => Some("store_full"),
        StoreError::ReadOnly(_) | StoreError::InUse(_) => Some("store_read_only"),
        StoreError::Broken(_) | StoreError::NewerSchema(_) => Some("store_failed"),
        StoreError::Taken(_) => None,
    }
}

/// Tells readiness how a write ended. Only writes count: a full or read-only store can still be read.
pub fn report(readiness: &Readiness, written: Result<(), &StoreError>) {
    let present = written.err().and_then(|error| code(error).map(|code| (code, error)));
    if let Some((code, error)) = present {
        readiness.set(code, format!("Indexing stands still, nothing is lost, and it goes on by itself: {error}"));
    }
    for other in CODES {
        if present.is_none_or(|(code, _)| code != other) {
            readiness.clear(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Readiness, StoreError, report};

    #[test]
    fn the_newest_reason_stands_alone_and_goes_when_the_store_is_back() {
        let readiness = Readiness::default();
        report(&readiness, Err(&StoreError::Unavailable("connection refused".into())));
        report(&readiness, Err(&StoreError::Full("no space left on device".into())));
        let reasons = readiness.reasons();
        assert_eq!(reasons.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["store_full"]);
        assert!(reasons[0].1.contains("no space left on device"));
        report(&readiness, Ok(()));
        assert_eq!(readiness.reasons(), []);
    }
}
