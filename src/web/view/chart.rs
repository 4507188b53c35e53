//! Counts over time as drawings: bars in a panel with their axes, and small bars in a table. All geometry is computed here, so that a
//! template only places it; widths are in percent and nothing needs a style.

use super::lines::Mark;
use super::marks::Marked;
use super::number::{compact, grouped};
use crate::model::Timestamp;
use crate::store::failure_groups::Buckets;

/// A bar, in percent of the width and in units of the drawing's height.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Left edge, percent.
    pub x: f64,
    /// Width, percent.
    pub width: f64,
    /// Upper edge.
    pub y: f64,
    /// Height.
    pub height: f64,
    /// Whether it is one of those that make the figure new.
    pub hot: bool,
    /// What it stands for, in words.
    pub title: String,
}

/// A line of the grid with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Place: units of height for the left axis, percent of width for the lower one.
    pub at: f64,
    /// Label.
    pub label: String,
    /// `text-anchor` of a label on the lower axis.
    pub anchor: &'static str,
}

/// One row of the table behind a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartRow {
    /// Beginning of the bucket.
    pub from: Timestamp,
    /// Count.
    pub count: u64,
}

/// Bars with axes.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// Height of the drawing.
    pub height: u32,
    /// The bars that are not zero.
    pub bars: Vec<Bar>,
    /// Left axis, from below.
    pub counts: Vec<Tick>,
    /// Lower axis.
    pub times: Vec<Tick>,
    /// Buckets that are not zero, newest first.
    pub rows: Vec<ChartRow>,
    /// Sum of all.
    pub total: u64,
    /// Length of a bucket in words.
    pub step: String,
    /// What was not read, as left edge and width in percent: nothing there is not the same as zero.
    pub unread: Option<(f64, f64)>,
    /// What happened meanwhile.
    pub marks: Vec<Mark>,
}

impl BarChart {
    /// Lays out counts per bucket.
    #[must_use]
    pub fn new(counts: &[u64], buckets: Buckets) -> Self {
        const HEIGHT: u32 = 104;
        let top = nice_ceiling(counts.iter().copied().max().unwrap_or(0));
        let starts = bucket_starts(buckets);
        let unit = f64::from(HEIGHT) / as_f64(top);
        let slot = 100.0 / as_f64(counts.len().max(1) as u64);
        let bars = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(i, &count)| {
                let height = (as_f64(count) * unit).max(1.0);
                Bar {
                    x: round(slot * (as_f64(i as u64) + 0.12)),
                    width: round(slot * 0.76),
                    y: round(f64::from(HEIGHT) - height),
                    height: round(height),
                    hot: false,
                    title: format!("{}: {}", clock(starts[i.min(starts.len() - 1)], buckets), grouped(count)),
                }
            })
            .collect();
        let rows =
            counts.iter().zip(&starts).rev().filter(|(count, _)| **count > 0).map(|(&count, &from)| ChartRow { from, count }).collect();
        Self {
            height: HEIGHT,
            bars,
            counts: count_ticks(top, HEIGHT),
            times: time_ticks(buckets),
            rows,
            total: counts.iter().sum(),
            step: duration_words(bucket_millis(buckets)),
            unread: None,
            marks: Vec::new(),
        }
    }

    /// The same where nothing was read after `until`.
    #[must_use]
    pub fn read_until(self, until: Option<Timestamp>, buckets: Buckets) -> Self {
        let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
        let until = until.map(|until| until.as_millis().max(from)).filter(|until| *until < to);
        let percent = |millis: i64| round(as_f64(millis.unsigned_abs()) / as_f64((to - from).unsigned_abs().max(1)) * 100.0);
        Self { unread: until.map(|until| (percent(until - from), percent(to - until))), ..self }
    }
}

impl BarChart {
    /// The same with marks for what happened.
    #[must_use]
    pub fn marked(self, happened: &[Marked], buckets: Buckets) -> Self {
        Self { marks: super::lines::marks(buckets, happened), ..self }
    }
}

/// Small bars for a cell of a table; those from `hot_from` on are marked.
#[must_use]
pub fn spark(counts: &[u64], hot_from: Option<usize>) -> Vec<Bar> {
    const HEIGHT: f64 = 20.0;
    let top = as_f64(counts.iter().copied().max().unwrap_or(0).max(1));
    let slot = 100.0 / as_f64(counts.len().max(1) as u64);
    counts
        .iter()
        .enumerate()
        .map(|(i, &count)| {
            let height = (as_f64(count) / top * HEIGHT).max(1.0);
            Bar {
                x: round(slot * as_f64(i as u64)),
                width: round(slot * 0.72),
                y: round(HEIGHT - height),
                height: round(height),
                hot: count > 0 && hot_from.is_some_and(|from| i >= from),
                title: String::new(),
            }
        })
        .collect()
}

/// The beginning of each bucket.
#[must_use]
pub fn bucket_starts(buckets: Buckets) -> Vec<Timestamp> {
    let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
    let count = i64::from(buckets.count.max(1));
    (0..count).map(|i| Timestamp::from_millis(from + (to - from) / count * i)).collect()
}

/// The bucket that holds a time; `None` before and after the range.
#[must_use]
pub fn bucket_of(at: Timestamp, buckets: Buckets) -> Option<usize> {
    if at < buckets.from || at >= buckets.to {
        return None;
    }
    let offset = at.as_millis() - buckets.from.as_millis();
    usize::try_from(offset / bucket_millis(buckets).max(1)).ok()
}

