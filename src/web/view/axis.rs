//! The left axis of a drawing: a round top, and labels that can be read however small or large the numbers are.

use super::chart::Tick;
use super::lines::{Unit, seconds};
use super::number::{compact, with_commas};

/// Round lengths of time in seconds, each with a half that is round too. Below ten seconds times are as round as other numbers.
const ROUND_SECONDS: [f64; 20] = [
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    240.0,
    600.0,
    1_200.0,
    3_600.0,
    7_200.0,
    14_400.0,
    28_800.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    864_000.0,
    1_728_000.0,
    3_456_000.0,
    8_640_000.0,
];
/// The shortest axis of times: its half is the smallest time that has a number.
const LEAST_SECONDS: f64 = 0.002;

/// The top of an axis for numbers up to `highest`: round, and with a half that is round.
#[must_use]
pub fn top(highest: f64, unit: Unit) -> f64 {
    let least = if unit == Unit::Seconds { LEAST_SECONDS } else { 0.0 };
    let highest = highest.max(least);
    let round_time = ROUND_SECONDS.into_iter().find(|top| *top >= highest).filter(|_| unit == Unit::Seconds && highest > 10.0);
    round_time.unwrap_or_else(|| ceiling(highest))
}

/// Bottom, half and top. Half of an odd number of messages is not a number of messages, so it gets no label.
#[must_use]
pub fn ticks(top: f64, unit: Unit, height: u32) -> Vec<Tick> {
    let whole_only = unit == Unit::Messages;
    [0.0, top / 2.0, top]
        .into_iter()
        .filter(|value| !whole_only || value.fract() == 0.0)
        .map(|value| Tick { at: f64::from(height) * (1.0 - value / top), label: label(value, unit), anchor: "end" })
        .collect()
}

fn label(value: f64, unit: Unit) -> String {
    match unit {
        _ if value <= 0.0 => "0".to_owned(),
        Unit::Seconds => seconds(value),
        Unit::Ratio => format!("{}%", plain(value * 100.0)),
        Unit::Messages | Unit::PerSecond | Unit::Number(_) => plain(value),
    }
}

/// A number in as few digits as tell it from its neighbours: `0.002`, `0.5`, `25`, `1,500`, `20 k`.
fn plain(value: f64) -> String {
    if value >= 10_000.0 {
        return compact(whole(value));
    }
    let digits = if value >= 1.0 { 1 } else { 1 - exponent(value) };
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(1));
    with_commas(text.trim_end_matches('0').trim_end_matches('.'))
}

/// 1, 2, 4, 5 or 10 times a power of ten, from `highest` on.
fn ceiling(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let scale = 10_f64.powi(exponent(highest));
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|step| step * scale).find(|top| *top >= highest).unwrap_or(10.0 * scale)
}

#[expect(clippy::cast_possible_truncation, reason = "the exponent of a double fits")]
fn exponent(value: f64) -> i32 {
    value.log10().floor() as i32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a label of an axis is positive and rounded anyway")]
const fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_can_be_read_and_none_says_zero_but_the_bottom() {
        let cases = [
            (0.17, Unit::PerSecond, "0 0.1 0.2"),
            (0.06, Unit::PerSecond, "0 0.05 0.1"),
            (0.013, Unit::PerSecond, "0 0.01 0.02"),
            (0.000_4, Unit::PerSecond, "0 0.0002 0.0004"),
            (0.9, Unit::PerSecond, "0 0.5 1"),
            (4.2, Unit::PerSecond, "0 2.5 5"),
            (1_234.0, Unit::PerSecond, "0 1,000 2,000"),
            (34_000.0, Unit::PerSecond, "0 20 k 40 k"),
            (0.0, Unit::Messages, "0 1"),
            (1.0, Unit::Messages, "0 1"),
            (5.0, Unit::Messages, "0 5"),
            (37.0, Unit::Messages, "0 20 40"),
            (0.003, Unit::Ratio, "0 0.2% 0.4%"),
            (0.05, Unit::Ratio, "0 2.5% 5%"),
            (0.3, Unit::Ratio, "0 20% 40%"),
            (0.000_1, Unit::Seconds, "0 1 ms 2 ms"),
            (0.17, Unit::Seconds, "0 100 ms 200 ms"),
            (3.5, Unit::Seconds, "0 2.0 s 4.0 s"),
            (45.0, Unit::Seconds, "0 30 s 1.0 min"),
            (100.0, Unit::Seconds, "0 1.0 min 2.0 min"),
            (4_000.0, Unit::Seconds, "0 1.0 h 2.0 h"),
            (5_000_000.0, Unit::Seconds, "0 50 d 100 d"),
        ];
        for (highest, unit, expected) in cases {
            let top = top(highest, unit);
            let labels: Vec<String> = ticks(top, unit, 110).into_iter().map(|tick| tick.label).collect();
            assert_eq!(labels, expected.split(' ').fold(Vec::new(), joined), "{highest} {unit:?}");
            assert!(top >= highest, "{highest} lies on the drawing");
        }
    }

    /// A word without a digit belongs to the number before it.
    fn joined(mut labels: Vec<String>, word: &str) -> Vec<String> {
        match labels.last_mut() {
            Some(last) if !word.starts_with(|c: char| c.is_ascii_digit()) => *last = format!("{last} {word}"),
            _ => labels.push(word.to_owned()),
        }
        labels
    }
}
