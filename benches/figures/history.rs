//! A store with a month of figures as a sampler leaves them that looks every fifteen seconds, and as spans of every message do: frames and
//! ends of the last two days, minutes of two weeks, hours of all days. What would take a month is added up by the same arithmetic and
//! written in bulk, hour by hour as roll-ups do it; one hour is rolled up again by the real code and must come out the same. Dead
//! letters, events of groups and alerts of that month are written through the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use redrive::metrics::bucket::{Bucket, Buckets, Point};
use redrive::metrics::ends;
use redrive::model::bus::{Capabilities, TopicRole};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::lag::{GroupOffset, GroupStatus, Standing, TimeLagMillis, Verdict};
use redrive::model::{BusId, BusKind, GroupName, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::figures::{NewFrame, SPANS, packing};
use redrive::store::topics::{SeenOffsets, SeenTopic, StoredTopic};
use redrive::store::{Store, StoreSettings};
use sqlx::SqliteConnection;

use bulk::Bulk;
use spans::Repeated;

pub(crate) mod bulk;
mod spans;
mod troubles;

pub(crate) const BUS: &str = "bench";
pub(crate) const TOPICS: usize = 500;
const DEAD_LETTERS: &str = "orders.DLT";
const SOURCE: &str = "bus:bench";
const PARTITIONS: i32 = 10;
const LOOK_MS: i64 = 15_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Frames are kept so long, and minutes.
const FRAMES_MS: i64 = 48 * HOUR_MS;
const MINUTES_MS: i64 = 14 * 24 * HOUR_MS;

/// What is written, and until when.
struct History {
    points: Vec<(i64, Figure)>,
    spans: Vec<(i64, Repeated)>,
    partitions: Vec<i64>,
    begin: i64,
    now: i64,
    /// Hours before this one are over.
    until: i64,
}

/// Fills a new store, up to now.
pub(crate) async fn fill(file: &Path, days: usize, groups: usize) {
    let now = Timestamp::now();
    let begin = now.as_millis().div_euclid(HOUR_MS) * HOUR_MS - days as i64 * 24 * HOUR_MS;
    let store = open(file).await;
    let (partitions, dead_letters) = known(&store, groups, Timestamp::from_millis(begin), now).await;
    // Names the series, in their order.
    let (keys, spans) = (keys(groups), spans::all(groups));
    let points = keys.iter().map(|key| (key.clone(), point(key.figure, 0, 0))).collect();
    name(&store, SOURCE, points, now).await;
    name(&store, SPANS, spans.iter().map(|series| (series.key.clone(), series.point(0))).collect(), now).await;
    troubles::fill(&store, &dead_letters, groups, Timestamp::from_millis(begin), now).await;
    store.close().await;
    // Its lock goes with it.
    drop(store);
    let mut bulk = Bulk::open(file).await;
    let mut ids = bulk.series().await;
    assert_eq!(ids.len(), keys.len() + spans.len());
    let of_spans = ids.split_off(keys.len());
    let points = ids.into_iter().zip(&keys).map(|(id, key)| (id, key.figure)).collect();
    let spans = of_spans.into_iter().zip(spans).collect();
    // As roll-ups do: an hour is over a minute after its end.
    let until = (now.as_millis() - MINUTE_MS).div_euclid(HOUR_MS);
    let history = History { points, spans, partitions, begin, now: now.as_millis(), until };
    history.write(&mut bulk).await;
    bulk.close().await;
    let store = open(file).await;
    history.check(file, &store).await;
    store.close().await;
}

async fn name(store: &Store, source: &str, points: Vec<(SeriesKey, Point)>, now: Timestamp) {
    let frame = NewFrame { source, after: None, taken_at: now, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("written"));
}

async fn open(file: &Path) -> Store {
    let url = format!("sqlite:{}", file.display());
    Store::open(&StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) }).await.expect("a store")
}

