//! One look at all rules: reads every figure once, moves the alerts, and decides who is told. What changed is written in one
//! transaction, under the lease of whoever looks.
//!
//! Between two looks nothing is remembered here that the store does not know: another instance goes on from the same alerts, and from
//! the same recorded history.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::lifecycle::failpoint;
use crate::model::alert::{Alert, AlertRule, AlertState, Details, NoData, Terms};
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;
use crate::model::{BusId, Timestamp};
use crate::store::alerts::round::{Guard, Round};
use crate::store::alerts::rules::UnreadableRule;
use crate::store::{Store, StoreError};

use super::inhibition::Explanations;
use super::rule::{Reading, details, empties, fingerprint, observation, windows};
use super::silences::Active;
use super::state::{Observation, end, inactive, step};

mod arriving;
mod readings;
mod recalling;
mod series;
mod telling;
mod windowed;

pub use readings::is_sampled;
use readings::{Need, Readings};
use series::{Watch, WatchKey};

/// An alert whose state stays is written this often, with its newest value.
const WRITTEN: Duration = Duration::from_secs(10);

/// That rules were looked at is noted this often.
const NOTED: Duration = Duration::from_secs(5);

/// Alerts of one rule about what headers name: anybody can make any number of causes, and nobody reads a thousand alerts.
const MOST_ALERTS: usize = 1_000;

/// Looks at rules, again and again.
#[derive(Debug)]
pub struct Evaluator {
    /// How people reach this instance.
    base: String,
    rules: Option<Rules>,
    readings: Readings,
    watches: HashMap<WatchKey, Watch>,
    /// When the past could not be read in time.
    recall_failed_at: Option<Timestamp>,
    /// Rules that have more to say than fits.
    crowded: BTreeSet<i64>,
    /// When a look was last noted, and what could not be read then.
    noted: Option<(Timestamp, Vec<Figure>)>,
}

/// Rules as they were read.
#[derive(Debug)]
struct Rules {
    version: (i64, i64, i64),
    all: Vec<AlertRule>,
    /// Numbers of those that cannot be read: nobody knows what they say, so their alerts stay as they are.
    unreadable: BTreeSet<i64>,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing has changed.
    Same,
    /// Something was written.
    Changed,
    /// The lease is lost: nothing was written, and somebody else looks.
    Lost,
}

/// Alerts as they stand after a look.
#[derive(Debug, Default)]
struct After {
    /// Those that are not over, and those that ended now. New ones have the number 0.
    alerts: Vec<Alert>,
    /// The bus that an alert is about, where that is one, by fingerprint: its labels need not name it.
    buses: HashMap<String, BusId>,
    /// Which of them stand otherwise than in the store.
    changed: BTreeSet<String>,
    /// Alerts that never fired and are none any more.
    removed: Vec<i64>,
    /// Receivers that there are.
    receivers: BTreeSet<ReceiverId>,
    /// Alerts whose figure or rule could not be read this time: who explained them does so still.
    unread: BTreeSet<String>,
}

impl After {
    /// Alerts that nobody could look at stay as they are.
    fn stay(&mut self, alerts: Vec<Alert>) {
        self.unread.extend(alerts.iter().map(|alert| alert.fingerprint.clone()));
        self.alerts.extend(alerts);
    }
}

