//! The outbox of notifications: what is to be sent to whom, how far it is, and a log of every attempt.
//!
//! Rows are written inside the transaction that decides what is told ([`Enqueue`]), so that neither a notification without a reason nor a
//! reason without its notification can stay behind a crash. Deliveries about one subject (an alert, or a group) go out in order, but that
//! a group's message that has failed holds up none after it: see [`work`].
//!
//! Whoever adds, claims, marks or sends again deliveries to a receiver takes that receiver's row first ([`TAKE`]; of several receivers in
//! the order of their ids), so that of several instances one after the other sees what waits, and none waits for rows that another holds.

use super::indexing::text_list;
use super::replays::json;
use super::rows::clean;
use super::{Store, StoreError};
use crate::lifecycle::failpoint;
use crate::model::delivery::{Attempt, Delivery, DeliveryFilter, DeliveryState};
use crate::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use crate::model::public_id::uuid_v7;
use crate::model::receiver::{ReceiverId, ReceiverKind};
use crate::model::{Cursor, Page, PageRequest, Timestamp};

mod rows;
pub mod work;

use rows::{AttemptRow, DeliveryRow, delivery_sql};

/// A delivery is given up when it has not arrived for so long.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_hours(24);

/// Deliveries that tell of some alerts: found by these, however many others there are.
macro_rules! list_about {
    ($column:literal) => {
        delivery_sql!(concat!(
            "where number in (select t.delivery from alerts a join delivery_alerts t on t.fingerprint = a.fingerprint \
                and t.started_at = a.started_at where ",
            $column,
            " = $5 and (cast($6 as bigint) is null or a.id = $6)) \
             and number < $1 and (cast($2 as bigint) is null or receiver_id = $2) and (cast($3 as smallint) is null or state = $3) \
             order by number desc limit $4"
        ))
    };
}

statements! {
    /// Changes nothing: on PostgreSQL the next who wants this receiver waits until the transaction ends. SQLite has one writer.
    const TAKE = "update receivers set kind = kind where id = $1 returning name, kind";
    const LAST_TOLD = "select told from deliveries where receiver_id = $1 and subject = $2 and told is not null order by number desc limit 1";
    /// Each alert is when it began, in twenty digits, and its fingerprint.
    const TELLS = "insert into delivery_alerts (fingerprint, started_at, delivery) \
        select distinct substr(e.value, 21), cast(substr(e.value, 1, 20) as bigint), d.number \
        from deliveries d, (select value from json_each(cast($2 as text))) e where d.id = $1 \
        on conflict (fingerprint, started_at, delivery) do nothing";
    const ADD = "insert into deliveries (id, receiver_id, receiver_name, kind, subject, told, reason, status, title, alerts, notification, state, \
        created_at, next_at, give_up_at, attempts, epoch, uncertain) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $12, $13, 0, 0, false)";
    /// What is told of a single alert goes out in order: what comes later does not wait for the next try of what has failed.
    const HURRY = "update deliveries set next_at = $3 where receiver_id = $1 and subject = $2 and ended_at is null and state = 3 and next_at > $3";
    const KEEP_PUSHED = "insert into pushed_alerts (receiver_id, fingerprint, alert, ended_at) values ($1, $2, $3, $4) \
        on conflict (receiver_id, fingerprint) do update set alert = excluded.alert, ended_at = excluded.ended_at";
    const LIST = delivery_sql!(
        "where number < $1 and (cast($2 as bigint) is null or receiver_id = $2) and (cast($3 as smallint) is null or state = $3) \
         order by number desc limit $4"
    );
    const LIST_OF_ALERT = list_about!("a.id");
    const LIST_OF_RULE = list_about!("a.rule_id");
    const FIND = delivery_sql!("where id = $1");
    const ATTEMPTS = "select attempt, started_at, took_ms, status, answer, error, next_at from delivery_attempts where delivery = $1 order by id";
    const COUNTS = "select receiver_id, count(*), cast(coalesce(sum(case when state = 2 then 1 else 0 end), 0) as bigint) \
        from deliveries where created_at >= $1 and state <> 5 group by receiver_id";
    const STATES = "select cast(coalesce(sum(case when state = 3 then 1 else 0 end), 0) as bigint), \
        cast(coalesce(sum(case when state = 4 and ended_at >= $1 then 1 else 0 end), 0) as bigint) from deliveries where state in (3, 4)";
    const PRUNE = "delete from deliveries where number in (select number from deliveries where ended_at < $1 order by ended_at limit $2)";
    const PRUNE_TELLS = "delete from delivery_alerts where delivery in \
        (select number from deliveries where ended_at < $1 order by ended_at limit $2)";
    const PRUNE_ATTEMPTS = "delete from delivery_attempts where delivery in \
        (select number from deliveries where ended_at < $1 order by ended_at limit $2)";
}

