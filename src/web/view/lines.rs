//! Series over time as lines: geometry for the drawing that needs no script, rows for the table behind it, and the same numbers for
//! the script that makes them hoverable.

use std::fmt::Write as _;

use super::axis;
use super::chart::Tick;
use super::marks::Marked;
use super::number::with_commas;
use crate::metrics::bucket::Bucket;
use crate::model::Timestamp;
use crate::model::figure::Figure;
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesBuckets;

const HEIGHT: u32 = 110;
/// Width of the inner drawing, stretched to whatever there is.
const WIDTH: f64 = 600.0;
/// Lines of one drawing; the palette has no more colours, and the eye neither.
pub const MOST: usize = 5;

/// How numbers of a drawing are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole messages.
    Messages,
    /// Messages per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A share, shown in percent.
    Ratio,
    /// Something else that is counted, by its name.
    Number(&'static str),
}

impl Unit {
    /// The unit's name beside the title.
    #[must_use]
    pub const fn note(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::PerSecond => "messages per second",
            Self::Seconds => "time",
            Self::Ratio => "percent",
            Self::Number(name) => name,
        }
    }

    /// A number in words.
    #[must_use]
    pub fn words(self, value: f64) -> String {
        match self {
            Self::Messages => with_commas(&format!("{value:.0}")),
            Self::PerSecond | Self::Number(_) => decimal(value),
            Self::Seconds => seconds(value),
            Self::Ratio => format!("{:.1} %", value * 100.0),
        }
    }

    /// Its word for the script and the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::Number(_) => "number",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Colour: 1 to 5.
    pub colour: usize,
    /// Its name.
    pub label: String,
    /// The newest number in words; empty when there is none.
    pub newest: String,
    /// Path of the line, broken where nothing is known.
    pub path: String,
    /// Path of the area below, for a line alone.
    pub area: String,
    /// Drawn in dashes.
    pub dashed: bool,
}

/// Something that happened, at its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Place in percent of the width.
    pub x: f64,
    /// Its number in the legend.
    pub number: usize,
    /// Words.
    pub text: String,
}

/// What a rule looks for, over a drawing of what it watches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// The threshold.
    pub threshold: Option<f64>,
    /// What it says.
    pub words: String,
    /// When it fires, from and to.
    pub fires: Vec<(Timestamp, Timestamp)>,
    /// When another one fires, to compare with.
    pub beside: Vec<(Timestamp, Timestamp)>,
}

/// A line across a drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Its height.
    pub y: f64,
    /// Where its words stand.
    pub text_y: f64,
    /// Its words.
    pub words: String,
}

/// A drawing of some series.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Its id in the page.
    pub id: String,
    /// Title.
    pub title: String,
    /// Unit and step, in words.
    pub note: String,
    /// Height of the drawing.
    pub height: u32,
    /// Lines.
    pub lines: Vec<Line>,
    /// Left axis.
    pub values: Vec<Tick>,
    /// Lower axis.
    pub times: Vec<Tick>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// The threshold of a rule.
    pub limit: Option<Limit>,
    /// When it fires: left edge and width in percent.
    pub fires: Vec<(f64, f64)>,
    /// The same of the rule to compare with.
    pub beside: Vec<(f64, f64)>,
    /// The table: newest first, a number in words per line.
    pub rows: Vec<(Timestamp, Vec<String>)>,
    /// The same for the script, as JSON.
    pub data: String,
    /// Whether there is any number at all.
    pub is_empty: bool,
}

/// A named series to be drawn.
#[derive(Debug, Clone)]
pub struct Named {
    /// Name.
    pub label: String,
    /// Numbers per bucket.
    pub values: Vec<Option<f64>>,
    /// Drawn in dashes.
    pub dashed: bool,
}

impl Named {
    /// A series of numbers.
    #[must_use]
    pub fn new(label: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self { label: label.into(), values, dashed: false }
    }

    /// The same in dashes.
    #[must_use]
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }
}

