//! Brokers that let a question run out of time: whoever needs others, too, does not wait for them again at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::ffi::Failure;

/// A broker that has let a question run out of time is not asked another one for so long.
const SILENT: Duration = Duration::from_secs(10);
/// What a silent broker would be asked is asked apart from all else, until it answers or nobody has asked it for so long.
const APART: Duration = Duration::from_mins(1);
/// Time enough for any broker that is well.
const ENOUGH: Duration = Duration::from_millis(500);

/// Who was silent when, by broker.
#[derive(Debug, Default)]
pub(super) struct Silent(Mutex<HashMap<i32, Instant>>);

impl Silent {
    /// Makes a call to a broker unless it let one run out of time a moment ago: of many groups or partitions that it serves not each
    /// waits for it.
    pub(super) fn unless_silent<T>(
        &self,
        broker: i32,
        time: Duration,
        call: impl FnOnce(Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.was_a_moment_ago(broker) {
            return Err(Failure { code: Code::OperationTimedOut, words: format!("broker {broker} did not answer a moment ago") });
        }
        let answer = call(time);
        match &answer {
            // Whoever was given no time has not shown that he is silent.
            Err(failure) if ran_out(failure.code) && time >= ENOUGH => self.note(broker),
            Err(failure) if ran_out(failure.code) => {}
            _ => self.forget(broker),
        }
        answer
    }

    /// Notes that a broker has not answered.
    pub(super) fn note(&self, broker: i32) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(broker, Instant::now()).is_none() {
            tracing::warn!(broker, "a broker does not answer; what others can tell is asked without it");
        }
    }

    /// Notes that it has.
    pub(super) fn forget(&self, broker: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&broker);
    }

    /// Whether it is too early to ask this one again.
    pub(super) fn was_a_moment_ago(&self, broker: i32) -> bool {
        self.since(broker).is_some_and(|at| at.elapsed() < SILENT)
    }

    /// Whether some broker is to be asked apart.
    pub(super) fn is_somebody(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().any(|at| at.elapsed() < APART)
    }

    /// Whether this one is to be asked apart.
    pub(super) fn is(&self, broker: i32) -> bool {
        self.since(broker).is_some_and(|at| at.elapsed() < APART)
    }

    fn since(&self, broker: i32) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&broker).copied()
    }
}

/// Whether nobody has answered; a broker that says that it leads no more has.
pub(super) const fn is_silence(code: Code) -> bool {
    ran_out(code) || matches!(code, Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::NetworkException)
}

const fn ran_out(code: Code) -> bool {
    matches!(code, Code::OperationTimedOut | Code::TimedOutQueue | Code::RequestTimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_has_let_a_question_run_out_of_time_is_not_waited_for_again_at_once() {
        let silent = Silent::default();
        let ask = |broker: i32, time: Duration, answer: Result<(), Failure>| {
            let mut asked = false;
            let answer = silent.unless_silent(broker, time, |_| {
                asked = true;
                answer
            });
            (asked, answer.is_ok())
        };
        let refused = Failure { code: Code::NotCoordinator, words: String::new() };
        let long = Duration::from_secs(4);
        assert_eq!(ask(1, Duration::ZERO, Err(Failure::timed_out())), (true, false));
        assert_eq!(ask(1, long, Err(refused)), (true, false), "it had no time to answer");
        assert!(!silent.is_somebody());
        assert_eq!(ask(1, long, Err(Failure::timed_out())), (true, false), "whoever says no is not silent");
        assert_eq!(ask(1, long, Ok(())), (false, false));
        assert_eq!(ask(2, long, Ok(())), (true, true), "others are asked");
        let ago = |time: Duration| Instant::now().checked_sub(time).expect("the machine runs for longer");
        silent.0.lock().expect("not poisoned").insert(1, ago(SILENT));
        assert_eq!((silent.is_somebody(), silent.is(1), silent.is(2)), (true, true, false), "it is asked, and apart");
        assert_eq!(ask(1, long, Ok(())), (true, true));
        assert!(!silent.is_somebody());
        silent.0.lock().expect("not poisoned").insert(3, ago(APART));
        assert_eq!((silent.is_somebody(), silent.is(3)), (false, false), "it may have gone for good");
    }
}