/// What arrived at a receiver of what was to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Receiver.
    pub receiver: ReceiverId,
    /// Deliveries made since.
    pub made: u64,
    /// Those of them that arrived.
    pub delivered: u64,
}

impl Store {
    /// Deliveries, newest first; the cursor's key is a number.
    pub async fn list_deliveries(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, StoreError> {
        let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let (receiver, state) = (filter.receiver.map(|id| id.0), filter.state.map(DeliveryState::code));
        let (statement, about, narrowed) = match (filter.rule, filter.alert) {
            (None, None) => (LIST, None, None),
            (None, Some(alert)) => (LIST_OF_ALERT, Some(alert), None),
            (Some(rule), alert) => (LIST_OF_RULE, Some(rule), alert),
        };
        let rows: Vec<DeliveryRow> = read!(self, |pool| {
            let query = sqlx::query_as(statement).bind(before).bind(receiver).bind(state).bind(i64::from(page.limit) + 1);
            let query = if let Some(about) = about { query.bind(about).bind(narrowed) } else { query };
            query.fetch_all(pool).await?
        })?;
        let more = rows.len() > page.limit as usize;
        let items: Vec<Delivery> = rows.into_iter().take(page.limit as usize).map(DeliveryRow::into_delivery).collect::<Result<_, _>>()?;
        let next_cursor = items.last().filter(|_| more).map(|last| Cursor { key: last.created_at.as_millis(), id: last.number });
        Ok(Page { items, next_cursor })
    }

    /// One delivery by its public id.
    pub async fn find_delivery(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        let row: Option<DeliveryRow> = read!(self, |pool| sqlx::query_as(FIND).bind(clean(id)).fetch_optional(pool).await?)?;
        row.map(DeliveryRow::into_delivery).transpose()
    }

    /// Its attempts, oldest first.
    pub async fn list_attempts(&self, number: i64) -> Result<Vec<Attempt>, StoreError> {
        let rows: Vec<AttemptRow> = read!(self, |pool| sqlx::query_as(ATTEMPTS).bind(number).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(AttemptRow::into_attempt).collect())
    }

    /// How many deliveries were made since, and arrived, by receiver; without those that later ones have superseded.
    pub async fn count_arrived(&self, since: Timestamp) -> Result<Vec<Arrived>, StoreError> {
        let rows: Vec<(i64, i64, i64)> = read!(self, |pool| sqlx::query_as(COUNTS).bind(since.as_millis()).fetch_all(pool).await?)?;
        let arrived = |(id, made, delivered): (i64, i64, i64)| Arrived {
            receiver: ReceiverId(id),
            made: made.unsigned_abs(),
            delivered: delivered.unsigned_abs(),
        };
        Ok(rows.into_iter().map(arrived).collect())
    }

    /// How many are being tried again, and how many were given up since.
    pub async fn count_troubled(&self, since: Timestamp) -> Result<(u64, u64), StoreError> {
        let (failed, given_up): (i64, i64) = read!(self, |pool| sqlx::query_as(STATES).bind(since.as_millis()).fetch_one(pool).await?)?;
        Ok((failed.unsigned_abs(), given_up.unsigned_abs()))
    }

    /// Writes deliveries of a notification in a transaction of their own; answers their ids. For what needs no other change: a test.
    pub async fn enqueue(&self, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(write_on!(self, put(notification, receivers, now)))
    }

    /// Removes at most `limit` deliveries that ended before `before`, with their attempts. Answers how many.
    pub async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(write_on!(self, prune(before, limit)))
    }
}

