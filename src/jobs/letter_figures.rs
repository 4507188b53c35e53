//! Samples of dead letters and of Redrive itself: what is open and for how long, what became of replays, how old the samples are, how
//! far indexing is behind, what was gone before we had read it, how full the store is.
//!
//! Arrivals and failure groups that are new or returned are no samples: tables know them exactly.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::Run;
use crate::metrics::bucket::Point;
use crate::metrics::ends;
use crate::metrics::histogram::Histogram;
use crate::metrics::history::EndHistory;
use crate::model::figure::{Figure, Labels, SeriesKey};
use crate::model::{BusId, BusState, Timestamp};
use crate::store::figures::NewFrame;
use crate::store::figures::letters::{MOST, Outcome};
use crate::store::topics::NoticedGap;
use crate::store::{Store, StoreError, StoreUsage};

/// Who writes levels, who writes what became of replays, and who writes what we did not read in time.
const LEVELS: &str = "letters";
const OUTCOMES: &str = "outcomes";
const GAPS: &str = "gaps";
/// What was open is said to be 0 for so long, so that its line ends on the axis and rules see it.
const ZERO_FOR: Duration = Duration::from_hours(1);
/// Changes of status become visible out of order by less than this.
const SETTLED: Duration = Duration::from_secs(5);
/// Gaps are noted at most so long after they were noticed.
const LATE: Duration = Duration::from_mins(10);
/// Outcomes read at once.
const READ: u32 = 20_000;
/// After a pause outcomes are told apart by this.
const WINDOW: Duration = Duration::from_mins(1);
/// So far back the ends of partitions are known.
const HISTORY: Duration = Duration::from_hours(48);

/// What one look leaves for the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When each series had open dead letters.
    open: BTreeMap<Labels, Timestamp>,
    /// Ends of the partitions of dead-letter topics over time, by bus and our id.
    ends: HashMap<BusId, HashMap<i64, EndHistory>>,
}

/// Looks once.
pub(super) async fn sample(run: &Run) -> anyhow::Result<()> {
    let now = Timestamp::now();
    outcomes(run, now.minus(SETTLED)).await?;
    gaps(&run.context.store, now.minus(SETTLED)).await?;
    let mut memory = run.letters.lock().await;
    let store = &run.context.store;
    let buses = store.list_buses().await?;
    let mut points = own(&buses, &store.usage().await?, now);
    points.push((key(Figure::DeliveriesFailing, Labels::default()), Point::Level(number(store.count_failing_receivers().await?))));
    for bus in &buses {
        points.extend(open(run, &mut memory, &bus.id, now).await?);
        points.extend(delay(run, &mut memory, &bus.id, now).await?);
    }
    memory.open.retain(|_, seen| seen.age_at(now) < ZERO_FOR);
    let after = store.figure_source(LEVELS).await?.map(|(at, _)| at);
    let frame = NewFrame { source: LEVELS, after, taken_at: now, points, state: None, snapshot: false };
    // Where another instance looked meanwhile, its look stands.
    store.add_frame(frame).await?;
    Ok(())
}

/// How old what we know is, and how much room is left.
fn own(buses: &[BusState], usage: &StoreUsage, now: Timestamp) -> Vec<(SeriesKey, Point)> {
    let mut points = Vec::new();
    for bus in buses {
        if let Some(at) = bus.sampled_at {
            points.push((key(Figure::SampleAgeSeconds, Labels::bus(&bus.id)), seconds(at.age_at(now))));
        }
    }
    // Without a limit of its own the disk is the limit, where the engine lies on ours.
    let limit = usage.max_bytes.or_else(|| usage.disk_free_bytes.map(|free| free.saturating_add(usage.used_bytes)));
    if let Some(limit) = limit {
        points.push((key(Figure::StoreUsedRatio, Labels::default()), Point::Level(number(usage.used_bytes) / number(limit.max(1)))));
    }
    points
}

/// Open dead letters of a bus and the age of the oldest. The series of the bus alone has the oldest of all, and no letters of its own.
async fn open(run: &Run, memory: &mut Memory, bus: &BusId, now: Timestamp) -> Result<Vec<(SeriesKey, Point)>, StoreError> {
    let letters = run.context.store.list_open(bus).await?;
    let oldest = letters.iter().filter_map(|of| of.oldest).min().map_or(Duration::ZERO, |at| at.age_at(now));
    let mut points = vec![
        (key(Figure::DeadLettersOpen, Labels::bus(bus)), Point::Level(0.0)),
        (key(Figure::DeadLettersOldestOpenSeconds, Labels::bus(bus)), seconds(oldest)),
    ];
    let ended = |labels: &Labels| labels.bus.as_ref() == Some(bus) && !letters.iter().any(|of| of.labels == *labels);
    for labels in memory.open.keys().filter(|labels| ended(labels)).take(MOST) {
        points.push((key(Figure::DeadLettersOpen, labels.clone()), Point::Level(0.0)));
        points.push((key(Figure::DeadLettersOldestOpenSeconds, labels.clone()), Point::Level(0.0)));
    }
    for of in letters {
        points.push((key(Figure::DeadLettersOpen, of.labels.clone()), Point::Level(number(of.open))));
        if let Some(at) = of.oldest {
            points.push((key(Figure::DeadLettersOldestOpenSeconds, of.labels.clone()), seconds(at.age_at(now))));
        }
        memory.open.insert(of.labels, now);
    }
    Ok(points)
}

