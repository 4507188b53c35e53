//! A store with a month of figures: each look of the last two days, and one each quarter of an hour before that.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::bus::{Capabilities, TopicRole};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::lag::{GroupOffset, GroupStatus, Standing, TimeLagMillis, Verdict};
use redrive::model::{BusId, BusKind, GroupName, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::figures::NewFrame;
use redrive::store::topics::{SeenOffsets, SeenTopic};
use redrive::store::{Store, StoreSettings};

pub(crate) const BUS: &str = "bench";
pub(crate) const TOPICS: usize = 500;
const PARTITIONS: i32 = 10;
const DENSE: Duration = Duration::from_hours(48);
const LOOK: Duration = Duration::from_secs(15);
const SPARSE: Duration = Duration::from_mins(15);

/// Fills a new store, up to now.
pub(crate) async fn fill(url: &str, days: usize, groups: usize) {
    let store =
        Store::open(&StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) }).await.expect("a store");
    let (bus, now) = (BusId::from(BUS), Timestamp::now());
    store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
    let begin = now.minus(Duration::from_hours(24 * days as u64));
    let seen: Vec<SeenTopic> = (0..TOPICS).map(topic).collect();
    let stored = store.record_topics(&bus, &seen, begin).await.expect("topics");
    let offsets: Vec<SeenOffsets> = stored
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| SeenOffsets { partition_id: partition.id, log_start: 0, end: 1_000_000, last_stable: None })
        .collect();
    store.record_offsets(&offsets, now).await.expect("offsets");
    let seen: Vec<SeenGroup> = (0..groups).map(|number| group(number, now)).collect();
    let names: Vec<GroupName> = seen.iter().map(|group| group.name.clone()).collect();
    store.record_consumer_groups(&bus, &seen, Some(&names), now).await.expect("groups");
    let reached = SweepResult::Reached { cluster_id: None, brokers: 6, capabilities: Capabilities::default() };
    store.record_sweep(&bus, &reached, now).await.expect("swept");
    looks(&store, groups, begin, now).await;
    store.close().await;
}

async fn looks(store: &Store, groups: usize, begin: Timestamp, now: Timestamp) {
    let keys = keys(groups);
    let (mut at, mut after, mut look) = (begin, None, 0_usize);
    let mut rolled = begin;
    while at < now {
        let points = keys.iter().enumerate().map(|(place, key)| (key.clone(), point(key.figure, place, look))).collect();
        let frame = NewFrame { source: "bus:bench", after, taken_at: at, points, state: None, snapshot: false };
        assert!(store.add_frame(frame).await.expect("written"));
        after = Some(at);
        look += 1;
        at = at.plus(if at.age_at(now) <= DENSE { LOOK } else { SPARSE });
        // As the job does, hour by hour, and frames past their time go.
        if rolled.age_at(at) > Duration::from_hours(2) {
            rolled = at;
            while store.roll_up_figures(at).await.expect("rolled up") {}
            store.prune_frames(at.minus(DENSE), 5_000).await.expect("pruned");
            store.prune_figure_minutes(at.minus(Duration::from_hours(14 * 24)), 100_000).await.expect("pruned");
        }
    }
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
        time_lag: Some(TimeLagMillis { min: lag, max: Some(lag * 2), estimate: Some(lag) }),
        moved_at: Some(now),
        verdict: Verdict { status, since: Some(now), evidence: format!("{lag} left to read and more than before"), looks: None },
    };
    SeenGroup {
        name: group_name(number).as_str().into(),
        kind: "consumer".to_owned(),
        state: "Stable".to_owned(),
        members: Some(Vec::new()),
        offsets: (0..PARTITIONS).map(offset).collect(),
        standing: Standing { status, since: Some(now), evidence: "more than before".to_owned(), parked: false },
    }
}