fn bucket_millis(buckets: Buckets) -> i64 {
    (buckets.to.as_millis() - buckets.from.as_millis()) / i64::from(buckets.count.max(1))
}

/// A length of time in its largest round unit, after "per": `min`, `30 min`, `day`.
fn duration_words(millis: i64) -> String {
    let (count, unit) = match millis / 1000 {
        s if s >= 86_400 && s % 86_400 == 0 => (s / 86_400, "d"),
        s if s >= 3_600 && s % 3_600 == 0 => (s / 3_600, "h"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "min"),
        s => (s, "s"),
    };
    if count == 1 { unit.to_owned() } else { format!("{count} {unit}") }
}

/// 1, 2, 4, 5 or 10 times a power of ten, so that half of it is readable too.
fn nice_ceiling(max: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [2, 4, 6, 10] {
            if let Some(top) = scale.checked_mul(step).filter(|top| *top >= max) {
                return top;
            }
        }
        match scale.checked_mul(10) {
            Some(next) => scale = next,
            None => return u64::MAX,
        }
    }
}

fn count_ticks(top: u64, height: u32) -> Vec<Tick> {
    [0, top / 2, top]
        .into_iter()
        .map(|count| Tick { at: round(f64::from(height) * (1.0 - as_f64(count) / as_f64(top))), label: compact(count), anchor: "end" })
        .collect()
}

pub(super) fn time_ticks(buckets: Buckets) -> Vec<Tick> {
    let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
    (0..5_i64)
        .map(|i| Tick {
            at: as_f64(25 * i.unsigned_abs()),
            label: clock(Timestamp::from_millis(from + (to - from) / 4 * i), buckets),
            anchor: ["start", "middle", "middle", "middle", "end"][usize::try_from(i).unwrap_or(0)],
        })
        .collect()
}

/// The length of a bucket in words, after "per".
pub(super) fn step_words(buckets: Buckets) -> String {
    duration_words(bucket_millis(buckets))
}

/// A time as the lower axis names it: the clock within two days, the date beyond.
fn clock(at: Timestamp, buckets: Buckets) -> String {
    let text = at.to_rfc3339();
    let days = (buckets.to.as_millis() - buckets.from.as_millis()) / 86_400_000;
    match days {
        0..=1 => text[11..16].to_owned(),
        2..=7 => format!("{} {}", &text[5..10], &text[11..16]),
        _ => text[..10].to_owned(),
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer pixels than a double has digits")]
const fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour() -> Buckets {
        let from = Timestamp::parse_rfc3339("2026-11-24T02:14:00Z").unwrap();
        Buckets { from, to: from.plus(std::time::Duration::from_secs(3_600)), count: 60 }
    }

    #[test]
    fn bars_stand_on_the_axis_and_reach_the_top() {
        let mut counts = vec![0; 60];
        counts[30] = 10;
        counts[59] = 5;
        let chart = BarChart::new(&counts, hour());
        assert_eq!(chart.bars.len(), 2, "zeros have no bar");
        assert_eq!((chart.bars[0].y, chart.bars[0].height), (0.0, 104.0));
        assert_eq!((chart.bars[1].y, chart.bars[1].height), (52.0, 52.0));
        assert_eq!(chart.bars[0].title, "02:44: 10");
        assert_eq!(chart.counts.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["0", "5", "10"]);
        assert_eq!(chart.times.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["02:14", "02:29", "02:44", "02:59", "03:14"]);
        assert_eq!(chart.rows.iter().map(|r| r.count).collect::<Vec<_>>(), [5, 10], "the table is newest first");
        assert_eq!((chart.total, chart.step.as_str()), (15, "min"));
    }

    #[test]
    fn what_was_not_read_is_no_zero() {
        let chart = |until: Option<&str>| {
            BarChart::new(&[0; 60], hour()).read_until(until.map(|at| Timestamp::parse_rfc3339(at).unwrap()), hour()).unread
        };
        assert_eq!(chart(Some("2026-11-24T02:59:00Z")), Some((75.0, 25.0)));
        assert_eq!(chart(Some("2026-11-23T00:00:00Z")), Some((0.0, 100.0)), "never, or before this time");
        assert_eq!((chart(None), chart(Some("2026-11-24T03:20:00Z"))), (None, None));
    }

    #[test]
    fn nothing_is_drawn_without_dividing_by_zero() {
        let chart = BarChart::new(&[], hour());
        assert!(chart.bars.is_empty() && chart.total == 0);
        assert!(spark(&[], None).is_empty());
        assert!(spark(&[0, 0], Some(0)).iter().all(|b| !b.hot && (b.height - 1.0).abs() < f64::EPSILON));
    }

    #[test]
    fn axes_are_readable() {
        for (max, top) in [(0, 2), (1, 2), (3, 4), (7, 10), (11, 20), (61, 100), (150, 200), (401, 600), (u64::MAX, u64::MAX)] {
            assert_eq!(nice_ceiling(max), top, "{max}");
        }
    }

    #[test]
    fn a_time_finds_its_bucket() {
        let buckets = hour();
        assert_eq!(bucket_of(buckets.from, buckets), Some(0));
        assert_eq!(bucket_of(buckets.to, buckets), None);
        assert_eq!(bucket_of(Timestamp::from_millis(buckets.to.as_millis() - 1), buckets), Some(59));
    }
}
