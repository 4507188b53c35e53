//! `/buses/{bus}/consumer-groups/{group}/lag`: exact lag in time on one partition, asked of the bus at once.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::super::WebState;
use super::super::super::error::{Error, Problem};
use super::super::super::extract::{Path, Query, Viewer};
use crate::model::names::TopicPartition;
use crate::model::{BusId, GroupName, Timestamp};
use crate::operations::lag::{Clock, ExactLag, Next};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(exact))
}

/// Which partition.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PlaceQuery {
    /// Topic.
    topic: String,
    /// Partition.
    #[param(minimum = 0)]
    partition: u32,
}

/// Lag in time of one partition as of now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ExactLag)]
struct Answer {
    topic: String,
    partition: u32,
    /// When the bus was asked.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Committed offset.
    committed: i64,
    /// First offset the bus still holds.
    log_start: i64,
    /// High watermark.
    end: i64,
    /// The next record to read; after `committed` where there is none at that; null when nothing is left, or an open transaction holds
    /// it back.
    next_offset: Option<i64>,
    /// When that was written.
    #[schema(value_type = Option<String>, format = DateTime)]
    written_at: Option<Timestamp>,
    /// Whose clock `written_at` is: `create_time` (the producer's) or `log_append_time` (the broker's).
    timestamp_type: Option<&'static str>,
    /// How long ago it was written; 0 when nothing is left; null when an open transaction holds it back.
    lag_seconds: Option<f64>,
    /// `timestamp`.
    method: &'static str,
}

/// Asks the bus for the next record that a consumer group has to read on one partition, and when it was written; two requests, with a
/// deadline of 10 s.
#[utoipa::path(
    get,
    path = "/buses/{bus}/consumer-groups/{group}/lag",
    tag = "consumer groups",
    params(("bus" = String, Path, description = "Bus"), ("group" = String, Path, description = "Consumer group"), PlaceQuery),
    responses(
        (status = 200, body = Answer),
        (status = 404, description = "No such group, or it has committed nothing there", body = Problem),
        (status = 422, body = Problem),
        (status = 503, description = "The bus cannot be reached, or too many reads are under way", body = Problem),
        (status = 504, description = "The bus did not answer in time", body = Problem)
    )
)]
async fn exact(
    _: Viewer,
    State(state): State<WebState>,
    Path((bus, group)): Path<(BusId, GroupName)>,
    Query(query): Query<PlaceQuery>,
) -> Result<Json<Answer>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let group = state.store().find_consumer_group(&bus.id, &group).await?.ok_or(Error::NotFound("consumer group"))?;
    let partition = i32::try_from(query.partition).map_err(|_| Error::field("partition", "is no partition."))?;
    let place = TopicPartition { topic: query.topic.as_str().into(), partition };
    let lag = state.operations().exact_lag(&bus.id, &group.name, &place).await?.ok_or(Error::NotFound("committed offset"))?;
    Ok(Json(Answer::new(query, &lag)))
}

impl Answer {
    fn new(query: PlaceQuery, lag: &ExactLag) -> Self {
        let (next_offset, written_at, clock) = match lag.next {
            Next::Record { offset, written_at, clock } => (Some(offset), Some(written_at), Some(clock)),
            Next::Nothing | Next::Unknown => (None, None, None),
        };
        Self {
            topic: query.topic,
            partition: query.partition,
            at: lag.at,
            committed: lag.committed,
            log_start: lag.log_start,
            end: lag.end,
            next_offset,
            written_at,
            timestamp_type: clock.map(|clock| match clock {
                Clock::Broker => "log_append_time",
                Clock::Producer => "create_time",
            }),
            lag_seconds: lag.lag().map(|lag| lag.as_secs_f64()),
            method: "timestamp",
        }
    }
}
