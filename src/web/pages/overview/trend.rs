//! Are we getting better? A week and more beside the time before it: whole hours, per day, and honest about how much of it is known.

use std::time::Duration;

use super::alert_trend;
pub(in crate::web) use super::alert_trend::AlertRow;
use crate::metrics::trend::{Better, Direction, compare};
use crate::model::{BusId, Timestamp};
use crate::store::trends::Cause;
use crate::store::{Store, StoreError};
use crate::web::view::address::segment;
use crate::web::view::lines::{decimal, seconds};
use crate::web::view::number::{grouped, with_commas};
use crate::web::view::range::Range;
use crate::web::view::time::{duration_words, exact_near};
use sums::Sums;

mod sums;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Shorter times have no trend: a night or a weekend would be all of it.
const SHORTEST: Duration = Duration::from_hours(7 * 24);
/// Of the time before, so much must be known.
const ENOUGH: u32 = 4;
/// Causes shown.
const CAUSES: u32 = 6;

/// A time beside the one before.
#[derive(Debug)]
pub(in crate::web) struct Trend {
    /// Length of either, in words.
    pub(in crate::web) length: String,
    /// The answer.
    pub(in crate::web) headline: String,
    pub(in crate::web) direction: Direction,
    /// How much of both is known.
    pub(in crate::web) known: String,
    /// Whether there is anything before to compare with.
    pub(in crate::web) compared: bool,
    pub(in crate::web) rows: Vec<TrendRow>,
    pub(in crate::web) causes: Vec<CauseRow>,
    /// Alerts by rule, of all buses.
    pub(in crate::web) alerts: Vec<AlertRow>,
}

/// One number in both times.
#[derive(Debug)]
pub(in crate::web) struct TrendRow {
    /// Its name in the API.
    pub(in crate::web) name: &'static str,
    pub(in crate::web) title: &'static str,
    pub(in crate::web) unit: &'static str,
    pub(in crate::web) now: Option<f64>,
    pub(in crate::web) before: Option<f64>,
    pub(in crate::web) now_words: String,
    pub(in crate::web) before_words: String,
    pub(in crate::web) change: Change,
}

/// A difference with its look.
#[derive(Debug)]
pub(in crate::web) struct Change {
    pub(in crate::web) words: String,
    pub(in crate::web) direction: Direction,
}

/// A failure group in both times.
#[derive(Debug)]
pub(in crate::web) struct CauseRow {
    pub(in crate::web) cause: Cause,
    pub(in crate::web) href: String,
    pub(in crate::web) now_words: String,
    pub(in crate::web) before_words: String,
    pub(in crate::web) change: Change,
}

/// Both times, cut to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    before: Timestamp,
    from: Timestamp,
    to: Timestamp,
    /// How much of the time, and of the time before, is known.
    known: (Duration, Duration),
    length: Duration,
}

impl Change {
    /// The tone of a status.
    pub(in crate::web) const fn tone(&self) -> &'static str {
        match self.direction {
            Direction::Better => "ok",
            Direction::Worse => "warn",
            Direction::Same | Direction::Unknown => "idle",
        }
    }

    /// The icon of a status.
    pub(in crate::web) const fn icon(&self) -> &'static str {
        match self.direction {
            Direction::Better => "circle-check",
            Direction::Worse => "triangle-alert",
            Direction::Same | Direction::Unknown => "circle",
        }
    }
}

impl Trend {
    /// Reads both times; `None` for ranges shorter than a week. Hours are kept for `kept`.
    pub(in crate::web) async fn load(
        store: &Store,
        buses: &[BusId],
        range: Range,
        now: Timestamp,
        kept: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let known_since = store.known_since(buses).await?.map(|at| at.max(now.minus(kept)));
        let Some(times) = Times::of(range, now, known_since) else { return Ok(None) };
        let (before, since) = ((times.from.minus(times.known.1), times.from), times.to.minus(times.known.0));
        let compared = times.is_compared().then_some(before);
        let early = async {
            let Some((from, to)) = compared else { return Ok(None) };
            Sums::load(store, buses, from, to).await.map(Some)
        };
        let (late, early, causes, alerts) = tokio::try_join!(
            Sums::load(store, buses, since, times.to),
            early,
            store.compare_causes(buses, (before.0, before.1, times.to), CAUSES),
            alert_trend::load(store, (since, times.to), compared),
        )?;
        Ok(Some(Self { alerts, ..Self::of(times, &late, early.as_ref(), causes, (known_since, now)) }))
    }

