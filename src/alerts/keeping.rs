//! What people do with alerts: keep rules, take note, silence. Each act is in the audit and told to open pages.

use std::collections::BTreeMap;

use super::rule::{Problem, check, check_name};
use super::silences::{Matchers, labels_of};
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::alert::{Acknowledgement, Alert, AlertRule, AlertState, Matcher, Silence};
use crate::model::receiver::ReceiverId;
use crate::model::{Actor, AuditEntry, Timestamp};
use crate::store::alerts::rules::NewRule;
use crate::store::alerts::silences::NewSilence;
use crate::store::{Store, StoreError};

/// Characters of a note or a comment.
const LONGEST: usize = 1_000;

/// Keeps rules, acknowledgements and silences. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    store: Store,
    changes: Changes,
}

/// Why an act was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// There is no such rule, alert or silence; names the kind.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Problem),
    /// The alert is over, or was never acknowledged.
    #[error("{0}")]
    WrongState(&'static str),
    /// The store did not answer or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Alerts {
    /// On this store.
    #[must_use]
    pub const fn new(store: Store, changes: Changes) -> Self {
        Self { store, changes }
    }

    /// Everything that is wrong with a rule, its receivers included.
    pub async fn check_rule(&self, rule: &NewRule) -> Result<Vec<Problem>, StoreError> {
        let mut found: Vec<Problem> = check_name(&rule.name).into_iter().collect();
        found.extend(check(&rule.terms));
        if !rule.terms.receivers.is_empty() {
            let known = self.store.list_receivers().await?;
            if let Some(unknown) = rule.terms.receivers.iter().find(|id| !known.iter().any(|receiver| receiver.id == **id)) {
                found.push(Problem { field: "receivers".to_owned(), text: format!("there is no receiver {unknown}") });
            }
        }
        Ok(found)
    }

    /// Adds a rule.
    pub async fn add_rule(&self, rule: &NewRule, actor: &Actor, now: Timestamp) -> Result<AlertRule, AlertError> {
        self.refuse_wrong(rule).await?;
        let entry = entry(String::new(), actor, "alert_rules.add", now);
        let added = self.store.add_alert_rule(rule, &entry).await?;
        self.tell();
        Ok(added)
    }

    /// One rule.
    pub async fn find_rule(&self, number: i64) -> Result<AlertRule, AlertError> {
        self.store.find_alert_rule(number).await?.ok_or(AlertError::NotFound("alert rule"))
    }

    /// Changes a rule. Alerts that fire go on with it, as far as their labels stay.
    pub async fn change_rule(&self, number: i64, rule: &NewRule, actor: &Actor, now: Timestamp) -> Result<AlertRule, AlertError> {
        self.refuse_wrong(rule).await?;
        let entry = entry(rule_target(number, &rule.name), actor, "alert_rules.change", now);
        if !self.store.change_alert_rule(number, rule, &entry).await? {
            return Err(AlertError::NotFound("alert rule"));
        }
        self.tell();
        self.find_rule(number).await
    }

    /// Switches a rule on or off; off ends its alerts.
    pub async fn switch_rule(&self, number: i64, enabled: bool, actor: &Actor, now: Timestamp) -> Result<AlertRule, AlertError> {
        let rule = self.find_rule(number).await?;
        let action = if enabled { "alert_rules.switch_on" } else { "alert_rules.switch_off" };
        if rule.enabled != enabled {
            self.store.switch_alert_rule(number, enabled, &entry(rule_target(number, &rule.name), actor, action, now)).await?;
            self.tell();
        }
        self.find_rule(number).await
    }

    /// Removes a rule and ends its alerts; one that cannot be read as well.
    pub async fn remove_rule(&self, number: i64, actor: &Actor, now: Timestamp) -> Result<(), AlertError> {
        let name = self.store.find_alert_rule_name(number).await?.ok_or(AlertError::NotFound("alert rule"))?;
        let entry = entry(rule_target(number, &name), actor, "alert_rules.delete", now);
        if !self.store.remove_alert_rule(number, &entry).await? {
            return Err(AlertError::NotFound("alert rule"));
        }
        self.tell();
        Ok(())
    }

    /// Rules that tell nobody: they name no receiver that there is.
    pub async fn list_untold(&self) -> Result<Vec<AlertRule>, StoreError> {
        let known = self.store.list_receiver_ids().await?;
        let mut rules = self.store.list_alert_rules().await?;
        rules.retain(|rule| !rule.terms.receivers.iter().any(|id| known.contains(id)));
        Ok(rules)
    }

    /// How many rules name a receiver, and how many of them tell nobody without it.
    pub async fn count_telling(&self, receiver: ReceiverId) -> Result<(u64, u64), StoreError> {
        let mut others = self.store.list_receiver_ids().await?;
        others.remove(&receiver);
        let rules = self.store.list_alert_rules().await?;
        let naming: Vec<_> = rules.iter().map(|rule| &rule.terms.receivers).filter(|named| named.contains(&receiver)).collect();
        let alone = naming.iter().filter(|named| !named.iter().any(|id| others.contains(id))).count();
        Ok((naming.len() as u64, alone as u64))
    }

    /// Rules that tell nobody tell this receiver from now on. Answers how many there were.
    pub async fn tell_untold(&self, receiver: ReceiverId, actor: &Actor, now: Timestamp) -> Result<u64, AlertError> {
        let rules = self.list_untold().await?;
        for AlertRule { number, name, enabled, mut terms, .. } in rules.iter().cloned() {
            terms.receivers = vec![receiver];
            self.change_rule(number, &NewRule { name, enabled, terms }, actor, now).await?;
        }
        Ok(rules.len() as u64)
    }

    /// One alert.
    pub async fn find_alert(&self, number: i64) -> Result<Alert, AlertError> {
        let alert = self.store.find_alert(number).await?.filter(|alert| alert.standing.state != AlertState::Inactive);
        alert.ok_or(AlertError::NotFound("alert"))
    }

    /// Somebody takes note of an alert.
    pub async fn acknowledge(
        &self,
        number: i64,
        note: &str,
        expires_at: Option<Timestamp>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Alert, AlertError> {
        let alert = self.find_alert(number).await?;
        check_text("note", note)?;
        if expires_at.is_some_and(|at| at <= now) {
            return Err(problem("expires_at", "expires_at lies in the future").into());
        }
        let acknowledgement = Acknowledgement { by: actor.name.clone(), at: now, note: note.trim().to_owned(), expires_at };
        let entry = entry(alert_target(&alert), actor, "alerts.acknowledge", now);
        if !self.store.acknowledge_alert(number, &acknowledgement, &entry).await? {
            return Err(AlertError::WrongState("the alert is over: there is nothing to take note of"));
        }
        self.tell();
        self.find_alert(number).await
    }

    /// Takes an acknowledgement back.
    pub async fn take_back(&self, number: i64, actor: &Actor, now: Timestamp) -> Result<Alert, AlertError> {
        let alert = self.find_alert(number).await?;
        let entry = entry(alert_target(&alert), actor, "alerts.take_back", now);
        if !self.store.take_back_acknowledgement(number, &entry).await? {
            return Err(AlertError::WrongState("nobody has acknowledged this alert, or it is over"));
        }
        self.tell();
        self.find_alert(number).await
    }

    /// Adds a silence.
    pub async fn add_silence(&self, silence: &NewSilence, actor: &Actor, now: Timestamp) -> Result<Silence, AlertError> {
        check_silence(silence, now)?;
        let added = self.store.add_silence(silence, &entry(String::new(), actor, "silences.add", now)).await?;
        self.tell();
        Ok(added)
    }

    /// One silence.
    pub async fn find_silence(&self, number: i64) -> Result<Silence, AlertError> {
        self.store.find_silence(number).await?.ok_or(AlertError::NotFound("silence"))
    }

    /// Changes a silence.
    pub async fn change_silence(&self, number: i64, silence: &NewSilence, actor: &Actor, now: Timestamp) -> Result<Silence, AlertError> {
        check_silence(silence, now)?;
        let entry = entry(silence_target(number, &silence.comment), actor, "silences.change", now);
        if !self.store.change_silence(number, silence, &entry).await? {
            return Err(AlertError::NotFound("silence"));
        }
        self.tell();
        self.find_silence(number).await
    }

    /// Ends a silence now.
    pub async fn end_silence(&self, number: i64, actor: &Actor, now: Timestamp) -> Result<(), AlertError> {
        let silence = self.find_silence(number).await?;
        self.store.end_silence(number, &entry(silence_target(number, &silence.comment), actor, "silences.end", now)).await?;
        self.tell();
        Ok(())
    }

    /// Alerts, pending and firing ones, that matchers would cover now.
    pub async fn preview(&self, matchers: &[Matcher]) -> Result<Vec<Alert>, AlertError> {
        let matchers = Matchers::new(matchers)?;
        let living = self.store.list_living_alerts().await?.into_iter().filter(|alert| alert.standing.state != AlertState::Inactive);
        Ok(living.filter(|alert| matchers.cover(&labels_of(alert))).collect())
    }

    async fn refuse_wrong(&self, rule: &NewRule) -> Result<(), AlertError> {
        match self.check_rule(rule).await?.into_iter().next() {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    fn tell(&self) {
        self.changes.publish(Noun::Alerts);
        self.changes.publish(Noun::Audit);
    }
}

/// What "silence this" begins with: the alert and no other.
#[must_use]
pub fn matchers_of(alert: &Alert) -> Vec<Matcher> {
    use crate::model::alert::MatcherKind::Equal;
    let labels: BTreeMap<String, String> = alert.labels.clone();
    let own = labels.into_iter().map(|(label, value)| Matcher { label, operator: Equal, value });
    std::iter::once(Matcher { label: "rule".to_owned(), operator: Equal, value: alert.details.rule.clone() }).chain(own).collect()
}

fn check_silence(silence: &NewSilence, now: Timestamp) -> Result<(), Problem> {
    Matchers::new(&silence.matchers)?;
    check_text("comment", &silence.comment)?;
    if silence.comment.trim().is_empty() {
        return Err(problem("comment", "comment says why: somebody else will ask"));
    }
    if silence.ends_at <= silence.starts_at || silence.ends_at <= now {
        return Err(problem("ends_at", "ends_at lies in the future and after starts_at"));
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<(), Problem> {
    if text.chars().count() > LONGEST { Err(problem(field, "has 1,000 characters at most")) } else { Ok(()) }
}

fn problem(field: &str, text: &str) -> Problem {
    Problem { field: field.to_owned(), text: text.to_owned() }
}

fn rule_target(number: i64, name: &str) -> String {
    format!("/alert-rules/{number} ({name})")
}

fn silence_target(number: i64, comment: &str) -> String {
    format!("/silences/{number} ({comment})")
}

fn alert_target(alert: &Alert) -> String {
    format!("/alerts/{} ({})", alert.number, alert.details.rule)
}

fn entry(target: String, actor: &Actor, action: &str, at: Timestamp) -> AuditEntry {
    AuditEntry { id: 0, at, actor: actor.clone(), action: action.to_owned(), target, count: None, result: "done".to_owned() }
}