/// Writes the outbox inside the transaction that decides what is told.
pub(in crate::store) trait Enqueue {
    /// Adds deliveries to these receivers: one for each alert where a receiver takes alerts singly (without those whose state it was
    /// told already, unless this is a repeat), and one for the whole otherwise. Receivers that are gone are passed over. Answers the new
    /// ids.
    async fn enqueue(&mut self, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Takes a receiver until the transaction ends; `None` when it is gone.
    async fn take_receiver(&mut self, receiver: ReceiverId) -> Result<Option<(String, ReceiverKind)>, StoreError>;
}

impl Enqueue for sqlx::SqliteConnection {
    async fn enqueue(&mut self, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError> {
        on_sqlite::enqueue(self, notification, receivers, now).await
    }

    async fn take_receiver(&mut self, receiver: ReceiverId) -> Result<Option<(String, ReceiverKind)>, StoreError> {
        on_sqlite::take(self, receiver).await
    }
}

impl Enqueue for sqlx::PgConnection {
    async fn enqueue(&mut self, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError> {
        on_postgres::enqueue(self, notification, receivers, now).await
    }

    async fn take_receiver(&mut self, receiver: ReceiverId) -> Result<Option<(String, ReceiverKind)>, StoreError> {
        on_postgres::take(self, receiver).await
    }
}

/// One row of the outbox, before it is written.
struct Row<'a> {
    receiver: (ReceiverId, &'a str, ReceiverKind),
    subject: &'a str,
    told: Option<String>,
    notification: &'a Notification,
}

/// The state of an alert as a receiver was told it: told once.
fn told(kind: ReceiverKind, alert: &NotifiedAlert) -> String {
    known(kind, &format!("{} {}", alert.status.as_str(), alert.started_at.as_millis()))
}

/// A state as a kind of receivers knows it: what somebody has in hand fires for those that know no third state. Rows of before say
/// otherwise.
fn known(kind: ReceiverKind, state: &str) -> String {
    match state.split_once(' ') {
        Some(("acknowledged", since)) if !kind.knows_acknowledgements() => format!("{} {since}", NotifiedStatus::Firing.as_str()),
        _ => state.to_owned(),
    }
}

/// What one delivery to an Alertmanager holds: alerts, and bytes of them as they stand in the outbox. Proxies refuse bodies above 1 MB.
pub const MOST_AT_ONCE: usize = 500;
/// See [`MOST_AT_ONCE`].
pub const MOST_BYTES: usize = 512 * 1024;

/// Deliveries of one notification: an Alertmanager takes all alerts, many of them in parts, each tried again by itself. Other kinds
/// show what fits into one message and say how many there are.
fn parts(kind: ReceiverKind, notification: &Notification) -> Vec<Notification> {
    if kind == ReceiverKind::Alertmanager { notification.parts(MOST_AT_ONCE, MOST_BYTES) } else { vec![notification.clone()] }
}

engines! {
    pub(super) async fn put(tx: &mut Connection, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError> {
        tx.enqueue(notification, receivers, now).await
    }

    pub(in crate::store) async fn enqueue(tx: &mut Connection, notification: &Notification, receivers: &[ReceiverId], now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for receiver in receivers {
            let Some((name, kind)) = tx.take_receiver(*receiver).await? else { continue };
            let to = (*receiver, name.as_str(), kind);
            if kind == ReceiverKind::Alertmanager {
                keep_pushed(tx, *receiver, &notification.alerts).await?;
            }
            if !kind.one_per_alert() {
                for part in parts(kind, notification) {
                    ids.push(add(tx, Row { receiver: to, subject: &part.group_key, told: None, notification: &part }, now).await?);
                }
                continue;
            }
            if notification.reason == Reason::Acknowledged && !kind.knows_acknowledgements() {
                continue;
            }
            for alert in &notification.alerts {
                let state = told(kind, alert);
                if notification.reason != Reason::Repeat && was_told(tx, *receiver, &alert.fingerprint, kind, &state).await? {
                    continue;
                }
                let single = Notification { alerts: vec![alert.clone()], ..notification.clone() };
                ids.push(add(tx, Row { receiver: to, subject: &alert.fingerprint, told: Some(state), notification: &single }, now).await?);
            }
        }
        failpoint::pass("deliveries.before_commit");
        Ok(ids)
    }

    pub(super) async fn take(tx: &mut Connection, receiver: ReceiverId) -> Result<Option<(String, ReceiverKind)>, StoreError> {
        let found: Option<(String, i16)> = sqlx::query_as(TAKE).bind(receiver.0).fetch_optional(&mut *tx).await?;
        found.map(|(name, code)| Ok((name, super::super::receivers::kind(code)?))).transpose()
    }

    async fn was_told(tx: &mut Connection, receiver: ReceiverId, fingerprint: &str, kind: ReceiverKind, state: &str) -> Result<bool, StoreError> {
        let last: Option<(String,)> = sqlx::query_as(LAST_TOLD).bind(receiver.0).bind(clean(fingerprint)).fetch_optional(&mut *tx).await?;
        Ok(last.is_some_and(|(last,)| known(kind, &last) == state))
    }

    async fn add(tx: &mut Connection, row: Row<'_>, now: Timestamp) -> Result<String, StoreError> {
        if row.told.is_some() {
            sqlx::query(HURRY).bind(row.receiver.0.0).bind(clean(row.subject)).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        let id = uuid_v7(now).hyphenated().to_string();
        let first = row.notification.alerts.first();
        let has = |status| row.notification.alerts.iter().any(|alert| alert.status == status);
        let status = [NotifiedStatus::Firing, NotifiedStatus::Acknowledged].into_iter().find(|status| has(*status));
        let title = first.map_or("", |alert| if alert.summary.is_empty() { alert.rule.as_str() } else { alert.summary.as_str() });
        sqlx::query(ADD)
            .bind(&id)
            .bind(row.receiver.0.0)
            .bind(row.receiver.1)
            .bind(row.receiver.2.code())
            .bind(clean(row.subject))
            .bind(row.told)
            .bind(row.notification.reason.as_str())
            .bind(status.unwrap_or(NotifiedStatus::Resolved).as_str())
            .bind(clean(&title.chars().take(300).collect::<String>()))
            .bind(i32::try_from(row.notification.alerts.len()).unwrap_or(i32::MAX))
            .bind(clean(&json(row.notification)?))
            .bind(now.as_millis())
            .bind(now.plus(DEADLINE).as_millis())
            .execute(&mut *tx)
            .await?;
        let told = row.notification.alerts.iter();
        let told: Vec<String> =
            told.map(|alert| format!("{:020}{}", alert.started_at.as_millis().max(0), clean(&alert.fingerprint))).collect();
        let told = text_list(&told.iter().map(String::as_str).collect::<Vec<_>>());
        sqlx::query(TELLS).bind(&id).bind(told).execute(&mut *tx).await?;
        Ok(id)
    }

    async fn keep_pushed(tx: &mut Connection, receiver: ReceiverId, alerts: &[NotifiedAlert]) -> Result<(), StoreError> {
        for alert in alerts {
            let resolved = alert.status == NotifiedStatus::Resolved;
            sqlx::query(KEEP_PUSHED)
                .bind(receiver.0)
                .bind(clean(&alert.fingerprint))
                .bind(clean(&json(alert)?))
                .bind(alert.ended_at.filter(|_| resolved).map(Timestamp::as_millis))
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn prune(tx: &mut Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        for about in [PRUNE_ATTEMPTS, PRUNE_TELLS] {
            sqlx::query(about).bind(before.as_millis()).bind(i64::from(limit)).execute(&mut *tx).await?;
        }
        Ok(sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit)).execute(&mut *tx).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::{ReceiverKind, known};

    #[test]
    fn what_a_former_version_told_a_webhook_of_is_not_told_again() {
        assert_eq!(known(ReceiverKind::Webhook, "acknowledged 17"), "firing 17");
        assert_eq!(known(ReceiverKind::Pagerduty, "acknowledged 17"), "acknowledged 17");
        assert_eq!(known(ReceiverKind::Webhook, "resolved 17"), "resolved 17");
    }
}