    fn of(times: Times, late: &Sums, early: Option<&Sums>, causes: Vec<Cause>, known: (Option<Timestamp>, Timestamp)) -> Self {
        let rows = rows(late, early);
        let length = duration_words(times.length);
        let (headline, direction) = headline(&rows, &length);
        let causes = causes.into_iter().map(|cause| cause_row(cause, late.days, early.map(|early| early.days))).collect();
        Self { headline, direction, known: times.words(known), compared: early.is_some(), rows, causes, alerts: Vec::new(), length }
    }

    /// The look of the answer.
    pub(in crate::web) const fn look(&self) -> Change {
        Change { words: String::new(), direction: self.direction }
    }
}

impl Times {
    fn of(range: Range, now: Timestamp, known_since: Option<Timestamp>) -> Option<Self> {
        let whole = |at: Timestamp| Timestamp::from_millis(at.as_millis().div_euclid(HOUR_MS) * HOUR_MS);
        let (from, to) = range.bounds(now);
        let (from, to) = (whole(from?), whole(to.unwrap_or(now).min(now)));
        let length = from.age_at(to);
        if length < SHORTEST {
            return None;
        }
        // The first whole hour of which everything is known.
        let since = known_since.map_or(to, |at| whole(at.plus(HOUR)));
        let known = (since.max(from).age_at(to), since.max(from.minus(length)).age_at(from));
        Some(Self { before: from.minus(length), from, to, known, length })
    }

    fn is_compared(&self) -> bool {
        self.known.0 == self.length && self.known.1 >= (self.length / ENOUGH).max(DAY)
    }