/// Topics and groups as last seen; answers ids of partitions, and of those that hold dead letters.
async fn known(store: &Store, groups: usize, begin: Timestamp, now: Timestamp) -> (Vec<i64>, Vec<i64>) {
    let bus = BusId::from(BUS);
    store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
    let of_letters = SeenTopic {
        topic: DEAD_LETTERS.into(),
        role: TopicRole::DeadLetter,
        partitions: (0..4).map(|partition| (partition, Some(1))).collect(),
        ..topic(TOPICS)
    };
    let seen: Vec<SeenTopic> = (0..TOPICS).map(topic).chain([of_letters]).collect();
    let stored = store.record_topics(&bus, &seen, begin).await.expect("topics");
    let (of_letters, others): (Vec<_>, Vec<_>) = stored.iter().partition(|topic| topic.generation.topic.as_str() == DEAD_LETTERS);
    let ids = |some: &[&StoredTopic]| some.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.id).collect::<Vec<_>>();
    let (partitions, dead_letters) = (ids(&others), ids(&of_letters));
    let offsets: Vec<SeenOffsets> = partitions
        .iter()
        .chain(&dead_letters)
        .map(|id| SeenOffsets { partition_id: *id, log_start: 0, end: 1_000_000, last_stable: None })
        .collect();
    store.record_offsets(&offsets, now).await.expect("offsets");
    let seen: Vec<SeenGroup> = (0..groups).map(|number| group(number, now)).collect();
    let names: Vec<GroupName> = seen.iter().map(|group| group.name.clone()).collect();
    store.record_consumer_groups(&bus, &seen, Some(&names), now).await.expect("groups");
    let reached = SweepResult::Reached {
        cluster_id: None,
        brokers: 6,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities::default(),
    };
    store.record_sweep(&bus, &reached, now).await.expect("swept");
    (partitions, dead_letters)
}

impl History {
    async fn write(&self, bulk: &mut Bulk) {
        bulk.forget_frames().await;
        // Every hour of a series of spans is the same, and is packed once.
        let of_spans = self.spans.iter().map(|(id, series)| (*id, series.hour()));
        let of_spans: Vec<(i64, Bucket, Vec<u8>)> = of_spans.map(|(id, hour)| (id, total(&hour), packed(&hour))).collect();
        let mut days: BTreeMap<i64, BTreeMap<i64, Buckets>> = BTreeMap::new();
        for hour in self.begin / HOUR_MS..self.until {
            let minutes = self.minutes(hour);
            let totals = minutes.iter().map(|(id, minutes)| (*id, total(minutes)));
            for (id, total) in totals.chain(of_spans.iter().map(|(id, total, _)| (*id, total.clone()))) {
                days.entry(hour.div_euclid(24)).or_default().entry(id).or_default().add(hour.rem_euclid(24) as u32, total);
            }
            if hour * HOUR_MS >= self.now - MINUTES_MS {
                let rows: Vec<(i64, Vec<u8>)> = minutes.iter().map(|(id, minutes)| (*id, packed(minutes))).collect();
                let of_spans = of_spans.iter().map(|(id, _, row)| (*id, row.as_slice()));
                bulk.minutes(hour, rows.iter().map(|(id, row)| (*id, row.as_slice())).chain(of_spans)).await;
            }
        }
        for (day, series) in days {
            let rows: Vec<(i64, Vec<u8>)> = series.iter().map(|(id, hours)| (*id, packed(hours))).collect();
            bulk.hours(day, rows.iter().map(|(id, row)| (*id, row.as_slice()))).await;
        }
        self.write_frames(bulk).await;
    }

    async fn write_frames(&self, bulk: &mut Bulk) {
        let first = (self.now - FRAMES_MS).max(self.begin);
        // The last hour that is over is left to the real code.
        let is_rolled = |at: i64| at.div_euclid(HOUR_MS) < self.until - 1;
        for look in (first - self.begin).div_euclid(LOOK_MS)..=(self.now - self.begin).div_euclid(LOOK_MS) {
            let at = self.begin + look * LOOK_MS;
            let points: Vec<(i64, Point)> =
                self.points.iter().enumerate().map(|(place, (id, figure))| (*id, point(*figure, place, look as usize))).collect();
            bulk.frame(SOURCE, at, LOOK_MS, is_rolled(at), &packing::frame(&points).expect("packed")).await;
            if at % MINUTE_MS == 0 {
                bulk.snapshot(SOURCE, at, &ends::encode(self.partitions.iter().map(|id| (*id, 1_000_000 + look)))).await;
            }
        }
        for number in first.div_euclid(spans::FRAME_MS)..=self.now.div_euclid(spans::FRAME_MS) {
            let at = number * spans::FRAME_MS;
            let points: Vec<(i64, Point)> = self.spans.iter().map(|(id, series)| (*id, series.point(at))).collect();
            bulk.frame(SPANS, at, spans::FRAME_MS, is_rolled(at), &packing::frame(&points).expect("packed")).await;
        }
        bulk.reached(SOURCE, self.begin + (self.now - self.begin).div_euclid(LOOK_MS) * LOOK_MS, self.until - 1).await;
        bulk.reached(SPANS, self.now.div_euclid(spans::FRAME_MS) * spans::FRAME_MS, self.until - 1).await;
    }

