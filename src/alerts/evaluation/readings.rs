//! Reads each figure once for all rules.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::arriving;
use super::series::Registry;
use super::windowed::{self, Pasts};
use crate::alerts::rule::{Reading, is_windowed, needs_source, parts_of};
use crate::model::figure::{Figure, Labels};
use crate::model::lag::GroupStatus;
use crate::model::{BusId, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::figures::newest::NewestFrame;
use crate::store::{Store, StoreError};

/// A source that has not looked for so long is silent.
const FRESH: Duration = Duration::from_secs(60);
/// Another instance's clock may be so far ahead.
const AHEAD: Duration = Duration::from_mins(5);
/// What changes with dead letters is read again at least this often.
const LETTERS: Duration = Duration::from_secs(5);

/// Of more series than this it is read again no more often.
const MANY: usize = 2_000;

/// A figure that could not be read in time is left alone for so long, then for twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// At most for so long.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// A figure, and the window in milliseconds over which it is taken.
pub(super) type Need = (Figure, Option<u64>);

/// What was read of a figure.
#[derive(Debug)]
pub(super) struct Kept {
    read_at: Timestamp,
    /// By the number of the series in the figure's registry.
    pub(super) values: Vec<Option<Reading>>,
    /// It could not be read.
    failure: Option<Failure>,
}

/// Why a figure could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// What the store holds of it contradicts itself.
    Broken,
    /// The store did not answer in time, again and again so many times: whoever asks all the time keeps it from answering others.
    Slow(u32),
}

impl Failure {
    /// How long nobody asks again; `None`: as always.
    fn pause(self) -> Option<Duration> {
        let Self::Slow(times) = self else { return None };
        Some((FIRST_PAUSE * 2_u32.saturating_pow(times.saturating_sub(1).min(8))).min(LONGEST_PAUSE))
    }
}

/// Levels of a source as of its newest look.
#[derive(Debug)]
struct Look {
    frame: NewestFrame,
    levels: Vec<(i64, f64)>,
}

/// Everything that rules know of figures.
#[derive(Debug, Default)]
pub(super) struct Readings {
    pub(super) registries: HashMap<Figure, Registry>,
    kept: HashMap<Need, Kept>,
    /// What the last look had no time for.
    behind: BTreeSet<Need>,
    looks: BTreeMap<String, Look>,
    /// Consumer groups and topics of which nobody knows how they stand.
    unknown: Vec<Labels>,
    buses: BTreeSet<BusId>,
    pasts: Pasts,
}