    /// How much is known, in words.
    fn words(&self, (since, now): (Option<Timestamp>, Timestamp)) -> String {
        let length = duration_words(self.length);
        let Some(since) = since.map(|at| exact_near(at, now)) else {
            return "A bus was never read, so nothing can be compared yet.".to_owned();
        };
        if self.known.0.is_zero() {
            format!("Known since {since}: not a whole hour yet. What is compared is whole hours of {length} and of the {length} before.")
        } else if self.known.0 < self.length {
            format!("Known since {since}: {} of these {length}, and nothing before to compare with.", duration_words(self.known.0))
        } else if !self.is_compared() {
            format!("Known since {since}: too little of the {length} before to compare with.")
        } else if self.known.1 < self.length {
            format!("Of the {length} before only {} are known, since {since}; all is told per day.", duration_words(self.known.1))
        } else {
            format!("Beside the {length} before, from {}; whole hours, up to {}.", exact_near(self.before, now), exact_near(self.to, now))
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// What a row is called and how its numbers are written.
type Row = (&'static str, &'static str, &'static str, fn(f64) -> String, (&'static str, &'static str), Better, fn(&Sums) -> Option<f64>);

const ROWS: &[Row] = &[
    ("bus_messages_per_second", "Messages written", "per second", decimal, ("more", "less"), Better::Neither, |sums| sums.rate),
    ("dead_letters_per_day", "Dead letters", "a day", decimal, ("more", "fewer"), Better::Less, |sums| {
        (sums.days > 0.0).then(|| sums.letters / sums.days)
    }),
    ("dead_letters_per_million_messages", "Dead letters among messages", "per million", decimal, ("more", "fewer"), Better::Less, |sums| {
        (sums.messages > 0.0).then(|| sums.letters / sums.messages * 1e6)
    }),
    ("failure_groups_new_per_day", "New failure groups", "a day", decimal, ("more", "fewer"), Better::Less, |sums| {
        (sums.days > 0.0).then(|| sums.new_groups / sums.days)
    }),
    ("end_to_end_duration_seconds", "From sending to processed", "p95", seconds, ("longer", "shorter"), Better::Less, |sums| {
        sums.end_to_end.as_ref()?.value(0.95)
    }),
    ("spans_error_ratio", "Spans that failed", "of all that touched a message", percent, ("more", "fewer"), Better::Less, |sums| {
        (sums.spans > 0.0).then(|| sums.failed_spans / sums.spans)
    }),
    ("consumer_group_lag_messages", "Lag of all consumer groups", "messages, mean", whole, ("more", "less"), Better::Less, |sums| sums.lag),
    ("dead_letters_resolve_seconds", "Time to resolve", "median", seconds, ("longer", "shorter"), Better::Less, |sums| {
        sums.resolved.quantile(0.5)
    }),
    ("replay_failed_again_ratio", "Replayed and failed again", "of all replayed", percent, ("more", "fewer"), Better::Less, |sums| {
        (sums.outcomes > 0.0).then(|| sums.failures / sums.outcomes)
    }),
];

fn rows(late: &Sums, early: Option<&Sums>) -> Vec<TrendRow> {
    let row = |(name, title, unit, write, words, better, of): &Row| {
        let (now, before) = (of(late), early.and_then(of));
        if now.is_none() && before.is_none() {
            return None;
        }
        let (text, direction) = compare(now, before, *words, *better);
        let write = |value: Option<f64>| value.map_or_else(|| "not known".to_owned(), write);
        Some(TrendRow {
            name,
            title,
            unit,
            now,
            before,
            now_words: write(now),
            before_words: write(before),
            change: Change { words: text, direction },
        })
    };
    ROWS.iter().filter_map(row).collect()
}

/// The answer: by dead letters among messages where both are known, else by dead letters alone.
fn headline(rows: &[TrendRow], length: &str) -> (String, Direction) {
    let find = |name: &str| rows.iter().find(|row| row.name == name && row.change.direction != Direction::Unknown);
    let Some(row) = find("dead_letters_per_million_messages").or_else(|| find("dead_letters_per_day")) else {
        return ("Nothing to compare with yet.".to_owned(), Direction::Unknown);
    };
    let among = if row.name == "dead_letters_per_day" { "dead letters" } else { "dead letters among as many messages" };
    let words = &row.change.words;
    let text = match row.change.direction {
        Direction::Better => format!("Getting better: {words} {among} than in the {length} before."),
        Direction::Worse => format!("Getting worse: {words} {among}, beside the {length} before."),
        Direction::Same | Direction::Unknown => format!("As before: {words}, beside the {length} before."),
    };
    let text = text
        .replace("none any more dead letters", "no dead letters any more")
        .replace("none before dead letters", "there were no dead letters");
    (text, row.change.direction)
}

fn cause_row(cause: Cause, days: f64, days_before: Option<f64>) -> CauseRow {
    let per_day = |count: u64, days: f64| (days > 0.0).then(|| number(count) / days);
    let (text, direction) =
        compare(per_day(cause.now, days), days_before.and_then(|days| per_day(cause.before, days)), ("more", "fewer"), Better::Less);
    CauseRow {
        href: format!("/buses/{}/failure-groups/{}", segment(cause.bus.as_str()), cause.fingerprint),
        now_words: grouped(cause.now),
        before_words: if days_before.is_some() { grouped(cause.before) } else { "not known".to_owned() },
        change: Change { words: text, direction },
        cause,
    }
}

fn whole(messages: f64) -> String {
    with_commas(&format!("{messages:.0}"))
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "dead letters of some weeks")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-24T03:14:20Z";

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    fn times(word: &str, since: &str) -> Option<Times> {
        Times::of(Range::last(word).expect("a range"), at(NOW), Some(at(since)))
    }

    #[test]
    fn a_trend_needs_a_week_and_is_honest_about_what_is_known() {
        assert_eq!(times("24h", "2020-01-01T00:00:00Z"), None);
        let words = |word, since: &str| {
            times(word, since).map(|times| (times.is_compared(), times.words((Some(at(since)), at(NOW))))).expect("a week")
        };
        let (compared, text) = words("7d", "2020-01-01T00:00:00Z");
        assert!(compared && text.starts_with("Beside the 7 d before"), "{text}");
        let (compared, text) = words("7d", "2026-11-14T02:30:00Z");
        assert!(compared && text.starts_with("Of the 7 d before only 3 d"), "{text}");
        let (compared, text) = words("7d", "2026-11-16T12:00:00Z");
        assert!(!compared && text.contains("too little of the 7 d before"), "{text}");
        let (compared, text) = words("30d", "2026-11-22T02:30:00Z");
        assert!(!compared && text.contains("2 d of these 30 d, and nothing before"), "{text}");
        let never = Times::of(Range::last("7d").expect("a range"), at(NOW), None).expect("a week");
        assert_eq!(never.known, (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn more_traffic_with_as_many_failures_is_better() {
        let sums = |letters, messages| Sums { days: 7.0, letters, messages, rate: Some(messages / 604_800.0), ..Sums::default() };
        let rows = rows(&sums(700.0, 2e6), Some(&sums(700.0, 1e6)));
        let (text, direction) = headline(&rows, "7 d");
        assert_eq!(
            (text.as_str(), direction),
            ("Getting better: 50 % fewer dead letters among as many messages than in the 7 d before.", Direction::Better)
        );
        assert_eq!(rows.iter().find(|row| row.name == "dead_letters_per_day").map(|row| row.change.words.as_str()), Some("about the same"));
        assert!(rows.iter().all(|row| row.name != "replay_failed_again_ratio"), "nothing was replayed");
        let alone = super::rows(&sums(700.0, 2e6), None);
        assert_eq!(headline(&alone, "7 d"), ("Nothing to compare with yet.".to_owned(), Direction::Unknown));
        let none = super::rows(&sums(0.0, 2e6), Some(&sums(7.0, 2e6)));
        assert_eq!(headline(&none, "7 d").0, "Getting better: no dead letters any more among as many messages than in the 7 d before.");
    }
}
