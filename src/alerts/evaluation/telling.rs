//! From alerts to notifications: which group each belongs to, and what is told of it now.

use std::collections::{BTreeMap, HashMap};

use super::Round;
use crate::alerts::grouping::{Member, Telling, group_of};
use crate::alerts::way::address;
use crate::model::Timestamp;
use crate::model::alert::{Alert, AlertState, Group, Severity};
use crate::model::notification::{Notification, NotifiedAlert, NotifiedStatus};
use crate::store::{Store, StoreError};

/// A group with its alerts.
struct Gathered {
    group: Group,
    before: Option<Group>,
    members: BTreeMap<String, Alert>,
}

/// Decides what is told. `alerts` are those that are not over, and those that ended now.
pub(super) async fn tell(store: &Store, base: &str, alerts: &[Alert], known: Vec<Group>, now: Timestamp) -> Result<Round, StoreError> {
    let mut gathered: BTreeMap<String, Gathered> = BTreeMap::new();
    for group in known {
        gathered.insert(group.key.clone(), Gathered { before: Some(group.clone()), group, members: BTreeMap::new() });
    }
    for alert in alerts.iter().filter(|alert| alert.standing.state.is_firing() && !alert.details.receivers.is_empty()) {
        let group = group_of(alert.rule, &alert.details, &alert.labels);
        let of = gathered.entry(group.key.clone()).or_insert_with(|| Gathered { group, before: None, members: BTreeMap::new() });
        of.members.insert(alert.fingerprint.clone(), alert.clone());
    }
    add_ended(store, alerts, &mut gathered).await?;
    let mut round = Round::default();
    for mut of in gathered.into_values() {
        let members: Vec<Member> = of.members.values().map(|alert| member(alert, now)).collect();
        let interval = members.iter().map(|member| member.interval_ms).min().unwrap_or(USUAL_INTERVAL_MS);
        for telling in of.group.decide(&members, now) {
            round.notifications.push((notification(base, &of, telling, now), of.group.receivers.clone()));
        }
        let is_spent = members.iter().all(|member| !member.firing) && of.group.is_spent(interval, now);
        match of.before {
            Some(_) if is_spent => round.spent.push(of.group.key),
            Some(before) if before == of.group => {}
            None if is_spent => {}
            _ => round.groups.push(of.group),
        }
    }
    Ok(round)
}

/// A distance is kept this long where nobody is left who knows another.
const USUAL_INTERVAL_MS: u64 = 300_000;

/// Alerts that receivers believe to fire, and that are over.
async fn add_ended(store: &Store, alerts: &[Alert], gathered: &mut BTreeMap<String, Gathered>) -> Result<(), StoreError> {
    let ended_now: HashMap<&str, &Alert> = alerts
        .iter()
        .filter(|alert| alert.standing.state == AlertState::Resolved)
        .map(|alert| (alert.fingerprint.as_str(), alert))
        .collect();
    let mut unknown = Vec::new();
    for of in gathered.values_mut() {
        let silent: Vec<String> = of.group.told.keys().filter(|print| !of.members.contains_key(*print)).cloned().collect();
        for print in silent {
            match ended_now.get(print.as_str()) {
                Some(alert) => {
                    of.members.insert(print, (*alert).clone());
                }
                None => unknown.push(print),
            }
        }
    }
    let prints: Vec<&str> = unknown.iter().map(String::as_str).collect();
    let ended: HashMap<String, Alert> =
        store.list_ended_alerts(&prints).await?.into_iter().map(|alert| (alert.fingerprint.clone(), alert)).collect();
    for of in gathered.values_mut() {
        let silent: Vec<&Alert> =
            of.group.told.keys().filter(|print| !of.members.contains_key(*print)).filter_map(|print| ended.get(print)).collect();
        for alert in silent {
            of.members.insert(alert.fingerprint.clone(), alert.clone());
        }
    }
    Ok(())
}

fn member(alert: &Alert, now: Timestamp) -> Member {
    let critical = alert.details.severity == Severity::Critical;
    Member {
        fingerprint: alert.fingerprint.clone(),
        firing: alert.standing.state.is_firing(),
        acknowledged: alert.is_acknowledged(now),
        muted: alert.is_muted(),
        urgent: critical || alert.details.group_wait_ms == 0,
        wait_ms: if critical { 0 } else { alert.details.group_wait_ms },
        interval_ms: alert.details.group_interval_ms,
        repeat_ms: alert.details.repeat_interval_ms,
    }
}

fn notification(base: &str, of: &Gathered, telling: Telling, now: Timestamp) -> Notification {
    let told = |(print, status): (String, NotifiedStatus)| of.members.get(&print).map(|alert| notified(base, alert, status, now));
    let mut alerts: Vec<NotifiedAlert> = telling.alerts.into_iter().filter_map(told).collect();
    alerts.sort_by_key(|alert| (alert.status.order(), alert.severity));
    Notification { group_key: of.group.key.clone(), reason: telling.reason, at: now, group_labels: of.group.labels.clone(), alerts }
}

fn notified(base: &str, alert: &Alert, status: NotifiedStatus, now: Timestamp) -> NotifiedAlert {
    let details = &alert.details;
    NotifiedAlert {
        fingerprint: alert.fingerprint.clone(),
        status,
        rule: details.rule.clone(),
        severity: details.severity,
        labels: alert.labels.clone(),
        value: alert.standing.last_value,
        threshold: details.threshold,
        unit: details.unit.clone(),
        summary: details.summary.clone(),
        started_at: alert.standing.started_at.unwrap_or(now),
        ended_at: alert.standing.resolved_at.filter(|_| status == NotifiedStatus::Resolved),
        url: address(base, alert),
        runbook_url: details.runbook_url.clone(),
        owner: details.owner.clone(),
    }
}
