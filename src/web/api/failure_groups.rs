//! `/failure-groups`: dead letters by cause.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dead_letters::FilterParams;
use crate::model::dead_letter::StatusCounts;
use crate::model::failure_group::FailureGroup;
use crate::model::{BusId, Timestamp};
use crate::store::failure_groups::{Buckets, FailureGroupSort};
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::{Path, Viewer};
use crate::web::view::filter::{FieldProblem, ListQuery, Reading};
use crate::web::view::query::{Pairs, failure_group_sort, only, parse_fingerprint, problems};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(detail))
}

/// Rows of a page unless `limit` says otherwise.
const ROWS: u32 = 100;
/// Buckets of the arrivals, about.
const BUCKETS: u32 = 60;

/// A failure group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureGroup)]
pub(super) struct Item {
    /// Bus.
    bus: String,
    /// Key of the group on this bus.
    fingerprint: String,
    /// One line: class and message.
    title: String,
    /// Root-cause class.
    exception_class: Option<String>,
    /// Message of the newest dead letter.
    message: Option<String>,
    /// What the fingerprint was made of.
    parts: Vec<String>,
    /// Dead letters by status.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    counts: StatusCounts,
    /// Earliest `failed_at`.
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// Latest `failed_at`.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// Arrivals (without backlog) per bucket, oldest first; see `buckets`.
    per_bucket: Vec<u64>,
    /// Origin topics, most dead letters first.
    origins: Vec<TopicCount>,
    /// Consumer groups, most dead letters first.
    consumer_groups: Vec<ConsumerGroupCount>,
    /// Dead-letter topics, most dead letters first.
    topics: Vec<TopicCount>,
    /// Conventions that wrote them.
    conventions: Vec<String>,
}

/// A topic with its number of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopicCount {
    /// Name; null when no header tells it.
    topic: Option<String>,
    /// Dead letters.
    count: u64,
}

/// A consumer group with its number of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsumerGroupCount {
    /// Name; null when nothing tells it.
    consumer_group: Option<String>,
    /// Whether it was inferred instead of written in a header.
    inferred: bool,
    /// Dead letters.
    count: u64,
}

/// The time that `per_bucket` covers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BucketRange {
    /// Inclusive.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Exclusive.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Length of one bucket.
    step: String,
}

/// One page of failure groups.
#[derive(Debug, Serialize, ToSchema)]
struct FailureGroupList {
    items: Vec<Item>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<String>,
    /// The time that `per_bucket` covers: the range asked for, else the last 24 hours.
    buckets: BucketRange,
}

/// A failure group with the time its arrivals cover.
#[derive(Debug, Serialize, ToSchema)]
struct FailureGroupDetail {
    #[serde(flatten)]
    item: Item,
    buckets: BucketRange,
}

/// Lists failure groups that hold a dead letter matching the filter; their counts are of the matching ones.
#[utoipa::path(
    get,
    path = "/failure-groups",
    tag = "failure groups",
    params(FilterParams, ("sort" = Option<String>, Query, description = "`open` (most first, the default), `last_seen` or `first_seen` (newest first)."), ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier answer with the same sort."), ("limit" = Option<u32>, Query, description = "Rows, 1 to 1,000; 100 unless given.")),
    responses((status = 200, body = FailureGroupList), (status = 422, description = "A field is wrong; the problem names it", body = Problem))
)]
async fn list(State(state): State<WebState>, Viewer(caller): Viewer, Pairs(pairs): Pairs) -> Result<axum::Json<FailureGroupList>, Error> {
    let query = ListQuery::parse(&pairs, Reading::Api, &["sort"], caller.now).map_err(problems)?;
    let sort = match pairs.iter().find(|(name, value)| name == "sort" && !value.is_empty()) {
        None => FailureGroupSort::Open,
        Some((_, word)) => failure_group_sort(word).ok_or_else(|| {
            problems(vec![FieldProblem { field: "sort".into(), problem: "must be open, last_seen or first_seen".into() }])
        })?,
    };
    let buckets = query.range.buckets(caller.now, BUCKETS);
    let page = state.store().list_failure_groups(&query.filter, sort, buckets, &query.page(ROWS)).await?;
    Ok(axum::Json(FailureGroupList {
        items: page.items.into_iter().map(Item::from).collect(),
        next_cursor: page.next_cursor.map(|cursor| cursor.to_string()),
        buckets: buckets.into(),
    }))
}

/// One failure group with all of its dead letters counted.
#[utoipa::path(
    get,
    path = "/buses/{bus}/failure-groups/{fingerprint}",
    tag = "failure groups",
    params(
        ("bus" = String, Path, description = "Id of the bus."),
        ("fingerprint" = String, Path, description = "Fingerprint, such as `v1-9f3c1a7e20b40001`."),
        ("range" = Option<String>, Query, description = "Time of the arrivals, such as `1h`; the last 24 hours unless given."),
        ("from" = Option<String>, Query, description = "Instead of `range`: beginning of the arrivals."),
        ("to" = Option<String>, Query, description = "Instead of `range`: end of the arrivals."),
    ),
    responses((status = 200, body = FailureGroupDetail), (status = 404, description = "There is no such failure group", body = Problem), (status = 422, description = "A field is wrong; the problem names it", body = Problem))
)]
async fn detail(
    State(state): State<WebState>,
    Viewer(caller): Viewer,
    Path((bus, fingerprint)): Path<(BusId, String)>,
    Pairs(pairs): Pairs,
) -> Result<axum::Json<FailureGroupDetail>, Error> {
    let fingerprint = parse_fingerprint(&fingerprint)?;
    only(&pairs, &["range", "from", "to"])?;
    let query = ListQuery::parse(&pairs, Reading::Api, &[], caller.now).map_err(problems)?;
    let buckets = query.range.buckets(caller.now, BUCKETS);
    let group = state.store().find_failure_group(&bus, fingerprint, buckets).await?.ok_or(Error::NotFound("failure group"))?;
    Ok(axum::Json(FailureGroupDetail { item: group.into(), buckets: buckets.into() }))
}

impl From<FailureGroup> for Item {
    fn from(group: FailureGroup) -> Self {
        Self {
            bus: group.bus.to_string(),
            fingerprint: group.fingerprint.to_string(),
            title: group.title,
            exception_class: group.exception_class,
            message: group.message,
            parts: group.parts,
            counts: group.counts,
            first_seen: group.first_seen,
            last_seen: group.last_seen,
            per_bucket: group.per_bucket,
            origins: group.origins.into_iter().map(|(topic, count)| TopicCount { topic, count }).collect(),
            consumer_groups: group
                .consumer_groups
                .into_iter()
                .map(|(consumer_group, inferred, count)| ConsumerGroupCount { consumer_group, inferred, count })
                .collect(),
            topics: group.topics.into_iter().map(|(topic, count)| TopicCount { topic: Some(topic), count }).collect(),
            conventions: group.conventions,
        }
    }
}

impl From<Buckets> for BucketRange {
    fn from(buckets: Buckets) -> Self {
        let millis = (buckets.to.as_millis() - buckets.from.as_millis()) / i64::from(buckets.count.max(1));
        Self { from: buckets.from, to: buckets.to, step: format!("{}s", millis / 1_000) }
    }
}
