//! How long something takes, again and again.

use std::time::{Duration, Instant};

use redrive::store::StoreError;

use crate::Outcome;
use crate::report::judged;

/// Pages answer within this, ninety-nine times of a hundred.
pub(crate) const PAGE: Duration = Duration::from_millis(20);

/// The middle and the slow end of some durations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) median: Duration,
    pub(crate) slow: Duration,
}

impl Times {
    pub(crate) fn short(&self) -> String {
        format!("{} / {}", millis(self.median), millis(self.slow))
    }
}

pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

/// Median and 99th percentile.
pub(crate) fn times(mut spent: Vec<Duration>) -> Times {
    spent.sort_unstable();
    let at = |share: usize| spent.get(spent.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    Times { median: at(50), slow: at(99) }
}

/// Asks a hundred times, or for three seconds, and prints median and 99th percentile beside the baseline and the aim of a page.
pub(crate) async fn page<F, R>(name: &str, baseline: &str, mut act: F) -> Outcome<()>
where
    F: FnMut() -> R,
    R: Future<Output = Result<usize, StoreError>>,
{
    let mut spent = Vec::new();
    let mut answer = 0;
    let began = Instant::now();
    while spent.len() < 100 && (spent.len() < 3 || began.elapsed() < Duration::from_secs(3)) {
        let began = Instant::now();
        answer = act().await?;
        spent.push(began.elapsed());
    }
    let times = times(spent);
    judged(&format!("{name} ({answer})"), &times.short(), baseline, "20 ms p99", times.slow <= PAGE);
    Ok(())
}
