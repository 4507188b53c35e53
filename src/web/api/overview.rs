//! `/overview`: the figures of the first page, and the same as CSV.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::failure_groups::Item;
use crate::model::Timestamp;
use crate::store::failure_groups::Buckets;
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::Viewer;
use crate::web::pages::overview;
use crate::web::pages::overview::Past;
use crate::web::pages::overview::trend::Trend;
use crate::web::view::address::Address;
use crate::web::view::chart::bucket_starts;
use crate::web::view::query::{Pairs, only};
use flow::{Attention, Drawing, Lag, Latency, Parts, Ranking, Spans, Throughput};
use shape::{Bus, DeadLetters, GapItem, Reason, StoppedPolicy, TopicProblemItem, TrendItem, Usage};

mod export;
mod flow;
mod shape;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(export::export))
}

/// What both read of an address.
const FIELDS: &[&str] = &["bus", "range", "from", "to"];

/// The list of the failure groups that failed in the time that was asked for, on the buses that were.
fn failure_groups(pairs: &[(String, String)]) -> String {
    let list = Address::new("/failure-groups").with_pairs(pairs);
    let has_time = ["range", "from", "to"].iter().any(|name| list.get(name).is_some());
    if has_time { list } else { list.set("range", "1h") }.to_string()
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
    /// What needs a person, worst first, with its evidence.
    attention: Vec<Attention>,
    /// Dead letters, in and out.
    dead_letters: DeadLetters,
    /// Messages written.
    throughput: Throughput,
    /// What is left to read.
    lag: Lag,
    /// How long messages take.
    latency: Latency,
    /// How many spans failed.
    spans: Spans,
    /// The same over time.
    drawings: Vec<Drawing>,
    /// By messages per second.
    busiest: Ranking,
    /// Topics by dead letters, then by failed spans. Consumer groups: first those that need somebody; then by dead letters, by how much
    /// lag grew, by failed spans, by lag.
    worst: Ranking,
    /// Failure groups with most open dead letters that failed in the range; where there are none, those with any.
    failure_groups: Vec<Item>,
    /// Records that the bus removed before they were read, newest first, at most 10.
    gaps: Vec<GapItem>,
    /// Partitions that cannot be used, of topics of every role, the longest standing first.
    partition_problems: Vec<TopicProblemItem>,
    /// Replay policies that have stopped by themselves, for a while or for good.
    stopped_policies: Vec<StoppedPolicy>,
    /// Of a week and more: what the time came to beside the time before it.
    trend: Option<TrendItem>,
    /// What is stored.
    store: Usage,
}

/// What answers about a time are made of.
struct Answer {
    figures: overview::load::Overview,
    trend: Option<Trend>,
    /// Why this instance is not ready: code and text.
    reasons: Vec<(&'static str, String)>,
    attention: Vec<overview::attention::Attention>,
}

impl Answer {
    async fn load(state: &WebState, pairs: &[(String, String)], now: Timestamp) -> Result<Self, Error> {
        only(pairs, FIELDS)?;
        let query = overview::Query::parse(pairs, now)?;
        let (figures, trend) = tokio::try_join!(
            Box::pin(overview::load(state.store(), &query.buses, query.range, now)),
            Trend::load(state.store(), &query.buses, query.range, now, state.config().retention.hours),
        )?;
        let reasons = state.lifecycle().readiness().reasons();
        let attention = overview::attention(&figures, &reasons, query.range, &failure_groups(pairs));
        Ok(Self { figures, trend, reasons, attention })
    }
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
    let Answer { figures, trend, reasons, attention } = Answer::load(&state, &pairs, caller.now).await?;
    let reasons: Vec<_> = reasons.into_iter().map(|(code, text)| Reason { code, text }).collect();
    let (base, past) = (state.base_url(), Past::of(&figures));
    let parts = Parts::of(figures.flow, past, figures.buckets);
    Ok(Json(Overview {
        ready: reasons.is_empty(),
        reasons,
        buses: figures.buses.into_iter().map(Bus::from).collect(),
        attention: attention.into_iter().map(|item| Attention::new(item, &base)).collect(),
        dead_letters: DeadLetters {
            counts: figures.counts,
            arrived: (past != Past::Never).then_some(figures.arrivals.total),
            arrived_before: figures.arrivals.before,
            backlog: figures.backlog,
            out: figures.departures.into(),
            per_bucket: read_until(figures.arrivals.per_bucket, past, figures.buckets),
            buckets: figures.buckets.into(),
        },
        throughput: parts.throughput,
        lag: parts.lag,
        latency: parts.latency,
        spans: parts.spans,
        drawings: parts.drawings,
        busiest: parts.busiest,
        worst: parts.worst,
        failure_groups: figures.groups.into_iter().map(Item::from).collect(),
        gaps: figures.gaps.into_iter().map(GapItem::from).collect(),
        partition_problems: figures.problems.into_iter().map(TopicProblemItem::from).collect(),
        stopped_policies: figures.stopped_policies.into_iter().map(StoppedPolicy::from).collect(),
        trend: trend.map(TrendItem::from),
        store: figures.usage.into(),
    }))
}

/// Arrivals by step; none of what began after the last look.
fn read_until(per_bucket: Vec<u64>, past: Past, buckets: Buckets) -> Vec<Option<u64>> {
    let read = |at: Timestamp| past.until().is_none_or(|until| at < until);
    bucket_starts(buckets).into_iter().zip(per_bucket).map(|(at, count)| read(at).then_some(count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::address::pairs;

    #[test]
    fn the_way_to_failure_groups_keeps_the_time_and_the_buses() {
        assert_eq!(failure_groups(&pairs("range=7d&bus=a&bus=b")), "/failure-groups?range=7d&bus=a&bus=b");
        assert_eq!(failure_groups(&pairs("bus=a")), "/failure-groups?bus=a&range=1h");
        assert_eq!(failure_groups(&[]), "/failure-groups?range=1h");
    }

    #[test]
    fn what_nobody_has_read_is_no_zero() {
        let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        let buckets = Buckets { from: at(0), to: at(3), count: 3 };
        let read = |past| read_until(vec![4, 0, 0], past, buckets);
        assert_eq!(read(Past::No), [Some(4), Some(0), Some(0)]);
        assert_eq!(read(Past::Since(at(2))), [Some(4), Some(0), None]);
        assert_eq!(read(Past::Never), [None, None, None]);
    }
}
