//! Figures: named measures. One name each, the same in the series API, in rules and, with a prefix, for Prometheus.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::{BusId, Fingerprint, GroupName, TopicName};

words! {
    /// A figure.
    Figure {
        /// Messages written to a topic.
        TopicMessagesPerSecond = "topic_messages_per_second" / 0,
        /// Messages a consumer group has left to read.
        ConsumerGroupLagMessages = "consumer_group_lag_messages" / 1,
        /// How long ago the next message to read was written.
        ConsumerGroupLagSeconds = "consumer_group_lag_seconds" / 2,
        /// Messages a consumer group has committed.
        ConsumerGroupMessagesPerSecond = "consumer_group_messages_per_second" / 3,
        /// For how long a consumer group has had its status.
        ConsumerGroupStatusSeconds = "consumer_group_status_seconds" / 4,
        /// Dead letters that arrived.
        DeadLettersPerMinute = "dead_letters_per_minute" / 5,
        /// Open dead letters.
        DeadLettersOpen = "dead_letters_open" / 6,
        /// Age of the oldest open dead letter.
        DeadLettersOldestOpenSeconds = "dead_letters_oldest_open_seconds" / 7,
        /// Failure groups never seen before.
        FailureGroupsNew = "failure_groups_new" / 8,
        /// Failure groups that were resolved and arrive again.
        FailureGroupsReturned = "failure_groups_returned" / 9,
        /// Share of replayed messages that failed again.
        ReplayFailedAgainRatio = "replay_failed_again_ratio" / 10,
        /// Records removed before they were read: by a consumer group, or by us, and then without one.
        RecordsLost = "records_lost" / 11,
        /// Spans.
        SpansPerSecond = "spans_per_second" / 12,
        /// Share of spans that failed.
        SpansErrorRatio = "spans_error_ratio" / 13,
        /// Time to publish a message.
        PublishDurationSeconds = "publish_duration_seconds" / 14,
        /// Time a message waited in the broker.
        BrokerDurationSeconds = "broker_duration_seconds" / 15,
        /// Time to process a message.
        ProcessingDurationSeconds = "processing_duration_seconds" / 16,
        /// Time from publishing to the end of processing.
        EndToEndDurationSeconds = "end_to_end_duration_seconds" / 17,
        /// Whether the bus answers: 1 or 0.
        BusReachable = "bus_reachable" / 18,
        /// Age of the newest sample.
        SampleAgeSeconds = "sample_age_seconds" / 19,
        /// How far indexing is behind.
        IngestDelaySeconds = "ingest_delay_seconds" / 20,
        /// Share of the store's limit in use.
        StoreUsedRatio = "store_used_ratio" / 21,
        /// Receivers whose deliveries fail.
        DeliveriesFailing = "deliveries_failing" / 22,
        /// Messages written to all topics of a bus.
        BusMessagesPerSecond = "bus_messages_per_second" / 23,
        /// Spans that failed; with `spans_per_second` it makes the ratio.
        SpanErrorsPerSecond = "span_errors_per_second" / 24,
        /// Replayed messages whose outcome is known: resolved or failed again.
        ReplayOutcomes = "replay_outcomes" / 25,
        /// Replayed messages that failed again; with `replay_outcomes` it makes the ratio.
        ReplayFailures = "replay_failures" / 26,
        /// Time from a failure until its dead letter was resolved.
        DeadLettersResolveSeconds = "dead_letters_resolve_seconds" / 27,
    }
}

/// How a figure's samples are added up over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// A level: the highest counts.
    Level,
    /// A count per second.
    Rate,
    /// A share of one count in another.
    Ratio,
    /// Durations, asked for by quantile.
    Durations,
}

