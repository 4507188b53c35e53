//! Parts of the overview: buses, dead letters, gaps, what stopped, and how a week compares with the one before.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::failure_groups::BucketRange;
use crate::model::Timestamp;
use crate::model::bus::Gap;
use crate::model::dead_letter::StatusCounts;
use crate::model::policy::Policy;
use crate::store::StoreUsage;
use crate::store::departures::Departures;
use crate::web::pages::overview::WatchedBus;
use crate::web::pages::overview::trend::{AlertRow, CauseRow, Trend, TrendRow};
use crate::web::view::partition_problem::TopicProblem;
use crate::web::view::topic::role_word;

/// A time beside the one before, from whole hours.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrend)]
pub(super) struct TrendItem {
    /// The answer in words.
    pub(super) text: String,
    /// How much of both times is known, in words.
    pub(super) known: String,
    /// Whether enough of the time before is known to compare with.
    pub(super) compared: bool,
    /// The figures.
    pub(super) figures: Vec<TrendFigure>,
    /// Failure groups with the most arrivals in either time.
    pub(super) failure_groups: Vec<TrendGroup>,
    /// Rules of all buses by how often they fired, at most eight.
    pub(super) alerts: Vec<TrendAlerts>,
}

/// A number in both times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrendFigure)]
pub(super) struct TrendFigure {
    pub(super) name: &'static str,
    /// What the number is: `p95`, `median`, `per second`.
    pub(super) meaning: &'static str,
    pub(super) now: Option<f64>,
    pub(super) before: Option<f64>,
    /// The difference in words.
    pub(super) text: String,
}

/// A rule's alerts in both times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrendAlerts)]
pub(super) struct TrendAlerts {
    pub(super) rule: String,
    /// How often it fired.
    pub(super) now: u64,
    /// Null where the time before is not known.
    pub(super) before: Option<u64>,
    /// Until somebody had it, on average; null where nobody did.
    pub(super) acknowledge_seconds: Option<f64>,
    /// Until it was over, on average; null where none is over.
    pub(super) resolve_seconds: Option<f64>,
}

impl From<AlertRow> for TrendAlerts {
    fn from(row: AlertRow) -> Self {
        let seconds = |time: std::time::Duration| time.as_secs_f64();
        Self {
            rule: row.name,
            now: row.fired.0,
            before: row.fired.1,
            acknowledge_seconds: row.times.0.map(seconds),
            resolve_seconds: row.times.1.map(seconds),
        }
    }
}

/// A failure group's arrivals in both times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrendGroup)]
pub(super) struct TrendGroup {
    pub(super) bus: String,
    pub(super) fingerprint: String,
    pub(super) title: String,
    pub(super) now: u64,
    /// Null where the time before is not known.
    pub(super) before: Option<u64>,
}

impl From<Trend> for TrendItem {
    fn from(trend: Trend) -> Self {
        let figure =
            |row: TrendRow| TrendFigure { name: row.name, meaning: row.unit, now: row.now, before: row.before, text: row.change.words };
        let compared = trend.compared;
        let group = |row: CauseRow| TrendGroup {
            bus: row.cause.bus.to_string(),
            fingerprint: row.cause.fingerprint.to_string(),
            title: row.cause.title,
            now: row.cause.now,
            before: compared.then_some(row.cause.before),
        };
        Self {
            text: trend.headline,
            known: trend.known,
            compared,
            figures: trend.rows.into_iter().map(figure).collect(),
            failure_groups: trend.causes.into_iter().map(group).collect(),
            alerts: trend.alerts.into_iter().map(TrendAlerts::from).collect(),
        }
    }
}

/// A reason for not being ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewReason)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) text: String,
}

/// A bus.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewBus)]
pub(super) struct Bus {
    pub(super) id: String,
    pub(super) kind: &'static str,
    /// `reachable`, `unreachable` or `connecting`.
    pub(super) state: &'static str,
    /// When it was last read; null is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) sampled_at: Option<Timestamp>,
    /// Since when it fails.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) failing_since: Option<Timestamp>,
    /// Why it fails, in words.
    pub(super) error: Option<String>,
    pub(super) brokers: u32,
    /// Dead-letter topics that are indexed.
    pub(super) dead_letter_topics: u64,
    /// Open dead letters.
    pub(super) open: u64,
}

/// Dead letters in figures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewDeadLetters)]
pub(super) struct DeadLetters {
    /// By status, of any age.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub(super) counts: StatusCounts,
    /// Arrived in the range, without backlog; null where no bus was ever read.
    pub(super) arrived: Option<u64>,
    /// Arrived in the same time before.
    pub(super) arrived_before: u64,
    /// Failed in the range, but was there before its bus or topic was first read; counted up to 100,000.
    pub(super) backlog: u64,
    /// What became of dead letters in the range, whenever they had arrived.
    pub(super) out: Out,
    /// Arrivals per bucket, oldest first; null where a bus was not read any more.
    pub(super) per_bucket: Vec<Option<u64>>,
    /// The time that `per_bucket` covers.
    pub(super) buckets: BucketRange,
}

