//! `/alert-rules/try`: what a rule would have done, beside what the saved one would have.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::super::super::WebState;
use super::super::super::error::{Error, Problem};
use super::super::super::extract::{Json as Body, TimeParam, Viewer};
use super::super::replays::duration;
use super::{RuleBody, parse_id};
use crate::alerts::history::{MOST_LOOKS, NotTried, Range, SAMPLE_MS, can_see_samples, coarse, try_rule as try_it, usual_step};
use crate::alerts::rule::check;
use crate::alerts::trying::Trial;
use crate::config::values::parse_duration;
use crate::model::Timestamp;
use crate::model::alert::Terms;
use crate::store::Store;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Whoever is told that another trial runs may come again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// Alerts that are listed one by one.
const LISTED: usize = 1_000;

/// A rule to be tried.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TryBody {
    /// The rule; it need not be saved.
    rule: RuleBody,
    /// Id of a saved rule to compare with.
    rule_id: Option<String>,
    /// Beginning, inclusive; a day before `to` unless told.
    #[schema(value_type = Option<String>)]
    from: Option<TimeParam>,
    /// End, exclusive; now unless told.
    #[schema(value_type = Option<String>)]
    to: Option<TimeParam>,
    /// Time between two looks, a minute or more; about 1,440 looks unless told, and whole hours beyond ten days. Levels over six hours at
    /// most of the last days are looked at sample by sample unless told, every 15 seconds, where that is not too much.
    step: Option<String>,
}

/// What the rule, and the saved one, would have done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TryAnswer {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Time between two looks.
    step: String,
    /// How far that differs from a rule that looks all the time, in words; null when it does not. From a minute on levels are judged by
    /// the worst of each step, so that the rule may have fired more often than is told here.
    coarse: Option<String>,
    tried: TrialShape,
    /// The saved rule, when one was named.
    saved: Option<TrialShape>,
}

/// What a rule would have done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TrialShape {
    /// How often it would have fired.
    fired: usize,
    /// Alerts that were watched, whether or not they would have fired.
    watched: usize,
    /// For how long alerts would have fired, added up.
    firing: String,
    /// The longest of them.
    longest: String,
    /// The alerts by the time they would have fired, 1,000 at most.
    alerts: Vec<EpisodeShape>,
}

/// One alert that there would have been.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EpisodeShape {
    labels: BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime)]
    pending_since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Null: it would fire still.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// The worst value in it.
    worst: Option<f64>,
}

/// Runs a rule over recorded history. Nothing is kept and nobody is told.
#[utoipa::path(post, path = "/alert-rules/try", tag = "alerts", request_body = TryBody,
    responses((status = 200, body = TryAnswer), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem, description = "another rule is being tried"),
        (status = 503, body = Problem, description = "it took too long, or the store does not answer")))]
pub(super) async fn try_rule(viewer: Viewer, State(state): State<WebState>, Body(body): Body<TryBody>) -> Result<Json<TryAnswer>, Error> {
    let rule = body.rule.parse().map_err(within_rule)?;
    if let Some(problem) = check(&rule.terms).into_iter().next() {
        return Err(Error::field(format!("rule.{}", problem.field), problem.text));
    }
    let saved = match &body.rule_id {
        Some(id) => Some(state.alerts().find_rule(parse_id(id)?).await?.terms),
        None => None,
    };
    let both: Vec<&Terms> = std::iter::once(&rule.terms).chain(&saved).collect();
    let kept = state.config().retention.raw;
    let can = |from, to| both.iter().all(|terms| can_see_samples(terms, (from, to), kept, viewer.now));
    let range = range(body.from, body.to, body.step.as_deref(), can, viewer.now)?;
    let (range, tried) = state.trials().run(try_all(state.store(), &both, range, body.step.is_none())).await.map_err(not_tried)?;
    let mut tried = tried.into_iter().map(TrialShape::new);
    let (Some(tried), saved) = (tried.next(), tried.next()) else { return Err(Error::Internal("nothing was tried".to_owned())) };
    let step = duration(range.step_ms.unsigned_abs());
    let coarse = coarse(&rule.terms, range.step_ms);
    Ok(Json(TryAnswer { from: range.from, to: range.to, step, coarse, tried, saved }))
}

