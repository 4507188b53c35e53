//! Values with their unit as people write them in a sentence: in notifications and in the text of rules.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A value with its unit as people write it: `12.5 %`, `5m 30s`, `1,200 messages`.
#[must_use]
pub fn number_in_words(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{} %", short(value * 100.0)),
        "seconds" if value.abs() >= 60.0 && value.is_finite() => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time that is shown")]
            let millis = (value.abs().min(1e15).round() * 1e3) as u64;
            format!("{}{}", if value < 0.0 { "-" } else { "" }, duration(millis))
        }
        "seconds" => format!("{} s", short(value)),
        "boolean" => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        "" => short(value),
        _ => format!("{} {}", short(value), if short(value) == "1" { one_of(unit) } else { unit }),
    }
}

/// `1 failure group`, but `1 times the error budget` and `1 messages/s`.
fn one_of(unit: &str) -> &str {
    match unit {
        "messages" | "dead letters" | "failure groups" | "receivers" => unit.trim_end_matches('s'),
        _ => unit,
    }
}

/// Three digits that count, or all of a whole number, with commas.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        return with_commas(&format!("{value:.0}"));
    }
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Commas between groups of three digits.
fn with_commas(whole: &str) -> String {
    let digits = whole.trim_start_matches('-').len();
    let mut text = String::with_capacity(whole.len() + digits / 3);
    for (at, digit) in whole.chars().rev().enumerate() {
        if at > 0 && at < digits && at.is_multiple_of(3) {
            text.insert(0, ',');
        }
        text.insert(0, digit);
    }
    text
}

/// A length of time, in milliseconds, in two units at most: `1d 4h`, `5m`, and 90 seconds are `1m 30s`.
#[must_use]
pub fn duration(millis: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let Some(first) = UNITS.iter().position(|(_, length)| millis >= *length) else { return format!("{millis} ms") };
    let (unit, length) = UNITS[first];
    let rest = UNITS.get(first + 1).map_or(0, |(_, next)| millis % length / next);
    match UNITS.get(first + 1) {
        Some((next, _)) if rest > 0 => format!("{}{unit} {rest}{next}", millis / length),
        _ => format!("{}{unit}", millis / length),
    }
}

/// A duration: `40 ms`, `1.5 s`, `12 s`, `3 min 20 s`, `5 h 10 min`, `2 d 4 h`.
#[must_use]
pub fn duration_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        small => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 if duration.subsec_millis() >= 100 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        _ if seconds < MINUTE => format!("{seconds} s"),
        _ if seconds < HOUR => two(seconds / MINUTE, "min", seconds % MINUTE, "s"),
        _ if seconds < DAY => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
        _ => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, unit, said) in [
            (0.125, "ratio", "12.5 %"),
            (330.0, "seconds", "5m 30s"),
            (90_000.0, "seconds", "1d 1h"),
            (0.25, "seconds", "0.25 s"),
            (12.345, "messages/s", "12.3 messages/s"),
            (0.0, "boolean", "no"),
            (-2.0, "messages", "-2 messages"),
            (12_345.0, "messages", "12,345 messages"),
            (1_234_567.0, "messages", "1,234,567 messages"),
            (1.0, "failure groups", "1 failure group"),
            (1.0, "messages/s", "1 messages/s"),
        ] {
            assert_eq!(number_in_words(value, unit), said);
        }
    }
}