/// What a bucket of a figure is shown as: the rate (outcomes of replays and lost records are few: how many), the highest level (for whether a bus
/// answers: the lowest), or a quantile.
#[must_use]
pub fn shown(figure: Figure, bucket: &Bucket, quantile: f64) -> Option<f64> {
    match bucket {
        Bucket::Level { min, .. } if figure == Figure::BusReachable => Some(*min),
        Bucket::Count { total, .. } if figure.is_few() => Some(*total),
        _ => bucket.value(quantile),
    }
}

/// Numbers per bucket of one series.
#[must_use]
pub fn numbers(figure: Figure, series: &SeriesBuckets, quantile: f64) -> Vec<Option<f64>> {
    series.buckets.iter().map(|bucket| bucket.as_ref().and_then(|bucket| shown(figure, bucket, quantile))).collect()
}

/// Series added up, bucket by bucket.
#[must_use]
pub fn added_up(all: &[Vec<Option<f64>>], buckets: usize) -> Vec<Option<f64>> {
    let mut sums = vec![None; buckets];
    for series in all {
        for (sum, value) in sums.iter_mut().zip(series) {
            *sum = match (*sum, value) {
                (Some(sum), Some(value)) => Some(sum + value),
                (sum, value) => sum.or(*value),
            };
        }
    }
    sums
}

impl LineChart {
    /// Lays out series over these buckets.
    #[must_use]
    pub fn new(id: &str, title: &str, unit: Unit, buckets: Buckets, series: Vec<Named>, happened: &[Marked]) -> Self {
        Self::watched(id, title, unit, buckets, series, happened, &Watch::default())
    }

    /// The same under the eyes of a rule.
    #[must_use]
    pub fn watched(id: &str, title: &str, unit: Unit, buckets: Buckets, series: Vec<Named>, happened: &[Marked], watch: &Watch) -> Self {
        let numbers = series.iter().flat_map(|series| &series.values).flatten().copied();
        let highest = numbers.chain(watch.threshold).fold(0.0, f64::max);
        let top = axis::top(highest, unit);
        let starts = super::chart::bucket_starts(buckets);
        let alone = series.len() == 1;
        let lines = series.iter().zip(1..).map(|(series, colour)| {
            let (path, area) = paths(&series.values, top);
            Line {
                colour: (colour - 1) % MOST + 1,
                label: series.label.clone(),
                newest: series.values.iter().rev().flatten().next().map_or_else(String::new, |value| unit.words(*value)),
                path,
                area: if alone { area } else { String::new() },
                dashed: series.dashed,
            }
        });
        let rows = starts.iter().enumerate().rev().filter_map(|(at, start)| {
            let cells: Vec<Option<f64>> = series.iter().map(|series| series.values.get(at).copied().flatten()).collect();
            let words = |value: &Option<f64>| value.map_or_else(|| "no sample".to_owned(), |value| unit.words(value));
            cells.iter().any(Option::is_some).then(|| (*start, cells.iter().map(words).collect()))
        });
        let data = serde_json::json!({
            "unit": unit.word(),
            "times": starts.iter().map(|at| at.as_millis() / 1000).collect::<Vec<_>>(),
            "step": step_seconds(buckets),
            "series": series.iter().map(|s| serde_json::json!({"label": s.label, "dashed": s.dashed, "values": s.values})).collect::<Vec<_>>(),
            "marks": happened.iter().map(|mark| serde_json::json!([mark.at.as_millis() / 1000, mark.text, mark.number])).collect::<Vec<_>>(),
            // A drawing in a form is not zoomed: that would leave the page and what was typed.
            "zoom": watch.threshold.is_none(),
            "limit": watch.threshold,
            "limit_words": watch.words,
            "fires": in_seconds(&watch.fires),
            "beside": in_seconds(&watch.beside),
        });
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            note: format!("{}, per {}", unit.note(), super::chart::step_words(buckets)),
            height: HEIGHT,
            lines: lines.collect(),
            values: axis::ticks(top, unit, HEIGHT),
            times: super::chart::time_ticks(buckets),
            marks: marks(buckets, happened),
            limit: watch.threshold.map(|threshold| limit(threshold, top, &watch.words)),
            fires: fires(buckets, &watch.fires),
            beside: fires(buckets, &watch.beside),
            is_empty: series.iter().all(|series| series.values.iter().all(Option::is_none)),
            rows: rows.collect(),
            data: data.to_string(),
        }
    }
}