/// How long ago the oldest record was written that is not indexed yet.
async fn delay(run: &Run, memory: &mut Memory, bus: &BusId, now: Timestamp) -> Result<Option<(SeriesKey, Point)>, StoreError> {
    let store = &run.context.store;
    let partitions = store.list_unread(bus).await?;
    if !memory.ends.contains_key(bus) {
        let mut known: HashMap<i64, EndHistory> = partitions.iter().map(|(id, ..)| (*id, EndHistory::default())).collect();
        for (at, state) in store.list_snapshots(&format!("bus:{bus}"), now.minus(HISTORY), now).await? {
            let looked = ends::decode(&state).map_err(|_| StoreError::Broken("the ends kept with the figures are damaged".to_owned()))?;
            for (id, end) in looked {
                if let Some(history) = known.get_mut(&id) {
                    history.add(at, end);
                }
            }
        }
        memory.ends.insert(bus.clone(), known);
    }
    let Some(known) = memory.ends.get_mut(bus) else { return Ok(None) };
    let living: HashSet<i64> = partitions.iter().map(|(id, ..)| *id).collect();
    known.retain(|id, _| living.contains(id));
    let mut longest = None;
    for (id, next, end) in partitions {
        let history = known.entry(id).or_default();
        history.add(now, end);
        let lag = history.time_lag(next).map(|lag| lag.estimate.unwrap_or(lag.min));
        longest = longest.max(lag);
    }
    Ok(longest.map(|longest| (key(Figure::IngestDelaySeconds, Labels::bus(bus)), seconds(longest))))
}

/// Counts what became of replays up to `until`, once each; after a pause by the minute, so that each counts in its own time.
async fn outcomes(run: &Run, until: Timestamp) -> Result<(), StoreError> {
    let store = &run.context.store;
    loop {
        let after = store.figure_source(OUTCOMES).await?.map(|(at, _)| at);
        let from = after.unwrap_or(until);
        if after.is_some() && from >= until {
            return Ok(());
        }
        let mut found = store.list_outcomes(from, until, READ).await?;
        let mut end = until;
        if found.len() >= READ as usize
            && let (Some(first), Some(last)) = (found.first(), found.last())
        {
            // The last moment may go on beyond what was read; a moment alone is read as a whole.
            end = if first.at < last.at { Timestamp::from_millis(last.at.as_millis() - 1) } else { last.at };
            if end == last.at {
                found = store.list_outcomes(from, end, u32::MAX).await?;
            }
        }
        if from.age_at(end) > WINDOW * 2
            && let Some(first) = found.first()
        {
            end = end.min(first.at.plus(WINDOW));
        }
        found.retain(|outcome| outcome.at <= end);
        let frame = NewFrame { source: OUTCOMES, after, taken_at: end, points: counted(&found), state: None, snapshot: false };
        if !store.add_frame(frame).await? || end >= until || run.context.life.soft().is_cancelled() {
            return Ok(());
        }
    }
}

/// Counts what was gone before we had read it, up to `until`, once each. Whoever counts for the first time begins a minute before: what
/// the first look of a new installation has noticed belongs to it, and what an older one did not count is long known.
///
/// A gap may come late: its row is written with a batch of letters, by an instance whose clock may differ. So the last minutes are read
/// again, and those that are counted go with the frame.
async fn gaps(store: &Store, until: Timestamp) -> Result<(), StoreError> {
    let (after, counted) = store.figure_source(GAPS).await?.map_or((None, None), |(at, state)| (Some(at), state));
    if after.is_some_and(|after| after >= until) {
        return Ok(());
    }
    let (counted, known) = (ids(&counted.unwrap_or_default()), until.minus(WINDOW));
    let noticed = store.list_noticed_gaps(after.unwrap_or(until).minus(LATE), until).await?;
    let is_news = |gap: &&NoticedGap| !counted.contains(&gap.id) && (after.is_some() || gap.noticed_at > known);
    let mut lost: BTreeMap<Labels, u64> = BTreeMap::new();
    for gap in noticed.iter().filter(is_news) {
        *lost.entry(Labels::bus(&gap.bus).topic(&gap.topic)).or_default() += gap.lost;
    }
    let points = lost.into_iter().map(|(labels, lost)| (key(Figure::RecordsLost, labels), Point::Count(number(lost)))).collect();
    let again = noticed.iter().filter(|gap| gap.noticed_at > until.minus(LATE));
    let state = Some(again.flat_map(|gap| gap.id.to_le_bytes()).collect());
    // Where another instance has counted meanwhile, its count stands.
    store.add_frame(NewFrame { source: GAPS, after, taken_at: until, points, state, snapshot: false }).await?;
    Ok(())
}

