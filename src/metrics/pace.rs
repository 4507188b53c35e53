//! How long a consumer group needs until nothing is left to read.

use std::time::Duration;

use crate::model::lag::GroupStatus;

/// Longer than this nobody can say anything: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// The time until a group is caught up at its present pace: `lag` messages are left, `read` and `written` are messages per second. No time
/// at all when nothing is left; `None` while it does not catch up, or nobody knows.
#[must_use]
pub fn until_caught_up(status: GroupStatus, lag: Option<u64>, read: Option<f64>, written: Option<f64>) -> Option<Duration> {
    let lag = lag?;
    if lag == 0 {
        return (status != GroupStatus::Unknown).then_some(Duration::ZERO);
    }
    let gained = read? - written?;
    if status != GroupStatus::CatchingUp || gained <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a length of time")]
    let seconds = lag as f64 / gained;
    (seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_gains_is_caught_up_in_time_and_others_nobody_knows() {
        use GroupStatus::{CatchingUp, CaughtUp, FallingBehind, Stalled, Unknown};
        let seconds = |status, lag, read, written| until_caught_up(status, lag, read, written).map(|time| time.as_secs());
        assert_eq!(seconds(CatchingUp, Some(600), Some(30.0), Some(20.0)), Some(60));
        assert_eq!(seconds(CaughtUp, Some(0), None, None), Some(0), "nothing is left");
        assert_eq!(seconds(Unknown, Some(0), None, None), None, "as far as anybody knows");
        assert_eq!(seconds(CatchingUp, Some(600), Some(20.0), Some(20.0)), None, "it does not gain");
        assert_eq!(seconds(FallingBehind, Some(600), Some(30.0), Some(20.0)), None, "what it is doing comes first");
        assert_eq!(seconds(Stalled, Some(600), Some(0.0), Some(20.0)), None);
        assert_eq!(seconds(CatchingUp, None, Some(30.0), Some(20.0)), None, "nobody knows what is left");
        assert_eq!(seconds(CatchingUp, Some(600), None, Some(20.0)), None, "nobody knows how fast it reads");
        assert_eq!(seconds(CatchingUp, Some(u64::MAX), Some(1.000_001), Some(1.0)), None, "no number that means nothing");
    }
}