    /// What the looks of an hour add up to.
    fn minutes(&self, hour: i64) -> Vec<(i64, Buckets)> {
        let first = (hour * HOUR_MS - self.begin) / LOOK_MS;
        let looks = 0..HOUR_MS / LOOK_MS;
        let of_series = |(place, (id, figure)): (usize, &(i64, Figure))| {
            let mut minutes = Buckets::default();
            for look in looks.clone() {
                let minute = (look * LOOK_MS / MINUTE_MS) as u32;
                minutes.add(minute, Bucket::of(point(*figure, place, (first + look) as usize), LOOK_MS as u64));
            }
            (*id, minutes)
        };
        self.points.iter().enumerate().map(of_series).collect()
    }

    /// The real code rolls up the last hour that is over: the same minutes and hours as those in the store.
    async fn check(&self, file: &Path, store: &Store) {
        let mut reading = bulk::reading(file).await;
        let (hour, day) = (self.until - 1, (self.until - 1).div_euclid(24));
        let rows = async |reading: &mut SqliteConnection| (bulk::minutes_of(reading, hour).await, bulk::hours_of(reading, day).await);
        let before = rows(&mut reading).await;
        assert_eq!(before.0.len(), self.points.len() + self.spans.len());
        assert!(store.roll_up_figures(Timestamp::now()).await.expect("rolled up"), "an hour is due");
        assert!(before == rows(&mut reading).await, "the real code writes the same minutes and hours");
    }
}

fn packed(buckets: &Buckets) -> Vec<u8> {
    packing::buckets(buckets).expect("packed")
}

fn total(buckets: &Buckets) -> Bucket {
    buckets.total().expect("every series has samples")
}

/// Messages of every topic and in all; lag, lag in time and speed of every group.
fn keys(groups: usize) -> Vec<SeriesKey> {
    let of = |figure, labels| SeriesKey { figure, labels };
    let bus = BusId::from(BUS);
    let topic = |number: usize| Labels::bus(&bus).topic(&topic_name(number).as_str().into());
    let mut keys = vec![of(Figure::BusMessagesPerSecond, Labels::bus(&bus)), of(Figure::BusReachable, Labels::bus(&bus))];
    keys.extend((0..TOPICS).map(|number| of(Figure::TopicMessagesPerSecond, topic(number))));
    for number in 0..groups {
        let labels = topic(number % TOPICS).consumer_group(&group_name(number).as_str().into());
        for figure in [Figure::ConsumerGroupLagMessages, Figure::ConsumerGroupLagSeconds, Figure::ConsumerGroupMessagesPerSecond] {
            keys.push(of(figure, labels.clone()));
        }
    }
    keys
}

fn point(figure: Figure, place: usize, look: usize) -> Point {
    let wave = ((place * 31 + look * 7) % 997) as f64;
    match figure {
        Figure::BusReachable => Point::Level(1.0),
        Figure::BusMessagesPerSecond => Point::Count(wave * TOPICS as f64),
        Figure::ConsumerGroupLagSeconds => Point::Level(wave / 8.0),
        Figure::ConsumerGroupLagMessages => Point::Level(wave),
        _ => Point::Count(wave),
    }
}

fn topic_name(number: usize) -> String {
    format!("events-{number:03}")
}

pub(crate) fn group_name(number: usize) -> String {
    format!("group-{number:04}")
}

fn topic(number: usize) -> SeenTopic {
    SeenTopic {
        topic: topic_name(number).as_str().into(),
        topic_id: Some(format!("id-{number}")),
        role: TopicRole::Ordinary,
        internal: false,
        replication_factor: 3,
        compacted: false,
        config: BTreeMap::new(),
        partitions: (0..PARTITIONS).map(|partition| (partition, Some(1))).collect(),
    }
}

/// Every tenth is behind.
fn group(number: usize, now: Timestamp) -> SeenGroup {
    let status = if number.is_multiple_of(10) { GroupStatus::FallingBehind } else { GroupStatus::CaughtUp };
    let lag = if number.is_multiple_of(10) { 10_000 + number as i64 } else { 0 };
    let offset = |partition| GroupOffset {
        topic: topic_name(number % TOPICS).as_str().into(),
        partition,
        committed: Some(1_000_000 - lag),
        log_start: Some(0),
        end: Some(1_000_000),
        last_stable: Some(1_000_000),
        not_records: None,
        at_most: false,
        time_lag: Some(TimeLagMillis { min: lag, max: Some(lag * 2), estimate: Some(lag), looked_up: false }),
        moved_at: Some(now),
        verdict: Verdict { status, since: Some(now), evidence: format!("{lag} left to read and more than before"), looks: None },
    };
    SeenGroup {
        name: group_name(number).as_str().into(),
        kind: "consumer".to_owned(),
        state: "Stable".to_owned(),
        members: Some(Vec::new()),
        offsets: (0..PARTITIONS).map(offset).collect(),
        standing: Standing { status, since: Some(now), evidence: "more than before".to_owned(), parked: false, behind_since: Some(now) },
    }
}