/// Tries rules over the same time; `may_coarsen`: by the minute where samples are too much.
async fn try_all(store: &Store, rules: &[&Terms], range: Range, may_coarsen: bool) -> Result<(Range, Vec<Trial>), NotTried> {
    match try_each(store, rules, range).await {
        Err(NotTried::TooMuch { series, looks }) => {
            let coarser = range.by_minute().filter(|_| may_coarsen).ok_or(NotTried::TooMuch { series, looks })?;
            Ok((coarser, try_each(store, rules, coarser).await?))
        }
        tried => Ok((range, tried?)),
    }
}

async fn try_each(store: &Store, rules: &[&Terms], range: Range) -> Result<Vec<Trial>, NotTried> {
    let mut tried = Vec::new();
    for terms in rules {
        tried.push(try_it(store, terms, range).await?);
    }
    Ok(tried)
}

fn not_tried(error: NotTried) -> Error {
    match error {
        NotTried::TooMuch { .. } => Error::field("rule.filter", format!("{error}; name fewer series, or ask for a longer step")),
        NotTried::Busy => Error::TooMany(AGAIN),
        NotTried::TooLong => Error::Timeout,
        NotTried::Unread(error) => Error::Store(error),
    }
}

/// A field of the rule is one of `rule` here.
fn within_rule(error: Error) -> Error {
    match error {
        Error::Invalid { status, code, field: Some(field), text } => {
            Error::Invalid { status, code, field: Some(format!("rule.{field}")), text }
        }
        other => other,
    }
}

/// `can_see_samples`: whether that time can be looked at sample by sample.
fn range(
    from: Option<TimeParam>,
    to: Option<TimeParam>,
    step: Option<&str>,
    can_see_samples: impl Fn(Timestamp, Timestamp) -> bool,
    now: Timestamp,
) -> Result<Range, Error> {
    let to = to.map_or(now, |to| to.0).min(now);
    let from = from.map_or_else(|| Timestamp::from_millis(to.as_millis().saturating_sub(DAY_MS)), |from| from.0);
    let length = to.as_millis().saturating_sub(from.as_millis());
    if length <= 0 {
        return Err(Error::field("from", "from lies before to"));
    }
    let by_sample = can_see_samples(from, to);
    let step_ms = match step {
        None if by_sample => SAMPLE_MS,
        None => usual_step(length),
        Some(text) => {
            let millis = parse_duration(text).and_then(|step| i64::try_from(step.as_millis()).ok());
            let least = if by_sample { SAMPLE_MS } else { MINUTE_MS };
            let wrong = || Error::field("step", format!("step is a length of time of {} or more here", duration(least.unsigned_abs())));
            millis.filter(|millis| (least..=DAY_MS).contains(millis)).ok_or_else(wrong)?
        }
    };
    // Whole minutes, or samples: that is how far back samples are told apart.
    let unit = if step_ms < MINUTE_MS { SAMPLE_MS } else { MINUTE_MS };
    let step_ms = (step_ms + unit - 1) / unit * unit;
    if usize::try_from(length / step_ms).unwrap_or(usize::MAX) > MOST_LOOKS {
        return Err(Error::field("step", format!("makes more than {MOST_LOOKS} looks; ask for a longer step or a shorter time")));
    }
    let from = Timestamp::from_millis(from.as_millis().div_euclid(step_ms) * step_ms);
    let end = (to.as_millis() + unit - 1).div_euclid(step_ms) * step_ms;
    Ok(Range { from, to: Timestamp::from_millis(end.max(from.as_millis() + step_ms)), step_ms })
}

impl TrialShape {
    fn new(trial: Trial) -> Self {
        let length = |time: std::time::Duration| duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let (firing, longest, fired) = (length(trial.firing), length(trial.longest), trial.episodes.len());
        let alerts = trial.episodes.into_iter().take(LISTED).map(|episode| EpisodeShape {
            labels: episode.labels,
            pending_since: episode.pending_since,
            started_at: episode.started_at,
            ended_at: episode.ended_at,
            worst: episode.worst,
        });
        Self { fired, watched: trial.watched, firing, longest, alerts: alerts.collect() }
    }
}