/// What became of dead letters. One that was replayed and then resolved is in both counts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewDepartures)]
pub(super) struct Out {
    /// Since when this is counted; null where always. What happened before is in no count but `purged`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) counted_since: Option<Timestamp>,
    /// Sent again by a replay.
    pub(super) replayed: u64,
    /// Consumed, and nothing came back.
    pub(super) resolved: u64,
    /// Came back as dead letters of their own.
    pub(super) failed_again: u64,
    /// Discarded.
    pub(super) discarded: u64,
    /// Discards taken back.
    pub(super) restored: u64,
    /// Deleted from the bus by a purge, whatever their status.
    pub(super) purged: u64,
    /// Whether an hour at the beginning or the end is counted whole, because its minutes are no longer kept.
    pub(super) by_whole_hours: bool,
}

impl From<Departures> for Out {
    fn from(out: Departures) -> Self {
        Self {
            counted_since: out.since,
            replayed: out.replayed,
            resolved: out.resolved,
            failed_again: out.failed_again,
            discarded: out.discarded,
            restored: out.restored,
            purged: out.purged,
            by_whole_hours: out.by_whole_hours,
        }
    }
}

/// A range of records that was gone before it could be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
pub(super) struct GapItem {
    pub(super) bus: String,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// First offset that is missing.
    pub(super) from_offset: i64,
    /// First offset that is there again.
    pub(super) to_offset: i64,
    /// At most this many records.
    pub(super) offsets: u64,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
}

/// The same problem of some partitions of one topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewPartitionProblem)]
pub(super) struct TopicProblemItem {
    pub(super) bus: String,
    pub(super) topic: String,
    /// What that topic is: `ordinary`, `dead_letter` or `retry`.
    pub(super) role: &'static str,
    pub(super) partitions: Vec<i32>,
    /// `leaderless`, `offsets_unread`, `unreadable` or `ends_early`.
    pub(super) code: &'static str,
    /// What it is and why, in words.
    pub(super) text: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub(super) since: Timestamp,
}

impl From<TopicProblem> for TopicProblemItem {
    fn from(problem: TopicProblem) -> Self {
        let why = if problem.reason.is_empty() { problem.meaning() } else { problem.reason.as_str() };
        Self {
            text: format!("{}: {why}", problem.headline()),
            code: problem.kind.as_str(),
            role: role_word(problem.role),
            bus: problem.bus.to_string(),
            topic: problem.topic.to_string(),
            partitions: problem.partitions,
            since: problem.since,
        }
    }
}

/// A replay policy that has stopped by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoppedPolicy {
    pub(super) id: String,
    pub(super) name: String,
    /// Since when it has given up; null while it will go on by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) gave_up_at: Option<Timestamp>,
    /// Why.
    pub(super) text: Option<String>,
}

impl From<Policy> for StoppedPolicy {
    fn from(policy: Policy) -> Self {
        Self { id: policy.number.to_string(), name: policy.name, gave_up_at: policy.gave_up_at, text: policy.text }
    }
}

/// What is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    pub(super) engine: String,
    pub(super) used_bytes: u64,
    pub(super) max_bytes: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
    pub(super) dead_letters: u64,
    pub(super) without_custody: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) oldest: Option<Timestamp>,
}

impl From<WatchedBus> for Bus {
    fn from(bus: WatchedBus) -> Self {
        let state = match (&bus.state.error, bus.state.sampled_at) {
            (Some(_), _) => "unreachable",
            (None, Some(_)) => "reachable",
            (None, None) => "connecting",
        };
        Self {
            id: bus.state.id.to_string(),
            kind: bus.state.kind.as_str(),
            state,
            sampled_at: bus.state.sampled_at,
            failing_since: bus.state.failing_since,
            error: bus.state.error,
            brokers: bus.state.brokers,
            dead_letter_topics: bus.dead_letter_topics,
            open: bus.open,
        }
    }
}

impl From<Gap> for GapItem {
    fn from(gap: Gap) -> Self {
        Self {
            offsets: gap.offsets(),
            bus: gap.bus.to_string(),
            topic: gap.topic.to_string(),
            partition: gap.partition,
            from_offset: gap.from_offset,
            to_offset: gap.to_offset,
            at: gap.at,
        }
    }
}

impl From<StoreUsage> for Usage {
    fn from(usage: StoreUsage) -> Self {
        Self {
            engine: usage.engine,
            used_bytes: usage.used_bytes,
            max_bytes: usage.max_bytes,
            disk_free_bytes: usage.disk_free_bytes,
            dead_letters: usage.dead_letters,
            without_custody: usage.without_custody,
            oldest: usage.oldest,
        }
    }
}
