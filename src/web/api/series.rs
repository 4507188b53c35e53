//! `/series`: samples of a figure over time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserializer;
use serde::de::{Deserialize, Error as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Query, TimeParam, Viewer};
use super::super::view::lines;
use crate::model::figure::{Figure, FigureKind, Labels};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::figures::read::SeriesQuery;
use crate::store::{Store, StoreError};

mod merged;
mod tables;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(series))
}

/// Points of one series at most.
const MOST: i64 = 11_000;
/// Steps when none is asked for, about.
const STEPS: i64 = 240;
const STEP_MIN_MS: i64 = 15_000;

/// A length of time such as `15s`, `1m`, `6h` or `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DurationParam(i64);

impl<'de> Deserialize<'de> for DurationParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let read = || {
            let unit =
                [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)].into_iter().find(|(unit, _)| text.ends_with(unit))?;
            let number = text.strip_suffix(unit.0)?;
            let number: i64 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
            number.checked_mul(unit.1).filter(|millis| (STEP_MIN_MS..=86_400_000 * 400).contains(millis))
        };
        read().map(Self).ok_or_else(|| D::Error::custom("not a length of time of at least 15s, such as 1m, 6h or 1d"))
    }
}

/// A figure by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FigureParam(Figure);

impl<'de> Deserialize<'de> for FigureParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            let names: Vec<&str> = Figure::ALL.iter().map(|figure| figure.as_str()).collect();
            D::Error::custom(format!("not the name of a figure; these are: {}", names.join(", ")))
        })
    }
}

/// Which samples.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeriesParams {
    /// Name of the figure.
    #[param(value_type = String)]
    figure: FigureParam,
    /// Share of durations, 0.5, 0.9, 0.95 or 0.99; for figures of durations, 0.95 unless told.
    quantile: Option<f64>,
    /// Only of this bus.
    bus: Option<String>,
    /// Only of this topic.
    topic: Option<String>,
    /// Only of this consumer group.
    consumer_group: Option<String>,
    /// Only of this service.
    service: Option<String>,
    /// Only of this operation.
    operation: Option<String>,
    /// Only of this failure group.
    fingerprint: Option<String>,
    /// Only of this status of a consumer group.
    status: Option<String>,
    /// Beginning, inclusive; an hour before `to` unless told.
    #[param(value_type = Option<String>)]
    from: Option<TimeParam>,
    /// End, exclusive; now unless told.
    #[param(value_type = Option<String>)]
    to: Option<TimeParam>,
    /// Length of a step, such as `1m`; about 240 steps unless told.
    #[param(value_type = Option<String>)]
    step: Option<DurationParam>,
    /// All series that fit as one, with the labels that were asked for: quantiles over several topics, groups or services cannot be made of
    /// theirs. Only for durations and for `spans_error_ratio`.
    #[serde(default)]
    merged: bool,
}

/// Samples of a figure.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct SeriesAnswer {
    /// The figure.
    #[schema(value_type = String)]
    figure: Figure,
    /// The unit of its numbers.
    unit: &'static str,
    /// Length of a step.
    step: String,
    /// Series with samples in the range.
    series: Vec<OneSeries>,
}

/// One series.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct OneSeries {
    /// What it is about.
    labels: BTreeMap<&'static str, String>,
    /// When a step begins, and its number; null where there was no sample. Levels show their highest, counts their rate; failure
    /// groups, outcomes of replays and lost records are few: how many.
    #[schema(value_type = Vec<(String, Option<f64>)>)]
    points: Vec<(Timestamp, Option<f64>)>,
}

