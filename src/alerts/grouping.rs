//! Who is told what together, and when: a group's first notification waits for others that belong to it, later ones keep a distance,
//! and what goes on is told again after a while. A function of what was told, of how the alerts stand, and of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::model::Timestamp;
use crate::model::alert::{Details, Group, GroupBy, Label, Told};
use crate::model::notification::{NotifiedStatus, Reason};

/// An alert of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Member {
    /// Which; of two with the same fingerprint only the newer is a member.
    pub fingerprint: String,
    /// Whether it fires; else it is over.
    pub firing: bool,
    /// Whether somebody has it in hand.
    pub acknowledged: bool,
    /// Whether it is silenced or explained by another.
    pub muted: bool,
    /// Whether it cannot wait for others.
    pub urgent: bool,
    /// How long the first notification waits, in milliseconds.
    pub wait_ms: u64,
    /// Time between two notifications, in milliseconds.
    pub interval_ms: u64,
    /// After so long it is told again, in milliseconds.
    pub repeat_ms: u64,
}

/// One notification to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Why.
    pub reason: Reason,
    /// Fingerprints of the alerts that it is about, and what is told of each: first what has changed, then how the others stand.
    pub alerts: Vec<(String, NotifiedStatus)>,
}

/// The group that an alert belongs to, with nothing told yet. `rule` is the number of its rule.
#[must_use]
pub fn group_of(rule: i64, details: &Details, labels: &BTreeMap<String, String>) -> Group {
    let mut receivers = details.receivers.clone();
    receivers.sort_unstable();
    receivers.dedup();
    let mut key = String::from("to");
    for receiver in &receivers {
        let _ = write!(key, " {receiver}");
    }
    let mut own = BTreeMap::new();
    let mut by = details.group_by.clone();
    by.sort_unstable();
    for by in by {
        let label = match by {
            GroupBy::Rule => {
                let _ = write!(key, " rule={rule}");
                own.insert("rule".to_owned(), details.rule.clone());
                continue;
            }
            GroupBy::Bus => Label::Bus,
            GroupBy::Topic => Label::Topic,
            GroupBy::ConsumerGroup => Label::ConsumerGroup,
        };
        if let Some(value) = labels.get(label.as_str()) {
            let _ = write!(key, " {label}={value:?}");
            own.insert(label.as_str().to_owned(), value.clone());
        }
    }
    Group { key, labels: own, receivers, waiting_since: None, notified_at: None, told: BTreeMap::new() }
}

impl Group {
    /// What is to be told now. `members` are all alerts of the group that fire, and those that were told and are over.
    #[must_use]
    pub fn decide(&mut self, members: &[Member], now: Timestamp) -> Vec<Telling> {
        // After the clock went back nobody waits for it to come again.
        self.notified_at = self.notified_at.map(|at| at.min(now));
        self.waiting_since = self.waiting_since.map(|at| at.min(now));
        let members_of: BTreeSet<&str> = members.iter().map(|member| member.fingerprint.as_str()).collect();
        self.told.retain(|fingerprint, _| members_of.contains(fingerprint.as_str()));
        let mut tellings: Vec<Telling> = self.changes(members, now).into_iter().collect();
        tellings.extend(self.acknowledged(members));
        tellings.extend(self.again(members, now));
        tellings
    }

    /// Whether it can be forgotten: nothing is told, nothing waits, and no distance must be kept.
    #[must_use]
    pub fn is_spent(&self, interval_ms: u64, now: Timestamp) -> bool {
        self.told.is_empty() && self.waiting_since.is_none() && self.notified_at.is_none_or(|at| passed(at, interval_ms, now))
    }