/// A small line for a cell of a table: 100 wide, 20 high.
#[must_use]
pub fn spark(values: &[Option<f64>]) -> String {
    let top = values.iter().flatten().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let slot = 100.0 / as_f64(values.len().saturating_sub(1).max(1));
    let mut path = String::new();
    let mut pen_down = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let y = 19.0 - value / top * 18.0;
        let _ = write!(path, "{}{:.1} {y:.1}", if pen_down { "L" } else { "M" }, slot * as_f64(at));
        pen_down = true;
    }
    path
}

/// A time in words, as short as it can be read: `240 ms`, `8.2 s`, `17 min`, `4.5 h`, `23 d`.
#[must_use]
pub fn seconds(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0 s".to_owned(),
        v if v < 0.000_95 => "under 1 ms".to_owned(),
        v if v < 0.999_5 => format!("{:.0} ms", v * 1e3),
        v if v < 10.0 => format!("{v:.1} s"),
        v if v < 60.0 => format!("{v:.0} s"),
        v if v < 600.0 => format!("{:.1} min", v / 60.0),
        v if v < 3_600.0 => format!("{:.0} min", v / 60.0),
        v if v < 36_000.0 => format!("{:.1} h", v / 3_600.0),
        v if v < 172_800.0 => format!("{:.0} h", v / 3_600.0),
        v => format!("{:.0} d", v / 86_400.0),
    }
}

/// A number per second: one decimal below a thousand.
#[must_use]
pub fn decimal(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 0.095 => format!("{v:.2}"),
        v if v < 1_000.0 => format!("{v:.1}"),
        v => with_commas(&format!("{v:.0}")),
    }
}

fn paths(values: &[Option<f64>], top: f64) -> (String, String) {
    let slot = WIDTH / as_f64(values.len().max(1));
    let (mut line, mut area) = (String::new(), String::new());
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut close = |run: &mut Vec<(f64, f64)>| {
        let Some((first, last)) = run.first().copied().zip(run.last().copied()) else { return };
        let points: Vec<String> = run.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        if run.len() == 1 {
            // A sample alone is a short dash, so that it can be seen.
            let _ = write!(line, "M{:.1} {:.1}h{slot:.1}", first.0 - slot / 2.0, first.1);
        } else {
            let _ = write!(line, "M{}", points.join("L"));
        }
        let _ = write!(area, "M{:.1} {HEIGHT}L{}L{:.1} {HEIGHT}z", first.0, points.join("L"), last.0);
        run.clear();
    };
    for (at, value) in values.iter().enumerate() {
        match value {
            Some(value) => run.push((slot * (as_f64(at) + 0.5), f64::from(HEIGHT) * (1.0 - (value / top).clamp(0.0, 1.0)))),
            None => close(&mut run),
        }
    }
    close(&mut run);
    (line, area)
}

pub(super) fn marks(buckets: Buckets, happened: &[Marked]) -> Vec<Mark> {
    let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
    let x = |at: Timestamp| millis(at.as_millis() - from) / millis((to - from).max(1)) * 100.0;
    happened.iter().map(|mark| Mark { x: (x(mark.at) * 100.0).round() / 100.0, number: mark.number, text: mark.text.clone() }).collect()
}

fn limit(threshold: f64, top: f64, words: &str) -> Limit {
    let y = f64::from(HEIGHT) * (1.0 - (threshold / top).clamp(0.0, 1.0));
    // Above the line, unless that is outside.
    Limit { y, text_y: if y < 16.0 { y + 12.0 } else { y - 4.0 }, words: words.to_owned() }
}

