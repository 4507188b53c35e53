//! What one look at the figures has changed: states of alerts, groups, and the notifications of both, in one transaction. Whoever lost
//! the lease under which it looked writes nothing.

use std::collections::BTreeSet;

use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::model::alert::{Alert, Group, Told};
use crate::model::notification::Notification;
use crate::model::receiver::ReceiverId;
use crate::store::deliveries::Enqueue as _;
use crate::store::error::contradiction;
use crate::store::replays::json;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

statements! {
    /// Takes the row, so that nobody takes the lease before this transaction has ended.
    const HOLDS = "update leases set holder = holder where name = $1 and holder = $2 and epoch = $3";
    const ADD = "insert into alerts (rule_id, fingerprint, state, severity, bus, topic, consumer_group, labels, standing, details, \
        started_at, resolved_at, silenced_by, inhibited_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    const MOVE = "update alerts set state = $2, severity = $3, labels = $4, standing = $5, details = $6, started_at = $7, resolved_at = $8, \
        silenced_by = $9, inhibited_by = $10 where id = $1 and state <> 4";
    const REMOVE = "delete from alerts where id = $1 and state in (0, 1)";
    const GROUPS = "select key, labels, receivers, waiting_since, notified_at, told from alert_groups order by key";
    const KEEP_GROUP = "insert into alert_groups (key, labels, receivers, waiting_since, notified_at, told) values ($1, $2, $3, $4, $5, $6) \
        on conflict (key) do update set labels = excluded.labels, receivers = excluded.receivers, \
        waiting_since = excluded.waiting_since, notified_at = excluded.notified_at, told = excluded.told";
    const REMOVE_GROUP = "delete from alert_groups where key = $1";
}

/// The lease under which somebody looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Its name.
    pub lease: String,
    /// Who holds it.
    pub holder: String,
    /// Since which change of holders.
    pub epoch: i64,
}

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// New alerts; their numbers are ignored.
    pub added: Vec<Alert>,
    /// Alerts that stand otherwise now.
    pub moved: Vec<Alert>,
    /// Alerts that never fired and are none any more, by number.
    pub removed: Vec<i64>,
    /// Groups as they stand now.
    pub groups: Vec<Group>,
    /// Groups that can be forgotten, by key.
    pub spent: Vec<String>,
    /// What is to be told, and to whom.
    pub notifications: Vec<(Notification, Vec<ReceiverId>)>,
}

impl Round {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.moved.is_empty()
            && self.removed.is_empty()
            && self.groups.is_empty()
            && self.spent.is_empty()
            && self.notifications.is_empty()
    }
}

type GroupRow = (String, String, String, Option<i64>, Option<i64>, String);

impl Store {
    /// Groups of which somebody was told, or is to be.
    pub async fn list_alert_groups(&self) -> Result<Vec<Group>, StoreError> {
        let rows: Vec<GroupRow> = read!(self, |pool| sqlx::query_as(GROUPS).fetch_all(pool).await?)?;
        rows.into_iter().map(into_group).collect()
    }

    /// Writes a round. `false` when the lease is lost: nothing was written.
    pub async fn write_alert_round(&self, guard: Option<&Guard>, round: &Round, now: Timestamp) -> Result<bool, StoreError> {
        match &self.inner.db {
            crate::store::dialect::Db::Sqlite { write, .. } => {
                let mut transaction = self.inner.begin(write, "alerts").await?;
                let written = on_sqlite::write(&mut transaction, guard, round, now).await?;
                if written {
                    transaction.commit().await?;
                    failpoint::pass("alerts.after_commit");
                }
                Ok(written)
            }
            crate::store::dialect::Db::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                let written = on_postgres::write(&mut transaction, guard, round, now).await?;
                if written {
                    transaction.commit().await?;
                    failpoint::pass("alerts.after_commit");
                }
                Ok(written)
            }
        }
    }
}

