//! Why a batch was not sent: one batch fails in many places at once, and one of them is the cause.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::errors::is_unreachable;
use super::super::ffi::Failure;
use crate::model::TopicName;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Writing records.
    Records,
    /// Adding the progress to the transaction.
    Progress,
}

/// One failure on the way of a batch.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub step: Step,
    pub failure: Failure,
    /// The target, where the failure is one record's.
    pub topic: Option<TopicName>,
}

impl Trouble {
    pub(super) fn with_records(failure: Failure) -> Self {
        Self { step: Step::Records, failure, topic: None }
    }

    pub(super) fn meaning(&self) -> Meaning {
        meaning(self.failure.code)
    }
}

/// What an error says about a batch. Later ones explain the earlier ones: a record that is refused takes its neighbours along, whose
/// reports then speak of time-outs and purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// It follows from another failure.
    Consequence,
    Other,
    Unreachable,
    TargetGone,
    Refused,
    Denied,
    Fenced,
}

/// The failure that explains the others; the first of its kind.
pub(super) fn cause(troubles: Vec<Trouble>) -> Option<Trouble> {
    troubles.into_iter().rev().max_by_key(Trouble::meaning)
}

pub(super) const fn meaning(code: Code) -> Meaning {
    match code {
        Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced => Meaning::Fenced,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed => Meaning::Denied,
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::PolicyViolation => Meaning::Refused,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId | Code::InvalidTopic => {
            Meaning::TargetGone
        }
        Code::InvalidDifferentRecord | Code::PurgeQueue | Code::PurgeInflight | Code::State | Code::Retry => Meaning::Consequence,
        Code::QueueFull
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::ConcurrentTransactions
        | Code::ThrottlingQuotaExceeded => Meaning::Unreachable,
        code if is_unreachable(code) => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause_of(codes: &[Code]) -> Code {
        let trouble = |code: &Code| Trouble::with_records(Failure { code: *code, words: String::new() });
        cause(codes.iter().map(trouble).collect()).expect("there is one").failure.code
    }

    #[test]
    fn one_failure_explains_the_others() {
        let cases = [
            (&[Code::State, Code::PurgeQueue, Code::MessageSizeTooLarge][..], Code::MessageSizeTooLarge),
            (&[Code::MessageTimedOut, Code::InvalidRecord, Code::InvalidDifferentRecord], Code::InvalidRecord),
            (&[Code::PurgeInflight, Code::OperationTimedOut], Code::OperationTimedOut),
            (&[Code::MessageTimedOut, Code::UnknownTopicOrPartition], Code::UnknownTopicOrPartition),
            (&[Code::InvalidRecord, Code::TopicAuthorizationFailed], Code::TopicAuthorizationFailed),
            (&[Code::TransactionalIdAuthorizationFailed, Code::Fenced], Code::Fenced),
            (&[Code::OutOfOrderSequenceNumber, Code::PurgeQueue], Code::OutOfOrderSequenceNumber),
        ];
        for (codes, expected) in cases {
            assert_eq!(cause_of(codes), expected, "{codes:?}");
        }
    }

    #[test]
    fn every_way_of_being_replaced_is_known() {
        for code in [Code::Fenced, Code::InvalidProducerEpoch, Code::ProducerFenced] {
            assert_eq!(meaning(code), Meaning::Fenced);
        }
    }
}