impl Readings {
    /// Reads what is needed and not fresh. `letters_changed`: dead letters have changed since the last time. A figure that cannot be read
    /// keeps the others from nothing: whether one was too slow is answered, and what was to be read after it is read with the next look.
    pub(super) async fn read(
        &mut self,
        store: &Store,
        needs: &BTreeSet<Need>,
        letters_changed: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.kept.retain(|need, _| needs.contains(need));
        let read: BTreeSet<Need> = needs.iter().flat_map(|need| sources_of(*need)).collect();
        self.pasts.retain(&read);
        self.forget();
        let levels_changed = self.look(store, now).await?;
        if levels_changed {
            self.note_unknown(store).await?;
        }
        let due = |need: &&Need| self.behind.contains(*need) || self.is_due(**need, letters_changed, levels_changed, now);
        let mut due: Vec<Need> = needs.iter().filter(due).copied().collect();
        // What was too slow before comes last, so that nothing has to wait for it again and again.
        due.sort_by_key(|need| self.has_failed(*need));
        let mut due = VecDeque::from(due);
        self.behind.clear();
        while let Some(need) = due.pop_front() {
            let read = self.read_one(store, need, now).await;
            if self.keep(need, read, now)? {
                self.behind.extend(due);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_due(&self, (figure, window): Need, letters_changed: bool, levels_changed: bool, now: Timestamp) -> bool {
        let Some(kept) = self.kept.get(&(figure, window)) else { return true };
        if let Some(pause) = kept.failure.and_then(Failure::pause) {
            return is_old(kept.read_at, pause, now);
        }
        match source_of(figure) {
            Source::Frames if window.is_none() => levels_changed,
            Source::Letters if letters_changed && kept.values.len() <= MANY => true,
            Source::Letters => is_old(kept.read_at, LETTERS, now),
            Source::Frames => is_old(kept.read_at, refresh(window.unwrap_or(0)), now),
        }
    }

    /// Begins figures anew of which most series are long gone: what was read of them is read again.
    fn forget(&mut self) {
        let Self { registries, kept, .. } = self;
        for (figure, registry) in registries {
            let living = || kept.iter().filter(|((of, _), _)| of == figure).map(|(_, kept)| kept.values.iter().flatten().count()).max();
            if registry.is_long() && registry.forget(living().unwrap_or(0)) {
                kept.retain(|(of, _), kept| of != figure || kept.failure.is_some());
            }
        }
    }

    /// Keeps what was read; whether the store did not answer in time.
    fn keep(&mut self, need: Need, read: Result<Vec<Option<Reading>>, StoreError>, now: Timestamp) -> Result<bool, StoreError> {
        let before = self.kept.get(&need).and_then(|kept| kept.failure);
        let (values, failure) = match read {
            Ok(values) => (values, None),
            Err(StoreError::Broken(error)) => {
                tell(need.0, before, &error);
                (Vec::new(), Some(Failure::Broken))
            }
            Err(StoreError::Unavailable(error)) => {
                tell(need.0, before, &error);
                let times = if let Some(Failure::Slow(times)) = before { times } else { 0 };
                (Vec::new(), Some(Failure::Slow(times + 1)))
            }
            Err(other) => return Err(other),
        };
        self.kept.insert(need, Kept { read_at: now, values, failure });
        Ok(matches!(failure, Some(Failure::Slow(_))))
    }

    /// Whether all of this was ever read, or could not be.
    pub(super) fn have_read(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| self.kept.contains_key(need))
    }

    /// Whether this could not be read.
    pub(super) fn has_failed(&self, need: Need) -> bool {
        self.kept.get(&need).is_some_and(|kept| kept.failure.is_some())
    }

    /// Figures that could not be read.
    pub(super) fn unread(&self) -> Vec<Figure> {
        let failed = self.kept.iter().filter(|(_, kept)| kept.failure.is_some()).map(|((figure, _), _)| *figure);
        failed.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What was too slow is read again with the next look: not the figure is to blame.
    pub(super) fn forgive(&mut self) {
        self.kept.retain(|_, kept| !matches!(kept.failure, Some(Failure::Slow(_))));
    }

    /// What was read.
    pub(super) fn of(&self, need: Need) -> Option<&Kept> {
        self.kept.get(&need)
    }

    /// Whether the source of a figure is heard of, for an alert about these buses; about none that is known: about all. Of a bus that is
    /// configured no more nothing is left to be heard.
    pub(super) fn is_alive(&self, figure: Figure, buses: &BTreeSet<BusId>, kept: &Kept) -> bool {
        let all = |hears: &dyn Fn(&BusId) -> bool| {
            let about = if buses.is_empty() { &self.buses } else { buses };
            about.iter().filter(|bus| self.buses.contains(*bus)).all(hears)
        };
        match figure {
            Figure::TopicMessagesPerSecond
            | Figure::BusMessagesPerSecond
            | Figure::ConsumerGroupLagMessages
            | Figure::ConsumerGroupLagSeconds
            | Figure::ConsumerGroupMessagesPerSecond => all(&|bus| self.looks.contains_key(&bus_source(bus))),
            _ if needs_source(figure) => all(&|bus| self.answers(bus)),
            Figure::BusReachable => all(&|bus| self.looks.contains_key(&bus_source(bus)) || self.looks.contains_key(&reach_source(bus))),
            Figure::SampleAgeSeconds | Figure::IngestDelaySeconds | Figure::StoreUsedRatio => self.looks.contains_key("letters"),
            Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds | Figure::DeliveriesFailing => true,
            _ => kept.values.iter().any(Option::is_some),
        }
    }

    /// Whether silence about these labels tells anything. Of a consumer group that cannot be read no lag is told, and that is no calm.
    pub(super) fn can_tell(&self, figure: Figure, labels: &BTreeMap<String, String>) -> bool {
        let is_lag = matches!(figure, Figure::ConsumerGroupLagMessages | Figure::ConsumerGroupLagSeconds);
        let is_about = |unknown: &Labels| {
            let mut pairs = unknown.pairs().into_iter().filter(|(name, _)| *name != "status");
            pairs.all(|(name, value)| labels.get(name).is_none_or(|own| own == value))
        };
        !is_lag || !labels.contains_key("consumer_group") || !self.unknown.iter().any(is_about)
    }

    async fn note_unknown(&mut self, store: &Store) -> Result<(), StoreError> {
        let known = match store.series_of(Figure::ConsumerGroupStatusSeconds).await {
            Err(StoreError::Unavailable(_)) => return Ok(()),
            known => known?,
        };
        let told: HashSet<i64> = self.looks.values().flat_map(|look| &look.levels).map(|(id, _)| *id).collect();
        let is_unknown =
            |(id, labels): &&(i64, Labels)| labels.status.as_deref() == Some(GroupStatus::Unknown.as_str()) && told.contains(id);
        self.unknown = known.iter().filter(is_unknown).map(|(_, labels)| labels.clone()).collect();
        Ok(())
    }

    /// Whether a bus was looked at not long ago, and has not failed to answer since.
    fn answers(&self, bus: &BusId) -> bool {
        let taken_at = |source: &str| self.looks.get(source).map(|look| look.frame.taken_at);
        taken_at(&bus_source(bus)).is_some_and(|looked| taken_at(&reach_source(bus)).is_none_or(|failed| failed < looked))
    }

    /// Takes in new looks of samplers; whether there were any, or some are silent now.
    async fn look(&mut self, store: &Store, now: Timestamp) -> Result<bool, StoreError> {
        // What lies further ahead was taken before a clock went back.
        let newest = store.newest_frames(now.minus(FRESH), now.plus(AHEAD)).await?;
        let before = self.looks.len();
        self.looks.retain(|source, _| newest.contains_key(source));
        let mut changed = self.looks.len() != before;
        for (source, frame) in newest {
            if self.looks.get(&source).is_none_or(|look| look.frame != frame) {
                let levels = store.frame_levels(frame.id).await?;
                changed |= !levels.is_empty() || self.looks.get(&source).is_some_and(|look| !look.levels.is_empty());
                self.looks.insert(source, Look { frame, levels });
            }
        }
        self.buses = store.list_buses().await?.into_iter().map(|bus| bus.id).collect();
        Ok(changed)
    }

    async fn read_one(&mut self, store: &Store, (figure, window): Need, now: Timestamp) -> Result<Vec<Option<Reading>>, StoreError> {
        let Self { registries, pasts, .. } = self;
        let registry = registries.entry(figure).or_default();
        let window = window.unwrap_or(0);
        match figure {
            Figure::DeadLettersPerMinute => Ok(placed(registry, arriving::arrivals(store, window, now).await?)),
            Figure::FailureGroupsNew => Ok(placed(registry, groups(store, FailureGroupEvent::New, window, now).await?)),
            Figure::FailureGroupsReturned => Ok(placed(registry, groups(store, FailureGroupEvent::Returned, window, now).await?)),
            Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds => {
                Ok(placed(registry, open(store, figure, &self.buses, now).await?))
            }
            Figure::DeliveriesFailing => {
                let failing = number(store.count_failing_receivers().await?);
                Ok(placed(registry, vec![(Labels::default(), Reading::Number(failing))]))
            }
            _ if is_windowed(figure) => Ok(placed(registry, pasts.read(store, (figure, Some(window)), now).await?)),
            _ => {
                registry.learn(&store.series_of(figure).await?);
                Ok(levels(registry, &self.looks))
            }
        }
    }
}

fn bus_source(bus: &BusId) -> String {
    format!("bus:{bus}")
}

/// Who says that a bus did not answer.
fn reach_source(bus: &BusId) -> String {
    format!("reach:{bus}")
}

/// Says once that a figure cannot be read.
fn tell(figure: Figure, before: Option<Failure>, error: &str) {
    if before.is_none() {
        tracing::warn!(figure = %figure, error, "a figure cannot be read, and rules on it know nothing; other rules are looked at");
    }
}

enum Source {
    /// What is sampled.
    Frames,
    /// Our own tables of dead letters and deliveries.
    Letters,
}

const fn source_of(figure: Figure) -> Source {
    match figure {
        Figure::DeadLettersPerMinute
        | Figure::DeadLettersOpen
        | Figure::DeadLettersOldestOpenSeconds
        | Figure::FailureGroupsNew
        | Figure::FailureGroupsReturned
        | Figure::DeliveriesFailing => Source::Letters,
        _ => Source::Frames,
    }
}

/// Whether a figure falls silent when nobody samples it; the others stand in our own tables.
#[must_use]
pub const fn is_sampled(figure: Figure) -> bool {
    matches!(source_of(figure), Source::Frames)
}

/// Series of a figure that had a sample since then, or not long before.
pub(super) async fn labels_since(store: &Store, figure: Figure, from: Timestamp, now: Timestamp) -> Result<Vec<Labels>, StoreError> {
    let figure = parts_of(figure).map_or(figure, |(all, _)| all);
    let window = u64::try_from(from.age_at(now).as_millis()).unwrap_or(u64::MAX);
    Ok(store.read_series(&windowed::newest(figure, window, now)).await?.into_iter().map(|one| one.labels).collect())
}

/// Long windows change slowly: an hour is read every five seconds, three days once a minute. The editor of a rule and the API say so.
fn refresh(window_ms: u64) -> Duration {
    Duration::from_millis((window_ms / 720).clamp(900, 60_000))
}

fn is_old(read_at: Timestamp, after: Duration, now: Timestamp) -> bool {
    read_at > now || read_at.age_at(now) >= after
}

fn placed(registry: &mut Registry, read: Vec<(Labels, Reading)>) -> Vec<Option<Reading>> {
    let mut values = vec![None; registry.len()];
    for (labels, reading) in read {
        let number = registry.number(&labels);
        if number >= values.len() {
            values.resize(number + 1, None);
        }
        values[number] = Some(reading);
    }
    values
}

/// Of two sources that tell the same series, the one that looked last counts.
fn levels(registry: &Registry, looks: &BTreeMap<String, Look>) -> Vec<Option<Reading>> {
    let mut values = vec![None; registry.len()];
    let mut by_time: Vec<&Look> = looks.values().collect();
    by_time.sort_by_key(|look| (look.frame.taken_at, look.frame.id));
    for look in by_time {
        for (id, value) in &look.levels {
            if let Some(place) = registry.of_id(*id).and_then(|number| values.get_mut(number)) {
                *place = Some(Reading::Number(*value));
            }
        }
    }
    values
}

/// What is read of the store for a need.
fn sources_of((figure, window): Need) -> Vec<Need> {
    match parts_of(figure) {
        Some((all, failed)) => vec![(all, window), (failed, window)],
        None => vec![(figure, window)],
    }
}

async fn groups(store: &Store, event: FailureGroupEvent, window_ms: u64, now: Timestamp) -> Result<Vec<(Labels, Reading)>, StoreError> {
    let to = now.plus(Duration::from_secs(1));
    let buckets = Buckets { from: now.minus(Duration::from_millis(window_ms)), to, count: 1 };
    let series = store.failure_group_series(event, None, None, buckets).await?;
    Ok(series.into_iter().map(|(labels, counts)| (labels, Reading::Number(number(counts.iter().sum())))).collect())
}

async fn open(store: &Store, figure: Figure, buses: &BTreeSet<BusId>, now: Timestamp) -> Result<Vec<(Labels, Reading)>, StoreError> {
    let mut read = Vec::new();
    for bus in buses {
        if figure == Figure::DeadLettersOpen {
            read.extend(store.count_all_open(bus).await?.into_iter().map(|(labels, open)| (labels, Reading::Number(number(open)))));
            continue;
        }
        for letters in store.list_all_open(bus).await? {
            let Some(oldest) = letters.oldest else { continue };
            read.push((letters.labels, Reading::Number(number(oldest.age_at(now).as_secs()))));
        }
    }
    Ok(read)
}

#[expect(clippy::cast_precision_loss, reason = "counts and seconds of figures")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const SLOW: Need = (Figure::RecordsLost, Some(300_000));

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn what_changes_all_the_time_and_has_very_many_series_is_read_now_and_then() {
        let open = (Figure::DeadLettersOpen, None);
        let due = |series: usize, seconds| {
            let mut readings = Readings::default();
            readings.keep(open, Ok(vec![Some(Reading::Number(1.0)); series]), NOW).expect("kept");
            readings.is_due(open, true, false, after(seconds))
        };
        assert_eq!((due(MANY, 1), due(MANY + 1, 1), due(MANY + 1, 5)), (true, false, true));
    }

    #[test]
    fn a_long_window_is_read_as_often_as_the_editor_says() {
        let hours = |hours: u64| refresh(Duration::from_hours(hours).as_millis().try_into().unwrap()).as_secs();
        assert_eq!([1, 6, 12, 72].map(hours), [5, 30, 60, 60]);
        assert!(refresh(300_000) < Duration::from_secs(1), "with every look");
    }

    #[test]
    fn what_is_too_slow_is_asked_for_less_and_less_often() {
        let mut readings = Readings::default();
        let slow = || Err(StoreError::Unavailable("no answer within 5s".to_owned()));
        let due = |readings: &Readings, at| readings.is_due(SLOW, true, true, at);
        assert!(due(&readings, NOW), "it was never read");
        for (at, pause) in [(0, 10), (10, 20), (30, 40), (70, 80), (150, 120), (270, 120)] {
            assert!(readings.keep(SLOW, slow(), after(at)).expect("the others are read"));
            assert_eq!((due(&readings, after(at + pause - 1)), due(&readings, after(at + pause))), (false, true), "at {at}");
        }
        assert!(due(&readings, NOW.minus(Duration::from_hours(1))), "after the clock went back nobody waits for it to come again");
        assert_eq!((readings.has_failed(SLOW), readings.unread()), (true, vec![Figure::RecordsLost]));
        assert!(!readings.keep(SLOW, Ok(Vec::new()), after(400)).expect("read"));
        assert_eq!((readings.has_failed(SLOW), readings.unread()), (false, Vec::new()));
        assert!(readings.keep(SLOW, slow(), after(500)).expect("the others are read"));
        assert!(due(&readings, after(510)), "it begins anew");
        readings.forgive();
        assert!(due(&readings, after(501)) && !readings.have_read(&[SLOW]), "the store did not answer at all");
    }
}
