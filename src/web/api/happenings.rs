//! `/buses/{bus}/happenings`: what happened on a bus, for a time line: replays, purges, alerts, what consumer groups did, failure groups.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, LimitParam, Path, Query, TimeParam, Viewer};
use super::super::view::address::segment;
use super::super::view::marks;
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening, HappeningKind};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::failure_group_events::{FailureGroupEvent, FailureGroupNews};
use crate::store::happenings::listed::{HappeningFilter, Listed};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Restricts the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HappeningsQuery {
    /// `replay_started`, `replay_ended`, `purge_started`, `purge_ended`, `alert_fired`, `rebalanced`, `offsets_set`, `offsets_back`,
    /// `status_changed`, `failure_group_new`, `failure_group_returned`; any of those given, all unless told.
    #[param(value_type = Vec<String>)]
    kind: Vec<HappeningKind>,
    /// What was written to this topic or cut from it, and what is about it. A rebalance is about no topic.
    #[param(value_type = Option<String>)]
    topic: Option<TopicName>,
    /// What is about this consumer group; purges and failure groups are about none.
    #[param(value_type = Option<String>)]
    consumer_group: Option<GroupName>,
    /// Beginning, inclusive; as far back as it is kept unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<TimeParam>,
    /// End, exclusive; now unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<TimeParam>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Happenings at most, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// A page of happenings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HappeningList {
    items: Vec<HappeningShape>,
    next_cursor: Option<String>,
}

/// Something that happened. Ids that do not apply are null.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Happening)]
pub(super) struct HappeningShape {
    /// When; what consumer groups did is noticed up to one sweep later.
    #[schema(value_type = String, format = DateTime)]
    at: Option<Timestamp>,
    /// What: see the parameter of this name.
    kind: &'static str,
    /// In words.
    text: String,
    /// The page that tells more.
    url: String,
    topic: Option<String>,
    consumer_group: Option<String>,
    replay_id: Option<String>,
    purge_id: Option<String>,
    alert_id: Option<String>,
    /// Of a failure group.
    fingerprint: Option<String>,
}

/// Lists what happened on a bus, the newest first.
#[utoipa::path(
    get,
    path = "/buses/{bus}/happenings",
    tag = "figures",
    params(("bus" = String, Path, description = "Bus"), HappeningsQuery),
    responses((status = 200, body = HappeningList), (status = 404, body = Problem), (status = 422, body = Problem))
)]
async fn list(
    _: Viewer,
    State(state): State<WebState>,
    Path(bus): Path<BusId>,
    Query(query): Query<HappeningsQuery>,
) -> Result<Json<HappeningList>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let (from, to) = (query.from.map(|from| from.0), query.to.map(|to| to.0));
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Error::field("from", "from lies before to"));
    }
    let filter = HappeningFilter { kinds: query.kind, topic: query.topic, consumer_group: query.consumer_group, from, to };
    let page = state.store().list_happened(&bus.id, &filter, &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let base = state.base_url();
    let items = page.items.iter().map(|listed| HappeningShape::new(listed, &bus.id, &base)).collect();
    Ok(Json(HappeningList { items, next_cursor: page.next_cursor.map(|cursor| cursor.to_string()) }))
}

impl HappeningShape {
    /// `base` is the beginning of its address.
    pub(super) fn new(listed: &Listed, bus: &BusId, base: &str) -> Self {
        match listed {
            Listed::Happening(happening) => Self::of_happening(happening, base),
            Listed::FailureGroup(news) => Self::of_failure_group(news, bus, base),
        }
    }

    fn of_happening(happening: &Happening, base: &str) -> Self {
        let (text, href) = marks::told(happening);
        let shape = Self { at: Some(happening.at), text, url: format!("{base}{href}"), ..Self::default() };
        match &happening.what {
            Happened::ReplayStarted { id, .. } => shape.replay(HappeningKind::ReplayStarted, id),
            Happened::ReplayEnded { id, .. } => shape.replay(HappeningKind::ReplayEnded, id),
            Happened::PurgeStarted { id, topic } => shape.purge(HappeningKind::PurgeStarted, id, topic),
            Happened::PurgeEnded { id, topic, .. } => shape.purge(HappeningKind::PurgeEnded, id, topic),
            Happened::AlertFired { number, labels, .. } => Self {
                kind: HappeningKind::AlertFired.as_str(),
                alert_id: Some(number.to_string()),
                topic: labels.get("topic").cloned(),
                consumer_group: labels.get("consumer_group").cloned(),
                ..shape
            },
            Happened::ToGroup { kind, group, topic, .. } => Self {
                kind: of_group(*kind).as_str(),
                consumer_group: Some(group.to_string()),
                topic: topic.as_ref().map(ToString::to_string),
                ..shape
            },
        }
    }

    fn of_failure_group(news: &FailureGroupNews, bus: &BusId, base: &str) -> Self {
        let (kind, word) = match news.event {
            FailureGroupEvent::New => (HappeningKind::FailureGroupNew, "New failure group"),
            FailureGroupEvent::Returned => (HappeningKind::FailureGroupReturned, "Failure group returned"),
        };
        Self {
            at: Some(news.at),
            kind: kind.as_str(),
            text: format!("{word}: {} on {}", news.title, news.topic),
            url: format!("{base}/buses/{}/failure-groups/{}", segment(bus.as_str()), news.fingerprint),
            topic: Some(news.topic.to_string()),
            fingerprint: Some(news.fingerprint.to_string()),
            ..Self::default()
        }
    }

    fn replay(self, kind: HappeningKind, id: &str) -> Self {
        Self { kind: kind.as_str(), replay_id: Some(id.to_owned()), ..self }
    }

    fn purge(self, kind: HappeningKind, id: &str, topic: &TopicName) -> Self {
        Self { kind: kind.as_str(), purge_id: Some(id.to_owned()), topic: Some(topic.to_string()), ..self }
    }
}

const fn of_group(kind: GroupEventKind) -> HappeningKind {
    match kind {
        GroupEventKind::Rebalanced => HappeningKind::Rebalanced,
        GroupEventKind::OffsetsSet => HappeningKind::OffsetsSet,
        GroupEventKind::OffsetsBack => HappeningKind::OffsetsBack,
        GroupEventKind::StatusChanged => HappeningKind::StatusChanged,
    }
}
