//! Journeys: one message's whole way, found by dead letter, by trace or by record.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Query, Viewer};
use crate::model::span::TraceId;
use crate::model::{BusId, DeadLetterId, Timestamp};
use crate::traces::journey::{self, Step};

mod gathering;

pub(in crate::web) use gathering::{Gathered, LeftOut, MOST_LETTERS, MOST_SPANS, MOST_TOPICS, MOST_TRACES, bus_of, gather};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(find))
}

/// Which message: one of the three ways to name it.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct JourneyQuery {
    /// Id of a dead letter.
    #[param(value_type = Option<String>)]
    pub(in crate::web) dead_letter: Option<DeadLetterId>,
    /// Id of a trace. Its journey is that of every record that its spans tell of, be they of one message or of several.
    pub(in crate::web) trace_id: Option<String>,
    /// Bus of a record, with `topic`, `partition` and `offset`.
    pub(in crate::web) bus: Option<String>,
    /// Topic of a record.
    pub(in crate::web) topic: Option<String>,
    /// Partition of a record.
    pub(in crate::web) partition: Option<i32>,
    /// Offset of a record.
    pub(in crate::web) offset: Option<i64>,
}

/// What a journey is of.
#[derive(Debug, Clone)]
pub(in crate::web) enum Subject {
    /// A dead letter.
    Letter(DeadLetterId),
    /// A trace.
    Trace(TraceId),
    /// A record.
    Record(BusId, String, i32, i64),
}

impl JourneyQuery {
    pub(in crate::web) fn subject(self) -> Result<Subject, Error> {
        let is_place = self.bus.is_some() || self.topic.is_some() || self.partition.is_some() || self.offset.is_some();
        match (self.dead_letter, self.trace_id, is_place) {
            (Some(id), None, false) => Ok(Subject::Letter(id)),
            (None, Some(trace), false) => {
                trace.parse().map(Subject::Trace).map_err(|error| Error::field("trace_id", format!("trace_id: {error}")))
            }
            (None, None, true) => {
                let missing = |field: &'static str| {
                    Error::field(field, format!("a record is named by bus, topic, partition and offset; {field} is missing"))
                };
                let topic = self.topic.ok_or_else(|| missing("topic"))?;
                let bus = self.bus.ok_or_else(|| missing("bus"))?;
                let (partition, offset) =
                    (self.partition.ok_or_else(|| missing("partition"))?, self.offset.ok_or_else(|| missing("offset"))?);
                Ok(Subject::Record(BusId::new(bus), topic, partition, offset))
            }
            (None, None, false) => Err(Error::field("dead_letter", "give dead_letter, trace_id, or bus, topic, partition and offset")),
            _ => Err(Error::field("dead_letter", "dead_letter, trace_id and the record's place cannot be combined")),
        }
    }
}

/// A step of a journey.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct StepShape {
    /// `sent`, `in_topic`, `processed`, `retried`, `dead_lettered`, `replayed`, `outcome`.
    kind: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How long it took; in a topic how long the message waited, where known.
    duration_seconds: Option<f64>,
    service: Option<String>,
    consumer_group: Option<String>,
    /// The bus, where it is known.
    bus: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    trace_id: Option<String>,
    span_id: Option<String>,
    dead_letter_id: Option<String>,
    replay_id: Option<String>,
    /// Of an outcome: it failed again after its replay.
    failed: bool,
    /// Another consumer group than the one that failed has processed a replayed message.
    again: bool,
    /// What happened, in words: an exception, an attempt; of an outcome whether it was resolved, failed again, was replayed, or by whom
    /// it was discarded and why.
    text: String,
    /// What speaks for it.
    evidence: String,
}

/// A message's way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct JourneyShape {
    /// Steps in the order of time.
    steps: Vec<StepShape>,
    /// What was left out, as a journey is put together from 12 dead letters, 24 traces, 5,000 spans and 12 topics at most; null: nothing.
    truncated: Option<LeftOut>,
}

/// One message's way, from sending to what came of it.
#[utoipa::path(get, path = "/journeys", tag = "traces", params(JourneyQuery), responses((status = 200, body = JourneyShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn find(_: Viewer, State(state): State<WebState>, Query(query): Query<JourneyQuery>) -> Result<Json<JourneyShape>, Error> {
    let Gathered { material, truncated } = gather(state.store(), &query.subject()?).await?;
    let steps = journey::journey(&material).iter().map(StepShape::from).collect();
    Ok(Json(JourneyShape { steps, truncated }))
}

impl From<&Step> for StepShape {
    fn from(step: &Step) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a step")]
        let duration_seconds = step.took_us.map(|micros| micros as f64 / 1e6);
        Self {
            kind: step.kind.as_str(),
            at: step.at,
            duration_seconds,
            service: step.service.clone(),
            consumer_group: step.consumer_group.clone(),
            bus: step.bus.as_ref().map(ToString::to_string),
            topic: step.topic.clone(),
            partition: step.partition,
            offset: step.offset,
            trace_id: step.span.map(|(trace, _)| trace.to_string()),
            span_id: step.span.map(|(_, span)| span.to_string()),
            dead_letter_id: step.dead_letter_id.map(|id| id.to_string()),
            replay_id: step.replay_id.clone(),
            failed: step.failed,
            again: step.again,
            text: step.text.clone(),
            evidence: step.evidence.clone(),
        }
    }
}
