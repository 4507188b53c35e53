//! Alerts from pending to resolved: lists, and who has taken note. [`rules`] and [`silences`] keep what people have decided,
//! [`history`] what pages ask, [`looks`] when rules were last looked at, [`round`] writes what a look at the figures has changed, with its notifications.

use std::collections::BTreeMap;

use super::audit::RecordAudit as _;
use super::error::contradiction;
use super::indexing::{id_list, text_list};
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::alert::{Acknowledgement, Alert, AlertState, Severity};
use crate::model::{AuditEntry, Cursor, Page, PageRequest, Timestamp};

pub mod history;
pub mod looks;
pub mod round;
pub mod rules;
pub mod silences;

macro_rules! alert_sql {
    ($tail:literal) => {
        concat!(
            "select id, rule_id, fingerprint, labels, standing, details, silenced_by, inhibited_by, acknowledged_by, acknowledged_at, \
             acknowledged_note, acknowledged_until, first_acknowledged_at from alerts ",
            $tail
        )
    };
}

/// Every statement about rules, alerts and silences.
pub(super) const ALL: [&[(&str, &str)]; 6] =
    [STATEMENTS, history::STATEMENTS, looks::STATEMENTS, round::STATEMENTS, rules::STATEMENTS, silences::STATEMENTS];

statements! {
    const LIVING = alert_sql!("where state <> 4 order by id");
    const FIND = alert_sql!("where id = $1");
    const ENDED = alert_sql!("where id in (select max(id) from alerts where state = 4 and fingerprint in \
        (select value from json_each(cast($1 as text))) group by fingerprint)");
    const LIST = alert_sql!(
        "where id < $1 and state in (select cast(value as bigint) from json_each(cast($2 as text))) \
        and (cast($3 as bigint) is null or rule_id = $3) and (cast($4 as smallint) is null or severity = $4) \
        and (cast($5 as text) is null or bus = $5) and (cast($6 as text) is null or topic = $6) \
        and (cast($7 as text) is null or consumer_group = $7) \
        and (cast($8 as bigint) is null or resolved_at is null or resolved_at >= $8) \
        and (cast($9 as bigint) is null or started_at < $9) \
        and (cast($10 as text) is null or fingerprint = $10) order by id desc limit $11"
    );
    const COUNTS = "select severity, count(*) from alerts where state in (2, 3) and silenced_by is null and inhibited_by is null group by severity";
    const ACKNOWLEDGE = "update alerts set acknowledged_by = $2, acknowledged_at = $3, acknowledged_note = $4, acknowledged_until = $5, \
        first_acknowledged_at = coalesce(first_acknowledged_at, $3) where id = $1 and state in (1, 2, 3)";
    const TAKE_BACK = "update alerts set acknowledged_by = null, acknowledged_at = null, acknowledged_note = null, \
        acknowledged_until = null where id = $1 and state <> 4 and acknowledged_by is not null";
    const FIGURES = "select rule_id, count(*), count(first_acknowledged_at), \
        cast(coalesce(sum(case when first_acknowledged_at > started_at then first_acknowledged_at - started_at else 0 end), 0) as bigint), \
        count(resolved_at), cast(coalesce(sum(resolved_at - started_at), 0) as bigint), max(id) from alerts \
        where started_at >= $1 and started_at < $2 group by rule_id order by 2 desc, 1";
    const NAMES = "select id, details from alerts where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const PRUNE = "delete from alerts where id in (select id from alerts where resolved_at < $1 order by resolved_at limit $2)";
}

/// What a list of alerts is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Any of these; none is any.
    pub states: Vec<AlertState>,
    /// Of this rule.
    pub rule: Option<i64>,
    /// As bad as this.
    pub severity: Option<Severity>,
    /// Of this rule about the same.
    pub fingerprint: Option<String>,
    /// Of this bus.
    pub bus: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this consumer group.
    pub consumer_group: Option<String>,
    /// Not over before.
    pub from: Option<Timestamp>,
    /// Fired before.
    pub to: Option<Timestamp>,
}