/// Ids as a frame's state keeps them.
fn ids(state: &[u8]) -> HashSet<i64> {
    let (ids, _) = state.as_chunks();
    ids.iter().map(|id| i64::from_le_bytes(*id)).collect()
}

/// Outcomes by consumer group and fingerprint, and how long it took until they were resolved.
fn counted(found: &[Outcome]) -> Vec<(SeriesKey, Point)> {
    let (mut counts, mut times): (BTreeMap<Labels, (u64, u64)>, BTreeMap<Labels, Histogram>) = (BTreeMap::new(), BTreeMap::new());
    for outcome in found {
        let labels = match &outcome.consumer_group {
            Some(group) => Labels::bus(&outcome.bus).consumer_group(group),
            None => Labels::bus(&outcome.bus),
        };
        if !outcome.failed_again {
            times.entry(Labels::bus(&outcome.bus)).or_default().record(outcome.failed_at.age_at(outcome.at).as_secs_f64());
        }
        let count = counts.entry(labels.fingerprint(outcome.fingerprint)).or_default();
        count.0 += 1;
        count.1 += u64::from(outcome.failed_again);
    }
    let mut most: Vec<(Labels, (u64, u64))> = counts.into_iter().collect();
    most.sort_by(|(a, some), (b, other)| other.0.cmp(&some.0).then_with(|| a.cmp(b)));
    let mut rest: BTreeMap<Labels, (u64, u64)> = BTreeMap::new();
    for (labels, (all, failed)) in most.split_off(most.len().min(MOST)) {
        let sum = rest.entry(Labels { bus: labels.bus, ..Labels::default() }).or_default();
        *sum = (sum.0 + all, sum.1 + failed);
    }
    let mut points = Vec::new();
    for (labels, (all, failed)) in most.into_iter().chain(rest) {
        points.push((key(Figure::ReplayOutcomes, labels.clone()), Point::Count(number(all))));
        points.push((key(Figure::ReplayFailures, labels), Point::Count(number(failed))));
    }
    points.extend(times.into_iter().map(|(labels, times)| (key(Figure::DeadLettersResolveSeconds, labels), Point::Durations(times))));
    points
}

const fn key(figure: Figure, labels: Labels) -> SeriesKey {
    SeriesKey { figure, labels }
}

/// Whole seconds: they take a few bytes.
fn seconds(time: Duration) -> Point {
    Point::Level(number(time.as_secs()))
}

#[expect(clippy::cast_precision_loss, reason = "counts, sizes and seconds of figures")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fingerprint;

    fn outcome(hash: u64, failed_again: bool) -> Outcome {
        let at = Timestamp::from_millis(100_000);
        let fingerprint = Fingerprint { version: 1, hash };
        Outcome {
            at,
            failed_again,
            failed_at: at.minus(Duration::from_secs(40)),
            bus: "prod".into(),
            consumer_group: Some("billing".into()),
            fingerprint,
        }
    }

    #[test]
    fn outcomes_are_counted_by_cause_and_only_what_was_resolved_has_a_time() {
        let points = counted(&[outcome(1, false), outcome(1, true), outcome(2, true)]);
        let of = |figure: Figure| points.iter().filter(|(key, _)| key.figure == figure).map(|(_, point)| point.clone()).collect::<Vec<_>>();
        assert_eq!(of(Figure::ReplayOutcomes), [Point::Count(2.0), Point::Count(1.0)]);
        assert_eq!(of(Figure::ReplayFailures), [Point::Count(1.0), Point::Count(1.0)]);
        assert!(matches!(&of(Figure::DeadLettersResolveSeconds)[..], [Point::Durations(times)] if times.count() == 1));
    }

    #[test]
    fn what_is_beyond_the_busiest_is_added_up() {
        let all: Vec<Outcome> = (0..MOST as u64 + 5).map(|hash| outcome(hash, true)).collect();
        let points = counted(&all);
        assert_eq!(points.len(), (MOST + 1) * 2);
        let rest = points.iter().find(|(key, _)| key.figure == Figure::ReplayFailures && key.labels.fingerprint.is_none());
        assert_eq!(rest.map(|(_, point)| point), Some(&Point::Count(5.0)));
    }

    #[test]
    fn without_a_limit_the_disk_is_the_limit() {
        let usage = StoreUsage { used_bytes: 25, disk_free_bytes: Some(75), ..StoreUsage::default() };
        let ratio = |usage: &StoreUsage| own(&[], usage, Timestamp::from_millis(0)).first().map(|(_, point)| point.clone());
        assert_eq!(ratio(&usage), Some(Point::Level(0.25)));
        assert_eq!(ratio(&StoreUsage { max_bytes: Some(50), ..usage.clone() }), Some(Point::Level(0.5)));
        assert_eq!(ratio(&StoreUsage { disk_free_bytes: None, ..usage }), None, "nobody knows");
    }
}
