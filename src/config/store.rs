//! `[store]`, `[custody]` and `[retention]`: what is kept, where, and how long.

use std::fmt;
use std::time::Duration;

use super::problem::mask;
use super::read::Section;
use super::values::{parse_duration, parse_size};

const DAY: Duration = Duration::from_hours(24);

/// Which database.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `sqlite:path` or `postgres://...`; may hold a password.
    pub url: String,
}

impl StoreConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let fallback = "sqlite:redrive.db";
        let url = section.secret("url", "url_file").unwrap_or_else(|| fallback.to_owned());
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
        if !known {
            section.problem("url", section.raw("url"), "should be \"sqlite:PATH\" or \"postgres://USER@HOST/DATABASE\"");
        }
        section.finish();
        Self { url }
    }

    /// The URL without its password, for screens and logs.
    #[must_use]
    pub fn shown_url(&self) -> String {
        mask(&self.url)
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("url", &self.shown_url()).finish()
    }
}

/// Our own copies of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyConfig {
    /// Content of larger records is not kept.
    pub max_record_bytes: u64,
}

impl CustodyConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let max_record_bytes = section.parsed("max_record_bytes", "a size such as \"8MiB\"", 8 << 20, parse_size);
        section.finish();
        Self { max_record_bytes }
    }
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Dead letters after their final status.
    pub dead_letters: Duration,
    /// The audit.
    pub audit: Duration,
    /// Figures as sampled.
    pub raw: Duration,
    /// Figures by the minute.
    pub minutes: Duration,
    /// Figures by the hour.
    pub hours: Duration,
    /// Spans, every one of them.
    pub spans: Duration,
    /// Traces that are kept longer: failed, slow, dead-lettered, replayed, ...
    pub kept_traces: Duration,
    /// What spans and traces may take in the store, about; the oldest go first.
    pub spans_max_bytes: u64,
    /// Size at which the store is full; `None` = the disk decides.
    pub store_max_bytes: Option<u64>,
}

impl RetentionConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let duration = |key, fallback| section.parsed(key, "a duration above zero such as \"90d\" or \"48h\"", fallback, positive_duration);
        let read = Self {
            dead_letters: duration("dead_letters", DAY * 90),
            audit: duration("audit", DAY * 400),
            raw: duration("raw", DAY * 2),
            minutes: duration("minutes", DAY * 14),
            hours: duration("hours", DAY * 400),
            spans: duration("spans", Duration::from_hours(2)),
            kept_traces: duration("kept_traces", DAY * 14),
            spans_max_bytes: section.parsed("spans_max_bytes", "a size such as \"1GiB\" (at least 16MiB)", 1 << 30, |text| {
                parse_size(text).filter(|bytes| *bytes >= 16 << 20)
            }),
            store_max_bytes: section.parsed("store_max_bytes", "a size such as \"20GiB\" (at least 64MiB), or empty", None, |text| {
                if text.is_empty() { Some(None) } else { parse_size(text).filter(|bytes| *bytes >= 64 << 20).map(Some) }
            }),
        };
        section.finish();
        read
    }
}

fn positive_duration(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|duration| !duration.is_zero())
}