    fn changes(&mut self, members: &[Member], now: Timestamp) -> Option<Telling> {
        let new: Vec<&Member> = members.iter().filter(|m| m.firing && !m.muted && !self.told.contains_key(&m.fingerprint)).collect();
        let over: Vec<&Member> = members.iter().filter(|m| !m.firing && self.told.contains_key(&m.fingerprint)).collect();
        if new.is_empty() && over.is_empty() {
            self.waiting_since = None;
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let (first, all_over) = (self.told.is_empty(), new.is_empty() && over.len() == self.told.len());
        let wait = if first { new.iter().map(|m| m.wait_ms).min().unwrap_or(0) } else { 0 };
        let interval = members.iter().map(|m| m.interval_ms).min().unwrap_or(0);
        let due = passed(since, wait, now) && self.notified_at.is_none_or(|at| passed(at, interval, now));
        if !due && !all_over && !new.iter().chain(&over).any(|m| m.urgent) {
            return None;
        }
        let reason = if first {
            Reason::First
        } else if all_over {
            Reason::AllResolved
        } else if new.is_empty() {
            Reason::SomeResolved
        } else {
            Reason::NewAlerts
        };
        let mut alerts: Vec<(String, NotifiedStatus)> = Vec::with_capacity(new.len() + over.len());
        for member in new {
            let told = if member.acknowledged { Told::Acknowledged } else { Told::Firing };
            self.told.insert(member.fingerprint.clone(), told);
            alerts.push((member.fingerprint.clone(), status(told)));
        }
        for member in over {
            self.told.remove(&member.fingerprint);
            alerts.push((member.fingerprint.clone(), NotifiedStatus::Resolved));
        }
        // A message about the whole group says how the others stand.
        let said: BTreeSet<String> = alerts.iter().map(|(fingerprint, _)| fingerprint.clone()).collect();
        let others = self.told.iter().filter(|(fingerprint, _)| !said.contains(*fingerprint));
        alerts.extend(others.map(|(fingerprint, told)| (fingerprint.clone(), status(*told))));
        (self.waiting_since, self.notified_at) = (None, Some(now));
        Some(Telling { reason, alerts })
    }

    /// What somebody has taken note of since it was told.
    fn acknowledged(&mut self, members: &[Member]) -> Option<Telling> {
        let mut alerts = Vec::new();
        for member in members.iter().filter(|m| m.firing && m.acknowledged && !m.muted) {
            if let Some(told @ Told::Firing) = self.told.get_mut(&member.fingerprint) {
                *told = Told::Acknowledged;
                alerts.push((member.fingerprint.clone(), NotifiedStatus::Acknowledged));
            }
        }
        (!alerts.is_empty()).then_some(Telling { reason: Reason::Acknowledged, alerts })
    }

    /// What goes on and nobody has in hand: after the time of the rule, or at once when an acknowledgement has ended.
    fn again(&mut self, members: &[Member], now: Timestamp) -> Option<Telling> {
        let repeat = members.iter().map(|m| m.repeat_ms).min().unwrap_or(u64::MAX);
        let due = self.notified_at.is_some_and(|at| passed(at, repeat, now));
        let mut alerts = Vec::new();
        for member in members.iter().filter(|m| m.firing && !m.acknowledged && !m.muted) {
            if let Some(told) = self.told.get_mut(&member.fingerprint)
                && (due || *told == Told::Acknowledged)
            {
                *told = Told::Firing;
                alerts.push((member.fingerprint.clone(), NotifiedStatus::Firing));
            }
        }
        if alerts.is_empty() {
            return None;
        }
        self.notified_at = Some(now);
        Some(Telling { reason: Reason::Repeat, alerts })
    }
}

const fn status(told: Told) -> NotifiedStatus {
    match told {
        Told::Firing => NotifiedStatus::Firing,
        Told::Acknowledged => NotifiedStatus::Acknowledged,
    }
}

fn passed(since: Timestamp, millis: u64, now: Timestamp) -> bool {
    u64::try_from(now.as_millis().saturating_sub(since.as_millis())).is_ok_and(|waited| waited >= millis)
}

#[cfg(test)]
mod tests;
