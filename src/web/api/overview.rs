//! `/overview`: the figures of the first page.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::failure_groups::{BucketRange, Item};
use crate::model::Timestamp;
use crate::model::bus::Gap;
use crate::model::dead_letter::StatusCounts;
use crate::model::policy::Policy;
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::Viewer;
use crate::web::pages::overview::trend::{CauseRow, Trend, TrendRow};
use crate::web::pages::overview::{self, WatchedBus};
use crate::web::view::partition_problem::TopicProblem;
use crate::web::view::query::Pairs;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// The figures of the first page.
#[derive(Debug, Serialize, ToSchema)]
struct Overview {
    /// Whether this instance is ready.
    ready: bool,
    /// Why it is not.
    reasons: Vec<Reason>,
    /// Buses with the age of their data.
    buses: Vec<Bus>,
    /// Dead letters.
    dead_letters: DeadLetters,
    /// Failure groups with most open dead letters that failed in the range; where there are none, those with any.
    failure_groups: Vec<Item>,
    /// Records that the bus removed before they were read, newest first, at most 10.
    gaps: Vec<GapItem>,
    /// Partitions of dead-letter topics that cannot be used, the longest standing first.
    partition_problems: Vec<TopicProblemItem>,
    /// Replay policies that have stopped by themselves, for a while or for good.
    stopped_policies: Vec<StoppedPolicy>,
    /// Of a week and more: what the time came to beside the time before it.
    trend: Option<TrendItem>,
    /// What is stored.
    store: Usage,
}

/// A time beside the one before, from whole hours.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrend)]
struct TrendItem {
    /// The answer in words.
    text: String,
    /// How much of both times is known, in words.
    known: String,
    /// Whether enough of the time before is known to compare with.
    compared: bool,
    /// The figures.
    figures: Vec<TrendFigure>,
    /// Failure groups with the most arrivals in either time.
    failure_groups: Vec<TrendGroup>,
}

/// A number in both times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrendFigure)]
struct TrendFigure {
    name: &'static str,
    now: Option<f64>,
    before: Option<f64>,
    /// The difference in words.
    text: String,
}

/// A failure group's arrivals in both times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTrendGroup)]
struct TrendGroup {
    bus: String,
    fingerprint: String,
    title: String,
    now: u64,
    /// Null where the time before is not known.
    before: Option<u64>,
}

impl From<Trend> for TrendItem {
    fn from(trend: Trend) -> Self {
        let figure = |row: TrendRow| TrendFigure { name: row.name, now: row.now, before: row.before, text: row.change.words };
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
        }
    }
}

/// A reason for not being ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewReason)]
struct Reason {
    code: &'static str,
    text: String,
}

/// A bus.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewBus)]
struct Bus {
    id: String,
    kind: &'static str,
    /// `reachable`, `unreachable` or `connecting`.
    state: &'static str,
    /// When it was last read; null is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    sampled_at: Option<Timestamp>,
    /// Since when it fails.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Why it fails, in words.
    error: Option<String>,
    brokers: u32,
    /// Dead-letter topics that are indexed.
    dead_letter_topics: u64,
    /// Open dead letters.
    open: u64,
}

/// Dead letters in figures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewDeadLetters)]
struct DeadLetters {
    /// By status, of any age.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    counts: StatusCounts,
    /// Arrived in the range, without backlog.
    arrived: u64,
    /// Arrived in the same time before.
    arrived_before: u64,
    /// Failed in the range, but was there before its bus or topic was first read; counted up to 100,000.
    backlog: u64,
    /// Arrivals per bucket, oldest first.
    per_bucket: Vec<u64>,
    /// The time that `per_bucket` covers.
    buckets: BucketRange,
}