impl Evaluator {
    /// One that writes links with this beginning.
    pub fn new(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            rules: None,
            readings: Readings::default(),
            watches: HashMap::new(),
            recall_failed_at: None,
            crowded: BTreeSet::new(),
            noted: None,
        }
    }

    /// Looks once. `letters_changed`: dead letters have changed since the last look.
    pub async fn look(
        &mut self,
        store: &Store,
        guard: Option<&Guard>,
        letters_changed: bool,
        now: Timestamp,
    ) -> Result<Looked, StoreError> {
        let looked = self.look_once(store, guard, letters_changed, now).await;
        match &looked {
            Ok(Looked::Same | Looked::Changed) => self.note(store, now).await?,
            Ok(Looked::Lost) => {}
            // The store did not answer at all: that is no figure's fault.
            Err(_) => self.readings.forgive(),
        }
        looked
    }

    async fn look_once(
        &mut self,
        store: &Store,
        guard: Option<&Guard>,
        letters_changed: bool,
        now: Timestamp,
    ) -> Result<Looked, StoreError> {
        self.refresh_rules(store).await?;
        let needs: BTreeSet<Need> = self.enabled().flat_map(|rule| needs_of(&rule.terms)).collect();
        let was_slow = self.readings.read(store, &needs, letters_changed, now).await?;
        if !was_slow {
            self.recall(store, now).await?;
        }
        let living = store.list_living_alerts().await?;
        let after = After { receivers: store.list_receiver_ids().await?, ..After::default() };
        let mut after = self.judge(living, after, now);
        self.mute(store, &mut after, now).await?;
        let groups = store.list_alert_groups().await?;
        let mut round = telling::tell(store, &self.base, &after.alerts, groups, now).await?;
        for alert in after.alerts {
            if alert.number == 0 {
                round.added.push(alert);
            } else if after.changed.contains(&alert.fingerprint) {
                round.moved.push(alert);
            }
        }
        round.removed = after.removed;
        if round.is_empty() {
            return Ok(Looked::Same);
        }
        failpoint::pass("alerts.looked");
        let written = store.write_alert_round(guard, &round, now).await?;
        Ok(if written { Looked::Changed } else { Looked::Lost })
    }

    /// Notes for every instance that rules were looked at, now and then, and what could not be read as soon as that changes.
    async fn note(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let unread = self.readings.unread();
        let is_known = |(at, known): &(Timestamp, Vec<Figure>)| *at <= now && at.age_at(now) < NOTED && *known == unread;
        if !self.noted.as_ref().is_some_and(is_known) {
            store.note_alert_look(now, &unread).await?;
            self.noted = Some((now, unread));
        }
        Ok(())
    }

    async fn refresh_rules(&mut self, store: &Store) -> Result<(), StoreError> {
        let version = store.alert_rules_version().await?;
        if self.rules.as_ref().is_none_or(|rules| rules.version != version) {
            let (rules, unreadable) = store.read_alert_rules().await?;
            for UnreadableRule { number, name, error } in &unreadable {
                tracing::warn!(rule = number, name, %error, "an alert rule cannot be read and is not watched; the others are");
            }
            let keys: BTreeSet<WatchKey> = rules.iter().filter(|rule| rule.enabled).map(|rule| key_of(&rule.terms)).collect();
            self.watches.retain(|key, _| keys.contains(key));
            for key in keys {
                if let Entry::Vacant(entry) = self.watches.entry(key) {
                    let watch = Watch::new(entry.key());
                    entry.insert(watch);
                }
            }
            let unreadable = unreadable.into_iter().map(|rule| rule.number).collect();
            self.rules = Some(Rules { version, all: rules, unreadable });
        }
        Ok(())
    }

    fn enabled(&self) -> impl Iterator<Item = &AlertRule> {
        self.rules.iter().flat_map(|rules| &rules.all).filter(|rule| rule.enabled)
    }

    fn judge(&mut self, living: Vec<Alert>, mut after: After, now: Timestamp) -> After {
        let mut by_rule: HashMap<i64, Vec<Alert>> = HashMap::new();
        for alert in living {
            by_rule.entry(alert.rule).or_default().push(alert);
        }
        let rules = self.rules.take();
        for rule in rules.iter().flat_map(|rules| &rules.all).filter(|rule| rule.enabled) {
            let alerts = by_rule.remove(&rule.number).unwrap_or_default();
            self.judge_rule(rule, alerts, now, &mut after);
        }
        for number in rules.iter().flat_map(|rules| &rules.unreadable) {
            after.stay(by_rule.remove(number).unwrap_or_default());
        }
        self.rules = rules;
        for alert in by_rule.into_values().flatten() {
            ended(alert, now, &mut after);
        }
        after
    }

    fn judge_rule(&mut self, rule: &AlertRule, alerts: Vec<Alert>, now: Timestamp, after: &mut After) {
        let terms = &rule.terms;
        let needs = needs_of(terms);
        let Some(watch) = self.watches.get_mut(&key_of(terms)).filter(|_| self.readings.have_read(&needs)) else {
            after.stay(alerts);
            return;
        };
        if let Some(registry) = self.readings.registries.get(&terms.figure) {
            watch.learn(registry);
        }
        let mut standing: HashMap<usize, Alert> = HashMap::new();
        for alert in alerts {
            match watch.place_of(&own_labels(terms, &alert)) {
                Some(place) if !standing.contains_key(&place) => {
                    standing.insert(place, alert);
                }
                _ => ended(alert, now, after),
            }
        }
        let sums = together(terms, watch, &self.readings);
        watch.note(&sums);
        let of = |need: Option<&Need>| need.and_then(|need| self.readings.of(*need));
        // Of two windows the short one tells whether anything is heard.
        let newest = of(needs.last());
        let failed = needs.iter().any(|need| self.readings.has_failed(*need));
        let mut room = most_alerts(terms.figure).saturating_sub(standing.len());
        let mut is_crowded = false;
        for (place, instance) in watch.instances.iter().enumerate() {
            let reading = sums.get(place).and_then(Option::as_ref);
            let alive = (reading.is_some() && !empties(terms))
                || newest.is_some_and(|kept| self.readings.is_alive(terms.figure, &instance.buses, kept));
            let alive = alive && (reading.is_some() || self.readings.can_tell(terms.figure, &instance.labels));
            let seen = if failed { Observation::Failed } else { observation(terms, reading, alive) };
            let others = after.alerts.len();
            match standing.remove(&place) {
                Some(alert) => moved(rule, alert, seen, now, after),
                None if !is_worth_a_look(terms, seen, watch.knows(instance, now)) => {}
                None if room == 0 => is_crowded = true,
                None => {
                    room -= 1;
                    began(rule, &instance.labels, seen, now, after);
                }
            }
            let Some(alert) = after.alerts.get(others) else { continue };
            if let (Some(bus), 1) = (instance.buses.first(), instance.buses.len()) {
                after.buses.insert(alert.fingerprint.clone(), bus.clone());
            }
            if failed {
                after.unread.insert(alert.fingerprint.clone());
            }
        }
        tell_crowded(&mut self.crowded, rule, is_crowded);
    }

    /// Silences, and alerts that others explain.
    async fn mute(&self, store: &Store, after: &mut After, now: Timestamp) -> Result<(), StoreError> {
        if after.alerts.is_empty() {
            return Ok(());
        }
        let silences = Active::new(&store.list_silences(now).await?, now);
        let explanations = Explanations::new(&after.alerts, &after.buses, &after.receivers);
        let goes_on = |alert: &&Alert| matches!(alert.standing.state, AlertState::Pending | AlertState::Firing | AlertState::Recovering);
        let going_on: BTreeSet<i64> = after.alerts.iter().filter(goes_on).map(|alert| alert.number).collect();
        for alert in &mut after.alerts {
            let still = alert.inhibited_by.filter(|cause| after.unread.contains(&alert.fingerprint) && going_on.contains(cause));
            let muted = (silences.covering(alert), explanations.of(alert, &after.buses).or(still));
            if muted != (alert.silenced_by, alert.inhibited_by) {
                (alert.silenced_by, alert.inhibited_by) = muted;
                after.changed.insert(alert.fingerprint.clone());
            }
        }
        Ok(())
    }
}

