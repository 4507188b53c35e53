//! What goes wrong in that month: dead letters of forty causes, what happened to consumer groups, and alerts that came and went.

use std::time::Duration;

use redrive::alerts::defaults::usual;
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{Comparison, Label, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::model::{Actor, AuditEntry, BusId, Timestamp};
use redrive::store::Store;
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;
use redrive::store::indexing::PartitionPosition;

use super::{BUS, TOPICS, group_name, topic_name};
use crate::letters::Feed;

/// Who looks at lag while it goes wrong; its frames do not stay.
const SOURCE: &str = "troubles";
const LETTERS: usize = 60_000;
const BATCH: usize = 2_000;
const EVENTS: usize = 2_000;
/// Each about three consumer groups.
const ALERTS: usize = 100;
/// So many fire still.
const FIRING: usize = 5;

/// Writes them through the store, spread over the time.
pub(super) async fn fill(store: &Store, dead_letters: &[i64], groups: usize, begin: Timestamp, now: Timestamp) {
    let month = begin.age_at(now);
    let at = |number: usize, of: usize| begin.plus(month.mul_f64((number + 1) as f64 / (of + 1) as f64));
    letters(store, dead_letters, groups, |number| at(number, LETTERS)).await;
    let event = |number: usize| GroupEvent {
        at: at(number, EVENTS),
        kind: if number.is_multiple_of(3) { GroupEventKind::Rebalanced } else { GroupEventKind::StatusChanged },
        group: group_name(number * 7 % groups).as_str().into(),
        topic: None,
        detail: "3 members now, 1 came".to_owned(),
    };
    let events: Vec<GroupEvent> = (0..EVENTS).map(event).collect();
    store.add_group_events(&BusId::from(BUS), &events).await.expect("written");
    alerts(store, groups, |number| at(number, 2 * ALERTS)).await;
}

async fn letters(store: &Store, partitions: &[i64], groups: usize, at: impl Fn(usize) -> Timestamp) {
    let starts: Vec<_> =
        partitions.iter().map(|id| PartitionPosition { partition_id: *id, next: 0, backlog_below: 0, caught_up_at: None }).collect();
    store.start_positions(&starts).await.expect("positions");
    let mut feed = Feed::new(partitions.to_vec());
    for first in (0..LETTERS).step_by(BATCH) {
        let mut batch = feed.batch(BATCH);
        batch.bus = BUS.into();
        for (number, (_, letter)) in batch.letters.iter_mut().enumerate() {
            let failed_at = at(first + number);
            (letter.failed_at, letter.arrived_at, letter.record.timestamp) = (failed_at, failed_at, Some(failed_at));
            let cause = letter.fingerprint.fingerprint.hash as usize;
            letter.failure.origin.topic = Some(topic_name(cause % TOPICS).as_str().into());
            letter.failure.consumer_group = Some(group_name(cause % groups).as_str().into());
        }
        store.record_index_batch(batch, at(first + BATCH - 1)).await.expect("indexed");
    }
}

/// Groups that lag and catch up again, before a rule; the last ones are behind still.
async fn alerts(store: &Store, groups: usize, at: impl Fn(usize) -> Timestamp) {
    let usual = usual(Figure::ConsumerGroupLagMessages, Comparison::Above, 1_000.0);
    let terms = Terms { by: vec![Label::Bus, Label::ConsumerGroup], for_ms: 0, keep_firing_for_ms: 0, ..usual };
    let rule = NewRule { name: "Consumer group lags".to_owned(), enabled: true, terms };
    store.add_alert_rule(&rule, &entry()).await.expect("added");
    let mut evaluator = Evaluator::new("");
    for number in 0..2 * ALERTS {
        let behind = number.is_multiple_of(2) || number + FIRING > 2 * ALERTS;
        let points = (0..3).map(|group| point((number / 2 * 3 + group) % groups, if behind { 5_000.0 } else { 0.0 })).collect();
        let after = store.figure_source(SOURCE).await.expect("read").map(|(at, _)| at);
        let taken_at = at(number);
        let frame = NewFrame { source: SOURCE, after, taken_at, points, state: None, snapshot: false };
        assert!(store.add_frame(frame).await.expect("written"));
        evaluator.look(store, None, false, taken_at.plus(Duration::from_secs(1))).await.expect("looked");
    }
}

fn point(group: usize, lag: f64) -> (SeriesKey, Point) {
    let topic = topic_name(group % TOPICS);
    let labels = Labels::bus(&BUS.into()).topic(&topic.as_str().into()).consumer_group(&group_name(group).as_str().into());
    (SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(lag))
}

fn entry() -> AuditEntry {
    AuditEntry {
        id: 0,
        at: Timestamp::now(),
        actor: Actor { name: "user:bench".to_owned(), address: None },
        action: "alert_rules.add".to_owned(),
        target: String::new(),
        count: None,
        result: "done".to_owned(),
    }
}