/// A range of records that was gone before it could be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
struct GapItem {
    bus: String,
    topic: String,
    partition: i32,
    /// First offset that is missing.
    from_offset: i64,
    /// First offset that is there again.
    to_offset: i64,
    /// At most this many records.
    offsets: u64,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// The same problem of some partitions of one topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewPartitionProblem)]
struct TopicProblemItem {
    bus: String,
    topic: String,
    partitions: Vec<i32>,
    /// `leaderless`, `offsets_unread`, `unreadable` or `ends_early`.
    code: &'static str,
    /// What it is and why, in words.
    text: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl From<TopicProblem> for TopicProblemItem {
    fn from(problem: TopicProblem) -> Self {
        let why = if problem.reason.is_empty() { problem.meaning() } else { problem.reason.as_str() };
        Self {
            text: format!("{}: {why}", problem.headline()),
            code: problem.kind.as_str(),
            bus: problem.bus.to_string(),
            topic: problem.topic.to_string(),
            partitions: problem.partitions,
            since: problem.since,
        }
    }
}

/// A replay policy that has stopped by itself.
#[derive(Debug, Serialize, ToSchema)]
struct StoppedPolicy {
    id: String,
    name: String,
    /// Since when it has given up; null while it will go on by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    gave_up_at: Option<Timestamp>,
    /// Why.
    text: Option<String>,
}

impl From<Policy> for StoppedPolicy {
    fn from(policy: Policy) -> Self {
        Self { id: policy.number.to_string(), name: policy.name, gave_up_at: policy.gave_up_at, text: policy.text }
    }
}

/// What is stored.
#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    engine: String,
    used_bytes: u64,
    max_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
    dead_letters: u64,
    without_custody: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest: Option<Timestamp>,
}

/// The figures of the first page, for `range` (`1h` unless given) or `from` and `to`.
#[utoipa::path(
    get,
    path = "/overview",
    tag = "overview",
    params(
        ("range" = Option<String>, Query, description = "The time before now, such as `15m`, `1h` or `30d`; `1h` unless given."),
        ("from" = Option<String>, Query, description = "Instead of `range`."),
        ("to" = Option<String>, Query, description = "Instead of `range`."),
        ("bus" = Option<Vec<String>>, Query, description = "Only these buses."),
    ),
    responses((status = 200, body = Overview), (status = 422, description = "A field is wrong; the problem names it", body = Problem))
)]
async fn overview(State(state): State<WebState>, Viewer(caller): Viewer, Pairs(pairs): Pairs) -> Result<Json<Overview>, Error> {
    let query = overview::Query::parse(&pairs, caller.now)?;
    let figures = overview::load(state.store(), &query.buses, query.range, caller.now).await?;
    let kept = state.config().retention.hours;
    let trend = Trend::load(state.store(), &query.buses, query.range, caller.now, kept).await?;
    let reasons: Vec<_> = state.lifecycle().readiness().reasons().into_iter().map(|(code, text)| Reason { code, text }).collect();
    Ok(Json(Overview {
        ready: reasons.is_empty(),
        reasons,
        buses: figures.buses.into_iter().map(Bus::from).collect(),
        dead_letters: DeadLetters {
            counts: figures.counts,
            arrived: figures.arrivals.total,
            arrived_before: figures.arrivals.before,
            backlog: figures.backlog,
            per_bucket: figures.arrivals.per_bucket,
            buckets: figures.buckets.into(),
        },
        failure_groups: figures.groups.into_iter().map(Item::from).collect(),
        gaps: figures.gaps.into_iter().map(GapItem::from).collect(),
        partition_problems: figures.problems.into_iter().map(TopicProblemItem::from).collect(),
        stopped_policies: figures.stopped_policies.into_iter().map(StoppedPolicy::from).collect(),
        trend: trend.map(TrendItem::from),
        store: Usage {
            engine: figures.usage.engine,
            used_bytes: figures.usage.used_bytes,
            max_bytes: figures.usage.max_bytes,
            disk_free_bytes: figures.usage.disk_free_bytes,
            dead_letters: figures.usage.dead_letters,
            without_custody: figures.usage.without_custody,
            oldest: figures.usage.oldest,
        },
    }))
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
