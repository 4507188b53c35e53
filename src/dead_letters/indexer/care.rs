//! How carefully batches are written. Usually many records together; when the store says of a batch that trying again cannot mend it,
//! one record at a time; and the one record that it will not take, without what was decoded from it. So one record that nobody
//! foresaw costs its own decoding and never stops a partition.

/// What the next batches are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Care {
    /// As many records as fit.
    #[default]
    Usual,
    /// One record; so many more before we dare to go back.
    OneByOne(u32),
    /// One record without its decoded failure.
    Bare(u32),
}

/// Records read one by one after trouble: at least the batch in which it was.
const CAREFUL: u32 = 2_000;

impl Care {
    /// The store refused a batch for good.
    #[must_use]
    pub(super) const fn after_refusal(self) -> Self {
        match self {
            Self::Usual => Self::OneByOne(CAREFUL),
            Self::OneByOne(left) | Self::Bare(left) => Self::Bare(left),
        }
    }

    /// A batch was written.
    #[must_use]
    pub(super) const fn after_success(self) -> Self {
        match self {
            Self::Usual | Self::OneByOne(0 | 1) | Self::Bare(0 | 1) => Self::Usual,
            Self::OneByOne(left) | Self::Bare(left) => Self::OneByOne(left - 1),
        }
    }

    /// Records of a batch at most.
    #[must_use]
    pub(super) const fn records(self, usual: usize) -> usize {
        match self {
            Self::Usual => usual,
            Self::OneByOne(_) | Self::Bare(_) => 1,
        }
    }

    /// Whether to leave out what was decoded.
    #[must_use]
    pub(super) const fn is_bare(self) -> bool {
        matches!(self, Self::Bare(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{CAREFUL, Care};

    #[test]
    fn one_record_that_the_store_refuses_is_found_stored_bare_and_left_behind() {
        let mut care = Care::default().after_refusal();
        assert_eq!((care.records(2_000), care.is_bare()), (1, false));
        // Some go well, then the one.
        care = care.after_success().after_success().after_refusal();
        assert!(care.is_bare());
        care = care.after_success();
        assert!(!care.is_bare());
        for _ in 0..CAREFUL {
            care = care.after_success();
        }
        assert_eq!(care, Care::Usual);
    }
}