fn fires(buckets: Buckets, fires: &[(Timestamp, Timestamp)]) -> Vec<(f64, f64)> {
    /// What is shorter could not be seen.
    const LEAST: f64 = 0.4;
    let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
    let x = |at: Timestamp| (millis(at.as_millis() - from) / millis((to - from).max(1)) * 100.0).clamp(0.0, 100.0);
    let round = |percent: f64| (percent * 100.0).round() / 100.0;
    let band = |(begin, end): &(Timestamp, Timestamp)| {
        let width = (x(*end) - x(*begin)).max(LEAST);
        (round(x(*begin).min(100.0 - width)), round(width))
    };
    fires.iter().filter(|(begin, end)| *end >= buckets.from && *begin < buckets.to).map(band).collect()
}

fn in_seconds(times: &[(Timestamp, Timestamp)]) -> Vec<[i64; 2]> {
    times.iter().map(|(from, to)| [from.as_millis() / 1000, to.as_millis() / 1000]).collect()
}

fn step_seconds(buckets: Buckets) -> i64 {
    (buckets.to.as_millis() - buckets.from.as_millis()) / i64::from(buckets.count.max(1)) / 1000
}

#[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
const fn as_f64(value: usize) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
const fn millis(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(count: u32) -> Buckets {
        let from = Timestamp::parse_rfc3339("2026-11-24T02:00:00Z").expect("a time");
        Buckets { from, to: from.plus(std::time::Duration::from_secs(60 * u64::from(count))), count }
    }

    #[test]
    fn lines_break_where_nothing_is_known_and_the_table_says_so() {
        let values = vec![Some(0.0), Some(50.0), None, Some(100.0)];
        let at = Timestamp::parse_rfc3339("2026-11-24T02:03:00Z").expect("a time");
        let happened = [Marked { at, number: 1, text: "3 members now".to_owned(), href: String::new() }];
        let chart = LineChart::new("lag", "Lag", Unit::Messages, buckets(4), vec![Named::new("orders", values)], &happened);
        assert_eq!(chart.lines[0].path, "M75.0 110.0L225.0 55.0M450.0 0.0h150.0");
        assert!(chart.lines[0].area.ends_with('z') && !chart.is_empty);
        assert_eq!(chart.rows.iter().map(|(_, cells)| cells[0].as_str()).collect::<Vec<_>>(), ["100", "50", "0"]);
        assert_eq!(chart.values.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>(), ["0", "50", "100"]);
        assert_eq!((chart.marks[0].x, chart.marks[0].number), (75.0, 1));
        assert_eq!(chart.note, "messages, per min");
        let nothing = LineChart::new("lag", "Lag", Unit::Seconds, buckets(4), Vec::new(), &[]);
        assert!(nothing.is_empty && nothing.rows.is_empty());
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be_read() {
        for (value, words) in [
            (0.0, "0 s"),
            (0.0004, "under 1 ms"),
            (0.24, "240 ms"),
            (8.24, "8.2 s"),
            (45.0, "45 s"),
            (150.0, "2.5 min"),
            (1_020.0, "17 min"),
            (16_200.0, "4.5 h"),
            (1_990_000.0, "23 d"),
        ] {
            assert_eq!(seconds(value), words, "{value}");
        }
        assert_eq!((decimal(0.02).as_str(), decimal(41.0).as_str(), decimal(12_345.6).as_str()), ("0.02", "41.0", "12,346"));
        assert_eq!((Unit::Ratio.words(0.0512).as_str(), Unit::Messages.words(3412.0).as_str()), ("5.1 %", "3,412"));
    }

    #[test]
    fn a_small_line_needs_no_more_than_its_numbers() {
        assert_eq!(spark(&[Some(1.0), None, Some(2.0), Some(0.0)]), "M0.0 10.0M66.7 1.0L100.0 19.0");
        assert_eq!(spark(&[]), "");
    }
}