/// What a rule's alerts came to in a range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertFigures {
    /// Number of the rule.
    pub rule: i64,
    /// Its name, as the newest alert has it.
    pub name: String,
    /// Alerts that fired.
    pub fired: u64,
    /// Those that somebody has taken note of.
    pub acknowledged: u64,
    /// The time from firing to taking note, on average.
    pub acknowledge: Option<std::time::Duration>,
    /// Those that are over.
    pub resolved: u64,
    /// The time from firing to the end, on average.
    pub resolve: Option<std::time::Duration>,
}

#[derive(sqlx::FromRow)]
struct AlertRow {
    id: i64,
    rule_id: i64,
    fingerprint: String,
    labels: String,
    standing: String,
    details: String,
    silenced_by: Option<i64>,
    inhibited_by: Option<i64>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<i64>,
    acknowledged_note: Option<String>,
    acknowledged_until: Option<i64>,
    first_acknowledged_at: Option<i64>,
}

impl AlertRow {
    fn into_alert(self) -> Result<Alert, StoreError> {
        let broken = |what: &str| contradiction(format!("{what} of alert {}", self.id));
        let acknowledgement = match (self.acknowledged_by, self.acknowledged_at) {
            (Some(by), Some(at)) => Some(Acknowledgement {
                by,
                at: Timestamp::from_millis(at),
                note: self.acknowledged_note.unwrap_or_default(),
                expires_at: self.acknowledged_until.map(Timestamp::from_millis),
            }),
            _ => None,
        };
        Ok(Alert {
            number: self.id,
            rule: self.rule_id,
            labels: serde_json::from_str(&self.labels).map_err(|_| broken("labels"))?,
            standing: serde_json::from_str(&self.standing).map_err(|_| broken("standing"))?,
            details: serde_json::from_str(&self.details).map_err(|_| broken("details"))?,
            fingerprint: self.fingerprint,
            acknowledgement,
            first_acknowledged_at: self.first_acknowledged_at.map(Timestamp::from_millis),
            silenced_by: self.silenced_by,
            inhibited_by: self.inhibited_by,
        })
    }
}

fn alerts(rows: Vec<AlertRow>) -> Result<Vec<Alert>, StoreError> {
    rows.into_iter().map(AlertRow::into_alert).collect()
}