/// How many alerts a rule over this figure has at most: labels of some come from headers of messages.
#[must_use]
pub const fn most_alerts(figure: Figure) -> usize {
    match figure {
        Figure::DeadLettersPerMinute | Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds => MOST_ALERTS,
        _ => usize::MAX,
    }
}

/// Says once that a rule has more to say than anybody reads.
fn tell_crowded(crowded: &mut BTreeSet<i64>, rule: &AlertRule, is_crowded: bool) {
    if !is_crowded {
        crowded.remove(&rule.number);
    } else if crowded.insert(rule.number) {
        tracing::warn!(
            rule = rule.number,
            most = MOST_ALERTS,
            "an alert rule would begin more alerts than one rule may have; let it be about fewer labels"
        );
    }
}

fn key_of(terms: &Terms) -> WatchKey {
    (terms.figure, terms.filter.clone(), terms.by.clone())
}

fn needs_of(terms: &Terms) -> Vec<Need> {
    let windows = windows(terms);
    if windows.is_empty() { vec![(terms.figure, None)] } else { windows.into_iter().map(|window| (terms.figure, Some(window))).collect() }
}

/// The labels by which the rule's alerts differ; those that the rule adds are left out.
fn own_labels(terms: &Terms, alert: &Alert) -> BTreeMap<String, String> {
    alert.labels.iter().filter(|(name, _)| !terms.labels.contains_key(*name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What the series of each alert have to say together.
fn together(terms: &Terms, watch: &Watch, readings: &Readings) -> Vec<Option<Reading>> {
    let sums = |need: &Need| readings.of(*need).map(|kept| watch.add_up(terms, &kept.values)).unwrap_or_default();
    let needs = needs_of(terms);
    let (Some(long), Some(short), Some(_)) = (needs.first(), needs.get(1), terms.burn_rate) else {
        return needs.first().map(sums).unwrap_or_default();
    };
    let parts = |reading: &Option<Reading>| match reading {
        Some(Reading::Share { part, whole }) => (*part, *whole),
        _ => (0.0, 0.0),
    };
    let short = sums(short);
    let burn = |(place, long): (usize, Option<Reading>)| {
        long.as_ref()?;
        Some(Reading::Burn { long: parts(&long), short: short.get(place).map_or((0.0, 0.0), parts) })
    };
    sums(long).into_iter().enumerate().map(burn).collect()
}

/// Whether there may be an alert where there was none. `known`: it had something to say before.
fn is_worth_a_look(terms: &Terms, seen: Observation, known: bool) -> bool {
    match seen {
        Observation::Value(value) => terms.comparison.holds(value, terms.threshold),
        Observation::Missing | Observation::Gone | Observation::Failed => terms.no_data == NoData::Alert && known,
    }
}

/// What is said of an alert, and to whom of those that there are.
fn said(rule: &AlertRule, labels: &BTreeMap<String, String>, value: Option<f64>, receivers: &BTreeSet<ReceiverId>) -> Details {
    let mut said = details(&rule.name, &rule.terms, labels, value);
    said.receivers.retain(|id| receivers.contains(id));
    said
}

/// An alert that was not there.
fn began(rule: &AlertRule, labels: &BTreeMap<String, String>, seen: Observation, now: Timestamp, after: &mut After) {
    let (standing, change) = step(&inactive(now), &rule.terms, seen, now);
    if change.is_none() && standing.missing_since.is_none() {
        return;
    }
    let details = said(rule, labels, standing.last_value, &after.receivers);
    let mut all = labels.clone();
    all.extend(rule.terms.labels.clone());
    after.alerts.push(Alert {
        number: 0,
        rule: rule.number,
        fingerprint: fingerprint(rule.number, labels),
        labels: all,
        standing,
        details,
        acknowledgement: None,
        first_acknowledged_at: None,
        silenced_by: None,
        inhibited_by: None,
    });
}

/// An alert that was there.
fn moved(rule: &AlertRule, mut alert: Alert, seen: Observation, now: Timestamp, after: &mut After) {
    let before = alert.standing.clone();
    let (standing, change) = step(&before, &rule.terms, seen, now);
    let watched = standing.missing_since.is_some() && rule.terms.no_data == NoData::Alert;
    if standing.state == AlertState::Inactive && !watched {
        after.removed.push(alert.number);
        return;
    }
    let own = own_labels(&rule.terms, &alert);
    let mut now_said = said(rule, &own, standing.last_value, &after.receivers);
    // Whoever was told of it is told how it ends. Where nobody is left of them, or there never was anybody, the rule says who is told.
    if before.state.is_firing() && alert.details.receivers.iter().any(|id| after.receivers.contains(id)) {
        let said = &alert.details;
        (now_said.receivers, now_said.group_by) = (said.receivers.clone(), said.group_by.clone());
        (now_said.group_wait_ms, now_said.group_interval_ms) = (said.group_wait_ms, said.group_interval_ms);
    }
    let unlike = before.missing_since.is_some() != standing.missing_since.is_some()
        || before.unknown_since.is_some() != standing.unknown_since.is_some()
        || before.cause != standing.cause
        || before.pending_since != standing.pending_since
        || before.recovering_since != standing.recovering_since;
    let old = before.last_eval > now || before.last_eval.age_at(now) >= WRITTEN;
    let unlike = unlike || now_said.severity != alert.details.severity || now_said.receivers != alert.details.receivers;
    if change.is_some() || unlike || old {
        after.changed.insert(alert.fingerprint.clone());
    }
    (alert.standing, alert.details) = (standing, now_said);
    after.alerts.push(alert);
}

/// An alert whose rule is gone, switched off, or about other labels now.
fn ended(mut alert: Alert, now: Timestamp, after: &mut After) {
    let (standing, _) = end(&alert.standing, now);
    if standing.state == AlertState::Resolved {
        alert.standing = standing;
        after.changed.insert(alert.fingerprint.clone());
        after.alerts.push(alert);
    } else {
        after.removed.push(alert.number);
    }
}
