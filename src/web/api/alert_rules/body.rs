//! A rule as a client writes it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::super::error::Error;
use crate::alerts::defaults::usual;
use crate::config::values::parse_duration;
use crate::model::alert::{BurnRate, Comparison, Filter, GroupBy, Label, NoData, Severity, Terms};
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;
use crate::store::alerts::rules::NewRule;

/// A rule.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct RuleBody {
    /// What it is called.
    pub(in crate::web) name: String,
    /// What is watched: the name of a figure.
    #[schema(value_type = String)]
    pub(in crate::web) figure: Figure,
    /// Share of durations, such as 0.99; for figures of durations, 0.95 unless told.
    pub(in crate::web) quantile: Option<f64>,
    /// Patterns that labels must fit, with `*`, `?` and `{a,b}`: `{"bus": "prod", "topic": "orders.*"}`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(in crate::web) filter: Filter,
    /// Each combination of these labels has an alert of its own; without any there is one alert.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(in crate::web) by: Vec<Label>,
    /// Over how long rates, shares, durations and events are taken; `5m` unless told. Of figures that are sampled, a long window is read
    /// again after a 720th of its length, at most a minute: `1h` every 5 s, `6h` every 30 s, `12h` and more every minute. The rule may fire
    /// and clear that much later.
    pub(in crate::web) window: Option<String>,
    /// Use of an error budget instead of a plain share.
    pub(in crate::web) burn_rate: Option<BurnRateBody>,
    /// `>` (the default), `>=`, `<` or `<=`.
    #[schema(value_type = Option<String>)]
    pub(in crate::web) comparison: Option<Comparison>,
    /// Beyond this it is bad; the factor, where there is a burn rate.
    pub(in crate::web) threshold: Option<f64>,
    /// Once it is bad, it is so until this is passed; the threshold unless told.
    pub(in crate::web) clear_threshold: Option<f64>,
    /// It must be bad for so long; `0s` unless told.
    #[serde(rename = "for")]
    pub(in crate::web) wait: Option<String>,
    /// It goes on for so long after it was last bad; `0s` unless told.
    pub(in crate::web) keep_firing_for: Option<String>,
    /// While there is no data: `keep` (the default), `alert` or `ok`.
    #[schema(value_type = Option<String>)]
    pub(in crate::web) no_data: Option<NoData>,
    /// After so long; `5m` unless told.
    pub(in crate::web) no_data_after: Option<String>,
    /// `critical`, `error`, `warning` (the default) or `info`.
    #[schema(value_type = Option<String>)]
    pub(in crate::web) severity: Option<Severity>,
    /// Labels of its alerts beside their own.
    #[serde(default)]
    pub(in crate::web) labels: BTreeMap<String, String>,
    /// Text for people, with placeholders such as `{topic}` and `{value}`.
    #[serde(default)]
    pub(in crate::web) summary: String,
    /// What to do.
    pub(in crate::web) runbook_url: Option<String>,
    /// Whose it is.
    pub(in crate::web) owner: Option<String>,
    /// Who is told: ids of receivers.
    #[serde(default)]
    pub(in crate::web) receivers: Vec<String>,
    /// What is told together: `rule`, `bus`, `topic`, `consumer_group`; `["rule", "bus"]` unless told.
    #[schema(value_type = Option<Vec<String>>)]
    pub(in crate::web) group_by: Option<Vec<GroupBy>>,
    /// How long the first notification of a group waits for others; `30s` unless told, and nothing where it is critical.
    pub(in crate::web) group_wait: Option<String>,
    /// Time between two notifications of a group; `5m` unless told.
    pub(in crate::web) group_interval: Option<String>,
    /// After this long without change it is told again; `4h` unless told.
    pub(in crate::web) repeat_interval: Option<String>,
    /// Whether it is switched on; on unless told.
    pub(in crate::web) enabled: Option<bool>,
}

/// Use of an error budget, over two windows.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct BurnRateBody {
    /// The share that is to go well, such as 0.999.
    pub(in crate::web) objective: f64,
    /// The long window, such as `1h`; it is read as seldom as any `window` of its length.
    pub(in crate::web) long: String,
    /// The short window, such as `5m`; a twelfth of the long one unless told.
    pub(in crate::web) short: Option<String>,
    /// The budget is used so many times faster than it may be, such as 14.4.
    pub(in crate::web) factor: f64,
    /// Fewer events than this in the long window say nothing; 1 unless told.
    pub(in crate::web) minimum_count: Option<u64>,
}

impl RuleBody {
    /// The rule that is meant; 422 with the field otherwise. What it says is checked when it is kept.
    pub(in crate::web) fn parse(self) -> Result<NewRule, Error> {
        let burn_rate = self.burn_rate.map(BurnRateBody::parse).transpose()?;
        let Some(threshold) = self.threshold.or(burn_rate.map(|burn| burn.factor)) else {
            return Err(Error::field("threshold", "threshold is missing"));
        };
        let usual = usual(self.figure, self.comparison.unwrap_or(Comparison::Above), threshold);
        let text = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let terms = Terms {
            quantile: self.quantile,
            filter: self.filter,
            by: self.by,
            window_ms: millis("window", self.window, usual.window_ms)?,
            threshold: burn_rate.map_or(threshold, |burn| burn.factor),
            burn_rate,
            clear_threshold: self.clear_threshold,
            for_ms: millis("for", self.wait, usual.for_ms)?,
            keep_firing_for_ms: millis("keep_firing_for", self.keep_firing_for, usual.keep_firing_for_ms)?,
            no_data: self.no_data.unwrap_or(usual.no_data),
            no_data_after_ms: millis("no_data_after", self.no_data_after, usual.no_data_after_ms)?,
            severity: self.severity.unwrap_or(usual.severity),
            labels: self.labels,
            summary: self.summary.trim().to_owned(),
            runbook_url: text(self.runbook_url),
            owner: text(self.owner),
            receivers: receivers(&self.receivers)?,
            group_by: self.group_by.unwrap_or(usual.group_by),
            group_wait_ms: millis("group_wait", self.group_wait, usual.group_wait_ms)?,
            group_interval_ms: millis("group_interval", self.group_interval, usual.group_interval_ms)?,
            repeat_interval_ms: millis("repeat_interval", self.repeat_interval, usual.repeat_interval_ms)?,
            figure: usual.figure,
            comparison: usual.comparison,
        };
        Ok(NewRule { name: self.name.trim().to_owned(), enabled: self.enabled.unwrap_or(true), terms })
    }
}

impl BurnRateBody {
    fn parse(self) -> Result<BurnRate, Error> {
        let long_ms = millis("burn_rate.long", Some(self.long), 0)?;
        let short_ms = millis("burn_rate.short", self.short, long_ms / 12)?;
        let minimum_count = self.minimum_count.unwrap_or(1);
        Ok(BurnRate { objective: self.objective, long_ms, short_ms, factor: self.factor, minimum_count })
    }
}

fn receivers(ids: &[String]) -> Result<Vec<ReceiverId>, Error> {
    let parse = |id: &String| id.parse().map_err(|_| Error::field("receivers", format!("there is no receiver {id:?}")));
    ids.iter().map(parse).collect()
}

fn millis(field: &'static str, text: Option<String>, usual: u64) -> Result<u64, Error> {
    let Some(text) = text else { return Ok(usual) };
    let duration = parse_duration(&text).ok_or_else(|| Error::field(field, format!("{field} is a length of time such as 90s or 5m")))?;
    Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
