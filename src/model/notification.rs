//! Notifications: what receivers are told of alerts, whatever their format. Kept in the outbox as JSON.

use std::collections::BTreeMap;

use super::Timestamp;
use super::alert::Severity;

/// What tells the alerts of this installation from those of others that tell the same receiver: rules have the same numbers everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Random, made with the store.
    pub id: String,
    /// Since when alerts bear the id. What began earlier was told without it, and is told so until it ends: a receiver would take it for
    /// another alert, and keep the one that it knows for ever.
    pub marked_since: Timestamp,
}

impl Installation {
    /// Its id, where an alert is to bear it.
    #[must_use]
    pub fn mark(&self, alert: &NotifiedAlert) -> Option<&str> {
        (alert.started_at >= self.marked_since).then_some(self.id.as_str())
    }
}

/// What receivers are told at one moment about one group of alerts.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Notification {
    /// Which group: the same text for every notification about it.
    pub group_key: String,
    /// Why it is told now.
    pub reason: Reason,
    /// When this was decided.
    pub at: Timestamp,
    /// Labels by which the alerts were grouped.
    pub group_labels: BTreeMap<String, String>,
    /// The alerts: those that fire first, those that are over last, and of these the worst first.
    pub alerts: Vec<NotifiedAlert>,
}

/// Why a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The group's first alert fires.
    First,
    /// Further alerts of the group fire.
    NewAlerts,
    /// Some of its alerts have ended.
    SomeResolved,
    /// All of its alerts have ended.
    AllResolved,
    /// Nothing is new, and it still fires.
    Repeat,
    /// A person has taken it.
    Acknowledged,
    /// A person tries the receiver.
    Test,
}

/// How an alert stands in a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifiedStatus {
    /// Its condition is true.
    Firing,
    /// It has ended.
    Resolved,
    /// A person has taken it; its condition is true.
    Acknowledged,
}

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NotifiedAlert {
    /// 16 hexadecimal digits, the same for one rule and one set of labels over restarts.
    pub fingerprint: String,
    /// How it stands.
    pub status: NotifiedStatus,
    /// Name of the rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, and what the rule adds.
    pub labels: BTreeMap<String, String>,
    /// The figure's value when this was decided; `None` when there is no data.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// Unit of value and threshold, such as `messages`; may be empty.
    pub unit: String,
    /// What happened, in a sentence.
    pub summary: String,
    /// Since when it fires.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The page that explains it.
    pub url: String,
    /// What to do about it.
    pub runbook_url: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
}

impl Notification {
    /// Where the group stands: resolved when all of its alerts are, acknowledged when nothing else fires.
    #[must_use]
    pub fn standing(&self) -> NotifiedStatus {
        self.alerts.iter().map(|alert| alert.status).min_by_key(|status| status.order()).unwrap_or(NotifiedStatus::Resolved)
    }

    /// The alert that stands for the group: the first that stands as it does.
    #[must_use]
    pub fn lead(&self) -> Option<&NotifiedAlert> {
        let standing = self.standing();
        self.alerts.iter().find(|alert| alert.status == standing)
    }

    /// The same in parts of at most so many alerts and bytes of JSON, in order; one alert larger than that is a part alone.
    #[must_use]
    pub fn parts(&self, most: usize, bytes: usize) -> Vec<Self> {
        let size = |alert: &NotifiedAlert| serde_json::to_string(alert).map_or(0, |text| text.len() + 1);
        parts_of(&self.alerts, most, bytes, size).into_iter().map(|alerts| Self { alerts: alerts.to_vec(), ..self.clone() }).collect()
    }
}

/// Cuts a list into parts of at most so many items and so much of their sizes, in order; there is always one.
#[must_use]
pub fn parts_of<T>(items: &[T], most: usize, bytes: usize, size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut first, mut used) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let more = size(item);
        if at > first && (at - first >= most || used + more > bytes) {
            parts.push(&items[first..at]);
            (first, used) = (at, 0);
        }
        used += more;
    }
    parts.push(&items[first..]);
    parts
}

impl Reason {
    /// The word of the API and of the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::NewAlerts => "new_alerts",
            Self::SomeResolved => "some_resolved",
            Self::AllResolved => "all_resolved",
            Self::Repeat => "repeat",
            Self::Acknowledged => "acknowledged",
            Self::Test => "test",
        }
    }
}

impl NotifiedStatus {
    /// What needs somebody comes first.
    #[must_use]
    pub const fn order(self) -> u8 {
        match self {
            Self::Firing => 0,
            Self::Acknowledged => 1,
            Self::Resolved => 2,
        }
    }

    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Acknowledged => "acknowledged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotifiedStatus, Reason, parts_of};

    #[test]
    fn what_is_much_is_told_in_parts_by_number_and_by_size() {
        let sizes =
            |items: &[usize], most, bytes| parts_of(items, most, bytes, |size| *size).iter().map(|part| part.to_vec()).collect::<Vec<_>>();
        assert_eq!(sizes(&[], 2, 10), [Vec::<usize>::new()]);
        assert_eq!(sizes(&[1, 1, 1, 1, 1], 2, 10), [vec![1, 1], vec![1, 1], vec![1]]);
        assert_eq!(sizes(&[4, 4, 4, 9, 1], 9, 10), [vec![4, 4], vec![4], vec![9, 1]]);
        assert_eq!(sizes(&[50, 1, 50], 9, 10), [vec![50], vec![1], vec![50]], "one that is too large goes alone");
    }

    #[test]
    fn words_are_those_of_the_json() {
        use Reason::{Acknowledged, AllResolved, First, NewAlerts, Repeat, SomeResolved, Test};
        for reason in [First, NewAlerts, SomeResolved, AllResolved, Repeat, Acknowledged, Test] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for status in [NotifiedStatus::Firing, NotifiedStatus::Resolved, NotifiedStatus::Acknowledged] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