impl Figure {
    /// The unit of its numbers.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::TopicMessagesPerSecond | Self::ConsumerGroupMessagesPerSecond | Self::BusMessagesPerSecond => "messages/s",
            Self::SpansPerSecond | Self::SpanErrorsPerSecond => "spans/s",
            Self::ConsumerGroupLagMessages | Self::RecordsLost | Self::ReplayOutcomes | Self::ReplayFailures => "messages",
            Self::DeadLettersPerMinute => "dead letters/min",
            Self::DeadLettersOpen => "dead letters",
            Self::FailureGroupsNew | Self::FailureGroupsReturned => "failure groups",
            Self::ReplayFailedAgainRatio | Self::SpansErrorRatio | Self::StoreUsedRatio => "ratio",
            Self::BusReachable => "boolean",
            Self::DeliveriesFailing => "receivers",
            Self::ConsumerGroupLagSeconds
            | Self::ConsumerGroupStatusSeconds
            | Self::DeadLettersOldestOpenSeconds
            | Self::DeadLettersResolveSeconds
            | Self::PublishDurationSeconds
            | Self::BrokerDurationSeconds
            | Self::ProcessingDurationSeconds
            | Self::EndToEndDurationSeconds
            | Self::SampleAgeSeconds
            | Self::IngestDelaySeconds => "seconds",
        }
    }

    /// Whether so few are counted that a rate says little: shown and compared is how many there were.
    #[must_use]
    pub const fn is_few(self) -> bool {
        matches!(self, Self::RecordsLost | Self::ReplayOutcomes | Self::ReplayFailures)
    }

    /// Whether spans tell it.
    #[must_use]
    pub const fn is_of_spans(self) -> bool {
        matches!(
            self,
            Self::SpansPerSecond
                | Self::SpansErrorRatio
                | Self::SpanErrorsPerSecond
                | Self::PublishDurationSeconds
                | Self::BrokerDurationSeconds
                | Self::ProcessingDurationSeconds
                | Self::EndToEndDurationSeconds
        )
    }

    /// How its samples are added up.
    #[must_use]
    pub const fn kind(self) -> FigureKind {
        match self {
            Self::TopicMessagesPerSecond
            | Self::ConsumerGroupMessagesPerSecond
            | Self::BusMessagesPerSecond
            | Self::SpansPerSecond
            | Self::SpanErrorsPerSecond
            | Self::RecordsLost
            | Self::DeadLettersPerMinute
            | Self::ReplayOutcomes
            | Self::ReplayFailures
            | Self::FailureGroupsNew
            | Self::FailureGroupsReturned => FigureKind::Rate,
            Self::SpansErrorRatio | Self::ReplayFailedAgainRatio => FigureKind::Ratio,
            Self::DeadLettersResolveSeconds
            | Self::PublishDurationSeconds
            | Self::BrokerDurationSeconds
            | Self::ProcessingDurationSeconds
            | Self::EndToEndDurationSeconds => FigureKind::Durations,
            _ => FigureKind::Level,
        }
    }
}

/// What a series is about; labels that do not apply are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// Bus.
    pub bus: Option<BusId>,
    /// Topic.
    pub topic: Option<TopicName>,
    /// Consumer group.
    pub consumer_group: Option<GroupName>,
    /// Service.
    pub service: Option<String>,
    /// Operation of a span: `send`, `process`, ...
    pub operation: Option<String>,
    /// Fingerprint of a failure group.
    pub fingerprint: Option<String>,
    /// Status of a consumer group.
    pub status: Option<String>,
}

impl Labels {
    /// Labels of a bus alone.
    #[must_use]
    pub fn bus(bus: &BusId) -> Self {
        Self { bus: Some(bus.clone()), ..Self::default() }
    }

    /// The same with a topic.
    #[must_use]
    pub fn topic(mut self, topic: &TopicName) -> Self {
        self.topic = Some(topic.clone());
        self
    }

    /// The same with a consumer group.
    #[must_use]
    pub fn consumer_group(mut self, group: &GroupName) -> Self {
        self.consumer_group = Some(group.clone());
        self
    }

    /// The same with a service.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// The same with an operation.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// The same with a failure group's fingerprint.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint.to_string());
        self
    }

    /// The same with a status.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// Names and values of those that are there, in the order of the contract.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("bus", self.bus.as_ref().map(BusId::as_str)),
            ("topic", self.topic.as_ref().map(TopicName::as_str)),
            ("consumer_group", self.consumer_group.as_ref().map(GroupName::as_str)),
            ("service", self.service.as_deref()),
            ("operation", self.operation.as_deref()),
            ("fingerprint", self.fingerprint.as_deref()),
            ("status", self.status.as_deref()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// One series: a figure with its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The figure.
    pub figure: Figure,
    /// What it is about.
    pub labels: Labels,
}