impl Store {
    /// Alerts that are not over, oldest first, with those that are watched for missing data.
    pub async fn list_living_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        alerts(read!(self, |pool| sqlx::query_as(LIVING).fetch_all(pool).await?)?)
    }

    /// One alert.
    pub async fn find_alert(&self, number: i64) -> Result<Option<Alert>, StoreError> {
        let row: Option<AlertRow> = read!(self, |pool| sqlx::query_as(FIND).bind(number).fetch_optional(pool).await?)?;
        row.map(AlertRow::into_alert).transpose()
    }

    /// The newest alert of each of these fingerprints, where it is over.
    pub async fn list_ended_alerts(&self, fingerprints: &[&str]) -> Result<Vec<Alert>, StoreError> {
        if fingerprints.is_empty() {
            return Ok(Vec::new());
        }
        let list = text_list(fingerprints);
        alerts(read!(self, |pool| sqlx::query_as(ENDED).bind(&list).fetch_all(pool).await?)?)
    }

    /// Alerts, newest first; the cursor's key is a number.
    pub async fn list_alerts(&self, filter: &AlertFilter, page: &PageRequest) -> Result<Page<Alert>, StoreError> {
        let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let states = if filter.states.is_empty() { AlertState::ALL } else { &filter.states };
        let states = id_list(&states.iter().map(|state| i64::from(state.code())).collect::<Vec<_>>());
        let text = |value: &Option<String>| value.as_deref().map(clean);
        let rows: Vec<AlertRow> = read!(self, |pool| sqlx::query_as(LIST)
            .bind(before)
            .bind(&states)
            .bind(filter.rule)
            .bind(filter.severity.map(Severity::code))
            .bind(text(&filter.bus))
            .bind(text(&filter.topic))
            .bind(text(&filter.consumer_group))
            .bind(filter.from.map(Timestamp::as_millis))
            .bind(filter.to.map(Timestamp::as_millis))
            .bind(text(&filter.fingerprint))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(pool)
            .await?)?;
        let more = rows.len() > page.limit as usize;
        let items = alerts(rows.into_iter().take(page.limit as usize).collect())?;
        let next_cursor = items.last().filter(|_| more).map(|last| Cursor { key: last.number, id: last.number });
        Ok(Page { items, next_cursor })
    }

    /// How many alerts fire now that are not muted, by how bad they are.
    pub async fn count_firing(&self) -> Result<BTreeMap<Severity, u64>, StoreError> {
        let rows: Vec<(i16, i64)> = read!(self, |pool| sqlx::query_as(COUNTS).fetch_all(pool).await?)?;
        let count = |(code, count): (i16, i64)| {
            let severity = Severity::from_code(code).ok_or_else(|| contradiction(format!("severity {code}")))?;
            Ok((severity, count.unsigned_abs()))
        };
        rows.into_iter().map(count).collect()
    }

    /// Somebody takes note of an alert; `false` when there is none that is not over.
    pub async fn acknowledge_alert(&self, number: i64, note: &Acknowledgement, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, acknowledge(number, note, entry)))
    }

    /// Takes an acknowledgement back; `false` when there is none.
    pub async fn take_back_acknowledgement(&self, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, take_back(number, entry)))
    }

    /// What each rule's alerts came to that fired from `from` to before `to`, the rule with most first.
    pub async fn alert_figures(&self, from: Timestamp, to: Timestamp) -> Result<Vec<AlertFigures>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, i64, i64);
        let rows: Vec<Row> =
            read!(self, |pool| sqlx::query_as(FIGURES).bind(from.as_millis()).bind(to.as_millis()).fetch_all(pool).await?)?;
        let newest = id_list(&rows.iter().map(|row| row.6).collect::<Vec<_>>());
        let names: Vec<(i64, String)> = read!(self, |pool| sqlx::query_as(NAMES).bind(&newest).fetch_all(pool).await?)?;
        let names: BTreeMap<i64, String> = names.into_iter().collect();
        let average = |sum: i64, count: i64| {
            let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
            Some(std::time::Duration::from_millis(u64::try_from(sum).unwrap_or(0) / count))
        };
        let figures = |(rule, fired, acknowledged, acknowledge, resolved, resolve, newest): Row| {
            let details: crate::model::alert::Details = names
                .get(&newest)
                .and_then(|details| serde_json::from_str(details).ok())
                .ok_or_else(|| contradiction(format!("details of alert {newest}")))?;
            Ok(AlertFigures {
                rule,
                name: details.rule,
                fired: fired.unsigned_abs(),
                acknowledged: acknowledged.unsigned_abs(),
                acknowledge: average(acknowledge, acknowledged),
                resolved: resolved.unsigned_abs(),
                resolve: average(resolve, resolved),
            })
        };
        rows.into_iter().map(figures).collect()
    }

    /// Removes at most `limit` alerts that were over before `before`.
    pub async fn prune_alerts(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }
}

engines! {
    pub(super) async fn acknowledge(tx: &mut Connection, number: i64, note: &Acknowledgement, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(ACKNOWLEDGE)
            .bind(number)
            .bind(clean(&note.by))
            .bind(note.at.as_millis())
            .bind(clean(&note.note))
            .bind(note.expires_at.map(Timestamp::as_millis))
            .execute(&mut *tx)
            .await?
            .rows_affected();
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }

    pub(super) async fn take_back(tx: &mut Connection, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(TAKE_BACK).bind(number).execute(&mut *tx).await?.rows_affected();
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }
}
