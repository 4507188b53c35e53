//! One trial at a time: a trial reads and holds much, and many people, or one with many windows, must not keep the store from the others.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::history::NotTried;

/// Whoever comes while another trial runs waits for so long.
const PATIENCE: Duration = Duration::from_secs(4);
/// After so long a trial is given up.
const LONGEST: Duration = Duration::from_secs(12);

/// The trials of a process.
#[derive(Debug)]
pub struct Trials {
    turn: Semaphore,
    patience: Duration,
    longest: Duration,
}

impl Default for Trials {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), patience: PATIENCE, longest: LONGEST }
    }
}

impl Trials {
    /// Runs a trial when no other one runs.
    pub async fn run<T>(&self, trial: impl Future<Output = Result<T, NotTried>>) -> Result<T, NotTried> {
        let Ok(Ok(_turn)) = timeout(self.patience, self.turn.acquire()).await else { return Err(NotTried::Busy) };
        timeout(self.longest, trial).await.unwrap_or(Err(NotTried::TooLong))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn trials_run_one_after_the_other_and_no_one_waits_for_ever() {
        let trials = Trials { patience: Duration::from_millis(200), longest: Duration::from_millis(500), ..Trials::default() };
        let running = AtomicUsize::new(0);
        let trial = async |millis| {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "another one runs");
            tokio::time::sleep(Duration::from_millis(millis)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, NotTried>(millis)
        };
        let (one, other) = tokio::join!(trials.run(trial(20)), trials.run(trial(20)));
        assert_eq!((one.expect("it had its turn"), other.expect("it waited")), (20, 20));
        let stuck = async || {
            std::future::pending::<()>().await;
            Ok::<_, NotTried>(())
        };
        let (long, waiting) = tokio::join!(trials.run(stuck()), trials.run(trial(1)));
        assert!(matches!(long, Err(NotTried::TooLong)) && matches!(waiting, Err(NotTried::Busy)), "{long:?} {waiting:?}");
        assert_eq!(trials.run(trial(1)).await.expect("it is free again"), 1);
    }
}
