//! Alert rules.

use crate::model::alert::{AlertRule, Terms};
use crate::model::{AuditEntry, Timestamp};
use crate::store::audit::RecordAudit as _;
use crate::store::replays::json;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

macro_rules! rule_sql {
    ($tail:literal) => {
        concat!("select id, name, enabled, terms, created_by, created_at, changed_at from alert_rules ", $tail)
    };
}

statements! {
    const ADD = "insert into alert_rules (name, enabled, terms, created_by, created_at, changed_at) values ($1, $2, $3, $4, $5, $5) returning id";
    const FIND = rule_sql!("where id = $1");
    const LIST = rule_sql!("order by id");
    const NAME = "select name from alert_rules where id = $1";
    const VERSIONS = "select count(*), cast(coalesce(sum(id), 0) as bigint), cast(coalesce(sum(changed_at), 0) as bigint) from alert_rules";
    const CHANGE = "update alert_rules set name = $2, enabled = $3, terms = $4, \
        changed_at = case when changed_at >= $5 then changed_at + 1 else $5 end where id = $1";
    const SWITCH = "update alert_rules set enabled = $2, changed_at = case when changed_at >= $3 then changed_at + 1 else $3 end where id = $1";
    const DELETE = "delete from alert_rules where id = $1";
    const ADDED = "insert into alert_rules_added (id, added_at) values (1, $1) on conflict (id) do nothing";
}

#[derive(sqlx::FromRow)]
struct RuleRow {
    id: i64,
    name: String,
    enabled: bool,
    terms: String,
    created_by: String,
    created_at: i64,
    changed_at: i64,
}

impl RuleRow {
    fn into_rule(self) -> Result<AlertRule, StoreError> {
        let terms: Terms = serde_json::from_str(&self.terms)
            .map_err(|error| StoreError::Broken(format!("the terms of alert rule {}: {error}", self.id)))?;
        Ok(AlertRule {
            number: self.id,
            name: self.name,
            enabled: self.enabled,
            terms,
            created_by: self.created_by,
            created_at: Timestamp::from_millis(self.created_at),
            changed_at: Timestamp::from_millis(self.changed_at),
        })
    }
}

/// A rule that this version cannot read: another one has written it, or it is damaged.
#[derive(Debug)]
pub struct UnreadableRule {
    /// Its number.
    pub number: i64,
    /// What people call it.
    pub name: String,
    /// Why it cannot be read.
    pub error: StoreError,
}

/// A rule before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRule {
    /// What people call it.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it says.
    pub terms: Terms,
}

impl Store {
    /// Adds a rule and says so in the audit.
    pub async fn add_alert_rule(&self, rule: &NewRule, entry: &AuditEntry) -> Result<AlertRule, StoreError> {
        let number = write_on!(self, add(rule, entry));
        self.find_alert_rule(number).await?.ok_or_else(|| StoreError::Broken("a rule that was just written is not there".to_owned()))
    }

    /// One rule.
    pub async fn find_alert_rule(&self, number: i64) -> Result<Option<AlertRule>, StoreError> {
        let row: Option<RuleRow> = read!(self, |pool| sqlx::query_as(FIND).bind(number).fetch_optional(pool).await?)?;
        row.map(RuleRow::into_rule).transpose()
    }

    /// All rules that can be read, oldest first.
    pub async fn list_alert_rules(&self) -> Result<Vec<AlertRule>, StoreError> {
        Ok(self.read_alert_rules().await?.0)
    }

    /// All rules, oldest first, and apart from them those that cannot be read: one of these must not keep the others from being watched.
    pub async fn read_alert_rules(&self) -> Result<(Vec<AlertRule>, Vec<UnreadableRule>), StoreError> {
        let rows: Vec<RuleRow> = read!(self, |pool| sqlx::query_as(LIST).fetch_all(pool).await?)?;
        let (mut rules, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let (number, name) = (row.id, row.name.clone());
            match row.into_rule() {
                Ok(rule) => rules.push(rule),
                Err(error) => unreadable.push(UnreadableRule { number, name, error }),
            }
        }
        Ok((rules, unreadable))
    }

    /// What people call a rule, whether or not the rest of it can be read.
    pub async fn find_alert_rule_name(&self, number: i64) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = read!(self, |pool| sqlx::query_as(NAME).bind(number).fetch_optional(pool).await?)?;
        Ok(row.map(|(name,)| name))
    }

    /// Differs whenever a rule was added, changed, switched or removed.
    pub async fn alert_rules_version(&self) -> Result<(i64, i64, i64), StoreError> {
        read!(self, |pool| sqlx::query_as(VERSIONS).fetch_one(pool).await?)
    }

    /// Changes a rule; `false` when there is no such rule.
    pub async fn change_alert_rule(&self, number: i64, rule: &NewRule, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, alter(number, rule, entry)))
    }

    /// Switches a rule on or off; `false` when there is no such rule.
    pub async fn switch_alert_rule(&self, number: i64, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, switch(number, enabled, entry)))
    }

    /// Removes a rule; its alerts end with the next look. `false` when there is no such rule.
    pub async fn remove_alert_rule(&self, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, remove(number, entry)))
    }

    /// Adds the rules that everybody starts with, once; `false` when that was done before.
    pub async fn add_first_alert_rules(&self, rules: &[NewRule], entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, add_first(rules, entry)))
    }
}

engines! {
    pub(super) async fn add(tx: &mut Connection, rule: &NewRule, entry: &AuditEntry) -> Result<i64, StoreError> {
        let (number,): (i64,) = sqlx::query_as(ADD)
            .bind(clean(&rule.name))
            .bind(rule.enabled)
            .bind(clean(&json(&rule.terms)?))
            .bind(clean(&entry.actor.name))
            .bind(entry.at.as_millis())
            .fetch_one(&mut *tx)
            .await?;
        let target = format!("/alert-rules/{number} ({})", rule.name);
        tx.record_audit(&AuditEntry { target, ..entry.clone() }).await?;
        Ok(number)
    }

    pub(super) async fn alter(tx: &mut Connection, number: i64, rule: &NewRule, entry: &AuditEntry) -> Result<bool, StoreError> {
        let query = sqlx::query(CHANGE)
            .bind(number)
            .bind(clean(&rule.name))
            .bind(rule.enabled)
            .bind(clean(&json(&rule.terms)?))
            .bind(entry.at.as_millis());
        let touched = query.execute(&mut *tx).await?.rows_affected();
        told(tx, touched, entry).await
    }

    pub(super) async fn switch(tx: &mut Connection, number: i64, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        let query = sqlx::query(SWITCH).bind(number).bind(enabled).bind(entry.at.as_millis());
        let touched = query.execute(&mut *tx).await?.rows_affected();
        told(tx, touched, entry).await
    }

    pub(super) async fn remove(tx: &mut Connection, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(DELETE).bind(number).execute(&mut *tx).await?.rows_affected();
        told(tx, touched, entry).await
    }

    pub(super) async fn add_first(tx: &mut Connection, rules: &[NewRule], entry: &AuditEntry) -> Result<bool, StoreError> {
        if sqlx::query(ADDED).bind(entry.at.as_millis()).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        for rule in rules {
            add(tx, rule, entry).await?;
        }
        Ok(true)
    }

    /// Whether something was touched; what the audit says of it goes with it.
    async fn told(tx: &mut Connection, touched: u64, entry: &AuditEntry) -> Result<bool, StoreError> {
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }
}
