//! What pages ask of alerts: counts for the frame, those that are over, when rules last fired, who changed a rule.

use super::{AlertRow, alerts};
use crate::model::alert::{Alert, Severity};
use crate::model::{Actor, AuditEntry, BusId, Cursor, Page, PageRequest, Timestamp};
use crate::store::indexing::id_list;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

macro_rules! alert_sql {
    ($tail:literal) => {
        concat!(
            "select id, rule_id, fingerprint, labels, standing, details, silenced_by, inhibited_by, acknowledged_by, acknowledged_at, \
             acknowledged_note, acknowledged_until, first_acknowledged_at from alerts ",
            $tail
        )
    };
}

statements! {
    const COUNTS = "select \
        (select count(*) from alerts where state <> 4 and state in (1, 2, 3) and (cast($1 as text) is null or bus = $1 or bus = '')), \
        (select count(*) from alerts where state = 2 and silenced_by is null and inhibited_by is null \
            and (cast($1 as text) is null or bus = $1 or bus = '')), \
        (select count(*) from alerts where state = 2 and silenced_by is null and inhibited_by is null \
            and severity <= 1 and (cast($1 as text) is null or bus = $1 or bus = '')), \
        (select count(*) from alert_rules), (select count(*) from silences where ends_at > $2), (select count(*) from receivers)";
    const OVER = alert_sql!(
        "where started_at is not null and resolved_at >= $1 and resolved_at <= $2 and (resolved_at < $2 or id < $3) \
        and (cast($4 as bigint) is null or rule_id = $4) and (cast($5 as smallint) is null or severity = $5) \
        and (cast($6 as text) is null or bus = $6 or bus = '') order by resolved_at desc, id desc limit $7"
    );
    const COUNT_OVER = "select count(*) from alerts where started_at is not null and resolved_at >= $1 and resolved_at < $2 \
        and (cast($3 as text) is null or bus = $3 or bus = '')";
    const THESE = alert_sql!("where id in (select cast(value as bigint) from json_each(cast($1 as text))) order by id");
    const SAME = alert_sql!("where fingerprint = $1 and id < $2 and started_at is not null order by id desc limit $3");
    const LAST_FIRED = "select rule_id, max(started_at) from alerts where started_at is not null group by rule_id";
    const CHANGES = "select id, occurred_at, actor, address, action, target, result from audit \
        where action > 'alert_rules.' and action < 'alert_rules/' and substr(target, 1, length(cast($1 as text))) = cast($1 as text) \
        order by occurred_at desc, id desc limit $2";
}

/// Counts for the frame around every page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// Alerts that are not over, those that nobody is told of among them.
    pub active: u64,
    /// Those that fire (what recovers does not count) and are neither silenced nor explained by another.
    pub firing: u64,
    /// Those of them that are critical or errors.
    pub grave: u64,
    /// Rules.
    pub rules: u64,
    /// Silences that have not ended.
    pub silences: u64,
    /// Receivers.
    pub receivers: u64,
}

/// Which alerts that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverFilter {
    /// Over since then.
    pub from: Option<Timestamp>,
    /// Of this rule.
    pub rule: Option<i64>,
    /// As bad as this.
    pub severity: Option<Severity>,
    /// Of this bus, or of none.
    pub bus: Option<BusId>,
}

type ChangeRow = (i64, i64, String, Option<String>, String, String, String);

impl Store {
    /// Counts for one bus (with what belongs to none), or for all.
    pub async fn count_alerts(&self, bus: Option<&BusId>, now: Timestamp) -> Result<AlertCounts, StoreError> {
        let bus = bus.map(|bus| clean(bus.as_str()));
        let (active, firing, grave, rules, silences, receivers): (i64, i64, i64, i64, i64, i64) =
            read!(self, |pool| sqlx::query_as(COUNTS).bind(&bus).bind(now.as_millis()).fetch_one(pool).await?)?;
        let count = i64::unsigned_abs;
        Ok(AlertCounts {
            active: count(active),
            firing: count(firing),
            grave: count(grave),
            rules: count(rules),
            silences: count(silences),
            receivers: count(receivers),
        })
    }

    /// Alerts that fired and are over, the last to end first; the cursor's key is when it ended.
    pub async fn list_over_alerts(&self, filter: &OverFilter, page: &PageRequest) -> Result<Page<Alert>, StoreError> {
        let before = page.cursor.as_ref().map_or((i64::MAX, i64::MAX), |cursor| (cursor.key, cursor.id));
        let rows: Vec<AlertRow> = read!(self, |pool| sqlx::query_as(OVER)
            .bind(filter.from.map_or(i64::MIN, Timestamp::as_millis))
            .bind(before.0)
            .bind(before.1)
            .bind(filter.rule)
            .bind(filter.severity.map(Severity::code))
            .bind(filter.bus.as_ref().map(|bus| clean(bus.as_str())))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(pool)
            .await?)?;
        let more = rows.len() > page.limit as usize;
        let items = alerts(rows.into_iter().take(page.limit as usize).collect())?;
        let ended = |alert: &Alert| alert.standing.resolved_at.map_or(i64::MAX, Timestamp::as_millis);
        let next_cursor = items.last().filter(|_| more).map(|last| Cursor { key: ended(last), id: last.number });
        Ok(Page { items, next_cursor })
    }

    /// How many alerts that had fired ended from `from` to before `to`, on a bus or on none.
    pub async fn count_over_alerts(&self, bus: Option<&BusId>, from: Timestamp, to: Timestamp) -> Result<u64, StoreError> {
        let bus = bus.map(|bus| clean(bus.as_str()));
        let (count,): (i64,) =
            read!(self, |pool| sqlx::query_as(COUNT_OVER).bind(from.as_millis()).bind(to.as_millis()).bind(&bus).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// Alerts by number; those that are gone are left out.
    pub async fn list_these_alerts(&self, numbers: &[i64]) -> Result<Vec<Alert>, StoreError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let list = id_list(numbers);
        alerts(read!(self, |pool| sqlx::query_as(THESE).bind(&list).fetch_all(pool).await?)?)
    }

    /// Earlier alerts of the same rule and labels that fired, the newest first.
    pub async fn list_earlier_alerts(&self, alert: &Alert, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let print = clean(&alert.fingerprint);
        alerts(read!(self, |pool| sqlx::query_as(SAME).bind(&print).bind(alert.number).bind(i64::from(limit)).fetch_all(pool).await?)?)
    }

    /// When each rule last fired, as far as alerts are kept.
    pub async fn last_fired(&self) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(LAST_FIRED).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(rule, at)| (rule, Timestamp::from_millis(at))).collect())
    }

    /// What the audit says of a rule, the newest first.
    pub async fn list_alert_rule_changes(&self, rule: i64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let target = format!("/alert-rules/{rule} ");
        let rows: Vec<ChangeRow> =
            read!(self, |pool| sqlx::query_as(CHANGES).bind(&target).bind(i64::from(limit)).fetch_all(pool).await?)?;
        let entry = |(id, at, actor, address, action, target, result): ChangeRow| AuditEntry {
            id,
            at: Timestamp::from_millis(at),
            actor: Actor { name: actor, address },
            action,
            target,
            count: None,
            result,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