/// Samples of a figure over time.
#[utoipa::path(get, path = "/series", tag = "figures", params(SeriesParams), responses((status = 200, body = SeriesAnswer), (status = 422, body = Problem)))]
async fn series(_: Viewer, State(state): State<WebState>, Query(asked): Query<SeriesParams>) -> Result<Json<SeriesAnswer>, Error> {
    let query = asked.query(Timestamp::now())?;
    let quantile = asked.quantile.unwrap_or(0.95);
    if !(0.0..=1.0).contains(&quantile) {
        return Err(Error::field("quantile", "is a share from 0 to 1."));
    }
    let rows = match query.figure {
        _ if asked.merged => vec![merged::read(state.store(), &query, quantile).await?],
        Figure::DeadLettersPerMinute => tables::arrivals(state.store(), &query).await?,
        Figure::FailureGroupsNew => tables::failure_groups(state.store(), FailureGroupEvent::New, &query).await?,
        Figure::FailureGroupsReturned => tables::failure_groups(state.store(), FailureGroupEvent::Returned, &query).await?,
        Figure::SpansErrorRatio => ratio(state.store(), &query, Figure::SpansPerSecond, Figure::SpanErrorsPerSecond).await?,
        Figure::ReplayFailedAgainRatio => ratio(state.store(), &query, Figure::ReplayOutcomes, Figure::ReplayFailures).await?,
        _ => numbers(state.store(), &query, quantile).await?,
    };
    let series = rows.into_iter().map(|(labels, values)| OneSeries {
        labels: labels.pairs().into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
        points: values.into_iter().enumerate().map(|(step, value)| (query.time_of(step), value)).collect(),
    });
    Ok(Json(SeriesAnswer {
        figure: query.figure,
        unit: query.figure.unit(),
        step: format!("{}s", query.step_ms / 1000),
        series: series.collect(),
    }))
}

impl SeriesParams {
    fn query(&self, now: Timestamp) -> Result<SeriesQuery, Error> {
        let to = self.to.map_or(now, |to| to.0);
        let from = self.from.map_or_else(|| Timestamp::from_millis(to.as_millis().saturating_sub(3_600_000)), |from| from.0);
        let length = to.as_millis().saturating_sub(from.as_millis());
        if length <= 0 {
            return Err(Error::field("from", "must lie before `to`."));
        }
        let step_ms = self.step.map_or_else(|| usual_step(length), |step| step.0);
        if length / step_ms > MOST {
            return Err(Error::field("step", format!("makes more than {MOST} points; ask for a longer step or a shorter time.")));
        }
        let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let labels = Labels {
            bus: text(&self.bus).map(BusId::new),
            topic: text(&self.topic).map(TopicName::new),
            consumer_group: text(&self.consumer_group).map(GroupName::new),
            service: text(&self.service),
            operation: text(&self.operation),
            fingerprint: text(&self.fingerprint),
            status: text(&self.status),
        };
        // Steps begin on round times, so that two requests have the same ones.
        let from = Timestamp::from_millis(from.as_millis().div_euclid(step_ms) * step_ms);
        Ok(SeriesQuery { figure: self.figure.0, labels, from, to, step_ms })
    }
}

fn usual_step(length: i64) -> i64 {
    const STEPS_MS: [i64; 8] = [STEP_MIN_MS, 60_000, 300_000, 900_000, 3_600_000, 10_800_000, 21_600_000, 86_400_000];
    STEPS_MS.into_iter().find(|step| length / step <= STEPS).unwrap_or(86_400_000 * 7)
}

type Row = (Labels, Vec<Option<f64>>);

async fn numbers(store: &Store, query: &SeriesQuery, quantile: f64) -> Result<Vec<Row>, StoreError> {
    let series = store.read_series(query).await?;
    Ok(series
        .into_iter()
        .map(|series| {
            let values = lines::numbers(query.figure, &series, quantile);
            (series.labels, values)
        })
        .collect())
}

/// Those that failed in all.
async fn ratio(store: &Store, query: &SeriesQuery, all: Figure, failed: Figure) -> Result<Vec<Row>, StoreError> {
    debug_assert_eq!(query.figure.kind(), FigureKind::Ratio);
    let all = numbers(store, &SeriesQuery { figure: all, ..query.clone() }, 0.5).await?;
    let failed = numbers(store, &SeriesQuery { figure: failed, ..query.clone() }, 0.5).await?;
    let failed: BTreeMap<Labels, Vec<Option<f64>>> = failed.into_iter().collect();
    let share = |all: Option<f64>, failed: Option<f64>| all.filter(|all| *all > 0.0).map(|all| failed.unwrap_or(0.0) / all);
    let ratio = |(labels, all): Row| {
        let failed = failed.get(&labels);
        let shares = all.iter().enumerate().map(|(at, all)| share(*all, failed.and_then(|failed| failed.get(at).copied().flatten())));
        let shares = shares.collect();
        (labels, shares)
    };
    Ok(all.into_iter().map(ratio).collect())
}