fn into_group((key, labels, receivers, waiting_since, notified_at, told): GroupRow) -> Result<Group, StoreError> {
    let broken = |what: &str| contradiction(format!("{what} of the group of alerts {key}"));
    Ok(Group {
        labels: serde_json::from_str(&labels).map_err(|_| broken("labels"))?,
        receivers: serde_json::from_str(&receivers).map_err(|_| broken("receivers"))?,
        waiting_since: waiting_since.map(Timestamp::from_millis),
        notified_at: notified_at.map(Timestamp::from_millis),
        told: serde_json::from_str::<std::collections::BTreeMap<String, Told>>(&told).map_err(|_| broken("told"))?,
        key,
    })
}

/// Labels that lists ask for; `''` where an alert has none.
fn label<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.labels.get(name).map_or("", String::as_str)
}

engines! {
    pub(super) async fn write(tx: &mut Connection, guard: Option<&Guard>, round: &Round, now: Timestamp) -> Result<bool, StoreError> {
        if let Some(guard) = guard {
            let query = sqlx::query(HOLDS).bind(clean(&guard.lease)).bind(clean(&guard.holder)).bind(guard.epoch);
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
        }
        for number in &round.removed {
            sqlx::query(REMOVE).bind(*number).execute(&mut *tx).await?;
        }
        for alert in &round.moved {
            keep(tx, alert).await?;
        }
        for alert in &round.added {
            add(tx, alert).await?;
        }
        for group in &round.groups {
            keep_group(tx, group).await?;
        }
        for key in &round.spent {
            sqlx::query(REMOVE_GROUP).bind(clean(key)).execute(&mut *tx).await?;
        }
        let told: BTreeSet<ReceiverId> = round.notifications.iter().flat_map(|(_, receivers)| receivers).copied().collect();
        for receiver in told {
            tx.take_receiver(receiver).await?;
        }
        for (notification, receivers) in &round.notifications {
            tx.enqueue(notification, receivers, now).await?;
        }
        failpoint::pass("alerts.before_commit");
        Ok(true)
    }

    async fn add(tx: &mut Connection, alert: &Alert) -> Result<(), StoreError> {
        sqlx::query(ADD)
            .bind(alert.rule)
            .bind(clean(&alert.fingerprint))
            .bind(alert.standing.state.code())
            .bind(alert.details.severity.code())
            .bind(clean(label(alert, "bus")))
            .bind(clean(label(alert, "topic")))
            .bind(clean(label(alert, "consumer_group")))
            .bind(clean(&json(&alert.labels)?))
            .bind(clean(&json(&alert.standing)?))
            .bind(clean(&json(&alert.details)?))
            .bind(alert.standing.started_at.map(Timestamp::as_millis))
            .bind(alert.standing.resolved_at.map(Timestamp::as_millis))
            .bind(alert.silenced_by)
            .bind(alert.inhibited_by)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    async fn keep(tx: &mut Connection, alert: &Alert) -> Result<(), StoreError> {
        sqlx::query(MOVE)
            .bind(alert.number)
            .bind(alert.standing.state.code())
            .bind(alert.details.severity.code())
            .bind(clean(&json(&alert.labels)?))
            .bind(clean(&json(&alert.standing)?))
            .bind(clean(&json(&alert.details)?))
            .bind(alert.standing.started_at.map(Timestamp::as_millis))
            .bind(alert.standing.resolved_at.map(Timestamp::as_millis))
            .bind(alert.silenced_by)
            .bind(alert.inhibited_by)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    async fn keep_group(tx: &mut Connection, group: &Group) -> Result<(), StoreError> {
        sqlx::query(KEEP_GROUP)
            .bind(clean(&group.key))
            .bind(clean(&json(&group.labels)?))
            .bind(clean(&json(&group.receivers)?))
            .bind(group.waiting_since.map(Timestamp::as_millis))
            .bind(group.notified_at.map(Timestamp::as_millis))
            .bind(clean(&json(&group.told)?))
            .execute(&mut *tx)
            .await?;
        Ok(())
    }
}
