//! What librdkafka's errors mean for the caller.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::advice::with_advice;
use super::ffi::{Failure, Setback};
use super::watch::Watch;
use crate::bus::BusError;

/// Turns a failure of an act into what the caller can do about it. `needs` is the access rule that would allow it.
pub(super) fn explain(act: &str, needs: &str, failure: &Failure, watch: &Watch) -> BusError {
    let words = &failure.words;
    match failure.code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => BusError::Denied(format!("{act} needs {needs}")),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            BusError::Denied(format!("the login was refused while {act}: {}", with_advice(words)))
        }
        Code::UnsupportedFeature | Code::UnsupportedVersion | Code::NotImplemented => BusError::Unsupported(format!("{act}: {words}")),
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicId
        | Code::GroupIdNotFound
        | Code::NoEnt => BusError::NotFound(format!("{act}: {words}")),
        code if is_unreachable(code) => match watch.recent_reason() {
            Some(reason) if is_login(&reason) => BusError::Denied(format!("the login was refused while {act}: {}", with_advice(&reason))),
            Some(reason) => BusError::Unreachable(format!("{act}: {}", with_advice(&reason))),
            None => BusError::Unreachable(format!("{act}: {}", with_advice(words))),
        },
        _ => BusError::Other(format!("{act}: {words}")),
    }
}

/// Whether an error says that nobody answered, rather than an answer.
pub(super) const fn is_unreachable(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::SSL
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::InvalidFetchSessionEpoch
            | Code::UnstableOffsetCommit
            | Code::WaitCache
            | Code::BrokerDestroy
    )
}

/// Between two tries of a call that may be made again.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes a call until it succeeds, fails for good, or the time is over.
pub(super) fn again<T>(deadline: Instant, mut call: impl FnMut() -> Result<T, Setback>) -> Result<T, Failure> {
    loop {
        match call() {
            Ok(done) => return Ok(done),
            Err(setback) if setback.retriable && Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(setback) => return Err(setback.failure),
        }
    }
}

/// A failure of a call that a group's coordinator answers, which librdkafka's administrative calls do not repeat: the coordinator has
/// just moved, or a transaction that commits there has ended a moment ago.
pub(super) const fn of_group(failure: Failure) -> Setback {
    let retriable = matches!(
        failure.code,
        Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator | Code::UnstableOffsetCommit
    );
    Setback { failure, retriable }
}

/// A failure of a coordinator that will be ready soon: it reads what it has to know, or a transaction that commits there has ended a
/// moment ago.
pub(super) const fn of_loading(failure: Failure) -> Setback {
    let retriable = matches!(failure.code, Code::CoordinatorLoadInProgress | Code::UnstableOffsetCommit);
    Setback { failure, retriable }
}

fn is_login(reason: &str) -> bool {
    reason.contains("SASL authentication error") || reason.contains("Authentication failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::kafka::ffi::Observer;

    fn explained(code: Code, watch: &Watch) -> String {
        explain("listing consumer groups", "DESCRIBE on the cluster", &Failure { code, words: code.to_string() }, watch).to_string()
    }

    #[test]
    fn a_denied_operation_names_what_is_needed() {
        let watch = Watch::new("prod".into());
        let words = explained(Code::ClusterAuthorizationFailed, &watch);
        assert_eq!(words, "not allowed: listing consumer groups needs DESCRIBE on the cluster");
    }

    #[test]
    fn what_passes_by_itself_is_no_lasting_error() {
        let watch = Watch::new("prod".into());
        for code in [Code::UnstableOffsetCommit, Code::CoordinatorLoadInProgress, Code::CoordinatorNotAvailable, Code::NotCoordinator] {
            assert!(explained(code, &watch).starts_with("the bus did not answer"), "{code}");
            assert!(of_group(Failure { code, words: String::new() }).retriable, "{code}");
        }
    }

    #[test]
    fn silence_is_explained_by_the_newest_failure_of_a_connection() {
        let watch = Watch::new("prod".into());
        assert!(explained(Code::OperationTimedOut, &watch).starts_with("the bus did not answer: listing consumer groups: "));
        watch.log(
            3,
            "FAIL",
            "[thrd:x]: kafka:9092/bootstrap: Failed to resolve 'kafka:9092': Name or service not known (after 3ms in state CONNECT)",
        );
        let words = explained(Code::OperationTimedOut, &watch);
        assert!(
            words.contains("kafka:9092: Failed to resolve 'kafka:9092': Name or service not known; look at bootstrap_servers"),
            "{words}"
        );
        watch.log(3, "FAIL", "[thrd:x]: sasl://kafka:9092: SASL authentication error: Authentication failed during authentication");
        assert!(explained(Code::OperationTimedOut, &watch).starts_with("not allowed: the login was refused"));
    }
}
