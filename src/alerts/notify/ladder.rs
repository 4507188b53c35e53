//! When a failed delivery is tried again.

use std::time::Duration;

use crate::model::Timestamp;

/// Waits between attempts; the last one repeats.
pub const STEPS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(45),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];
/// A delivery is given up when it has not arrived for so long.
pub const DEADLINE: Duration = Duration::from_hours(24);
/// Receivers that ask for longer are asked again after this.
const LONGEST: Duration = Duration::from_hours(6);
/// Each wait differs by up to this share, so that what failed together is not repeated together.
const JITTER: f64 = 0.2;

/// How long to wait after the attempt of this number (from 1). `chance` is random, from 0 to 1; `retry_after` is what the receiver
/// asked for: never less than that.
#[must_use]
pub fn wait(attempt: u32, chance: f64, retry_after: Option<Duration>) -> Duration {
    let at = (attempt.max(1) as usize - 1).min(STEPS.len() - 1);
    let jittered = STEPS[at].mul_f64(1.0 + JITTER * (chance.clamp(0.0, 1.0) * 2.0 - 1.0));
    retry_after.map_or(jittered, |asked| jittered.max(asked.min(LONGEST)))
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is none when it has passed.
#[must_use]
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let Ok(seconds) = text.trim().parse::<f64>() else {
        return Timestamp::parse_http(text).map(|at| now.age_at(at).min(LONGEST)).filter(|wait| !wait.is_zero());
    };
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ_by_a_fifth() {
        let at = |attempt, chance| wait(attempt, chance, None).as_secs_f64();
        assert!((at(1, 0.5) - 5.0).abs() < 1e-9 && (at(7, 0.5) - 3_600.0).abs() < 1e-9 && (at(40, 0.5) - 3_600.0).abs() < 1e-9);
        assert!((at(2, 0.0) - 12.0).abs() < 1e-9 && (at(2, 1.0) - 18.0).abs() < 1e-9);
        let all: Vec<f64> = (1..=7).map(|attempt| at(attempt, 0.5)).collect();
        assert_eq!(all, [5.0, 15.0, 45.0, 120.0, 300.0, 900.0, 3_600.0]);
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it() {
        let now = Timestamp::parse_rfc3339("2026-03-01T03:14:20Z").unwrap();
        let asked = |text| retry_after(text, now);
        assert_eq!(wait(1, 0.5, asked("120")), Duration::from_mins(2));
        assert_eq!(wait(3, 0.5, asked("1")), Duration::from_secs(45), "but no less than the ladder");
        assert_eq!(wait(1, 0.5, asked("99999999")), LONGEST);
        assert_eq!([asked("-1"), asked("soon"), asked("NaN")], [None; 3]);
        assert_eq!(asked("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(asked("Sun, 01 Mar 2026 03:24:20 GMT"), Some(Duration::from_mins(10)));
        assert_eq!(asked("Sun, 01 Mar 2026 03:04:20 GMT"), None, "it has passed");
        assert_eq!(asked("Fri, 01 Jan 2100 00:00:00 GMT"), Some(LONGEST));
    }
}
