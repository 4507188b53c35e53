//! How many bytes of requests may be in memory at once.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in flight. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<Mutex<Used>>,
    limit: u64,
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    holds: u64,
}

/// One request's share; given back when dropped.
#[derive(Debug)]
pub(super) struct Hold {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// A share of nothing yet.
    pub(super) fn hold(&self) -> Hold {
        self.change(|used| used.holds += 1);
        Hold { budget: self.clone(), bytes: 0 }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Used) -> T) -> T {
        change(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hold {
    /// Takes more; `false`, and nothing taken, when all is in use. A request that is alone gets what it needs: its own size is
    /// limited elsewhere, and it would not fit better the next time.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let limit = self.budget.limit;
        let granted = self.budget.change(|used| {
            let fits = used.bytes.saturating_add(bytes) <= limit || used.holds == 1;
            used.bytes += if fits { bytes } else { 0 };
            fits
        });
        self.bytes += if granted { bytes } else { 0 };
        granted
    }

    /// Gives back a part.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = (bytes as u64).min(self.bytes);
        self.bytes -= bytes;
        self.budget.change(|used| used.bytes -= bytes);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.budget.change(|used| {
            used.bytes -= bytes;
            used.holds -= 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.hold(), budget.hold());
        assert!(first.grow(60) && second.grow(40));
        assert!(!second.grow(1));
        first.shrink(30);
        assert!(second.grow(30));
        drop(first);
        assert!(second.grow(30) && second.grow(1_000), "alone");
        drop(second);
        let (mut third, _other) = (budget.hold(), budget.hold());
        assert!(third.grow(100) && !third.grow(1));
    }
}
