//! Lag in time beside a ledger: a production with bursts and pauses, readers that are slow, stop and go on, and a restart. Whatever is
//! told at whatever moment, the truth lies inside of its bound.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redrive::model::Timestamp;
use serde_json::Value;

use super::scene::{group, records};
use crate::harness::kafka::{Kafka, shared, unique};
use crate::harness::redrive::{Redrive, Setup};

/// One step of the script.
const TICK: Duration = Duration::from_secs(2);
const TICKS: usize = 34;
const PARTITIONS: usize = 3;

/// How many records a step writes: bursts with long pauses, a stream that pauses once, and nothing but the beginning.
fn written_at(tick: usize, partition: usize) -> usize {
    match (partition, tick) {
        (0, 0 | 9 | 22) => 120,
        (1, 0..10 | 20..30) | (0, 10) => 7,
        (2, 0) => 20,
        _ => 0,
    }
}

/// When each offset of each partition was written, as its producer knows it: between these two moments.
type Ledger = Arc<Mutex<[Vec<(i64, i64)>; PARTITIONS]>>;

/// Three readers: one that reads some and never all, one that reads all, stops, and goes on, and one that has begun and does no more.
struct Readers {
    topic: String,
    slow: String,
    stops: String,
    stays: String,
}

impl Readers {
    async fn read(&self, kafka: &Kafka, tick: usize, ends: [i64; PARTITIONS]) {
        let up_to = |at: fn(usize, i64) -> i64| -> Vec<(&str, i32, i64)> {
            let places = (0..).zip(ends);
            places.map(|(partition, end)| (self.topic.as_str(), partition, at(tick, end).min(end))).collect()
        };
        kafka.commit(&self.slow, &up_to(|tick, _| i64::try_from(tick).expect("few") * 3)).await;
        if !(8..20).contains(&tick) {
            kafka.commit(&self.stops, &up_to(|_, end| end)).await;
        }
        if tick == 0 {
            kafka.commit(&self.stays, &up_to(|_, _| 1)).await;
        }
    }
}

async fn play(kafka: &Kafka, readers: &Readers, ledger: &Ledger, ticks: std::ops::Range<usize>) {
    for tick in ticks {
        for partition in 0..PARTITIONS {
            let new = written_at(tick, partition);
            if new == 0 {
                continue;
            }
            let place = i32::try_from(partition).expect("few");
            let before = Timestamp::now().as_millis();
            kafka.produce(&records(&readers.topic, place, new)).await;
            let after = Timestamp::now().as_millis();
            ledger.lock().expect("not poisoned")[partition].extend(std::iter::repeat_n((before, after), new));
        }
        let ends = ledger.lock().expect("not poisoned").each_ref().map(|of| i64::try_from(of.len()).expect("few"));
        readers.read(kafka, tick, ends).await;
        tokio::time::sleep(TICK).await;
    }
}

/// What was compared so far.
#[derive(Default)]
struct Compared {
    moments: HashSet<(String, i64, i64)>,
    with_an_upper_bound: usize,
    nothing_left: usize,
}

impl Compared {
    /// Compares one answer about one partition; what was compared before counts once.
    fn compare(&mut self, name: &str, found: &Value, ledger: &Ledger) {
        let number = |field: &str| found[field].as_i64();
        let (Some(committed), Some(end)) = (number("committed"), number("end")) else { return };
        let bound = ["lag_seconds_min", "lag_seconds", "lag_seconds_max"].map(|field| found[field].as_f64());
        if committed == end {
            assert_eq!(bound, [Some(0.0); 3], "{name}: nothing is left to read: {found:#}");
            self.nothing_left += 1;
            return;
        }
        // Until it was looked at twice.
        let Some(at) = found["looks"][1]["at"].as_str().and_then(Timestamp::parse_rfc3339) else { return };
        let partition = number("partition").expect("a number");
        if !self.moments.insert((name.to_owned(), partition, at.as_millis())) {
            return;
        }
        let known = ledger.lock().expect("not poisoned");
        let partition = usize::try_from(partition).expect("not negative");
        // What is being written just now is in the ledger a moment later.
        let Some((before, after)) = known[partition].get(usize::try_from(committed).expect("not negative")).copied() else { return };
        #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
        let seconds = |millis: i64| millis as f64 / 1e3;
        let (at_least, at_most) = (seconds(at.as_millis() - after), seconds(at.as_millis() - before));
        let [Some(min), estimate, max] = bound else { panic!("{name}: there is no lower bound: {found:#}") };
        // Times are whole milliseconds.
        let whole = 0.001_5;
        assert!(min <= at_most + whole, "{name}: at most {at_most} s behind, and said to be at least {min}: {found:#}");
        let Some(max) = max else {
            assert_eq!(estimate, None, "{name}: {found:#}");
            return;
        };
        assert!(at_least <= max + whole, "{name}: at least {at_least} s behind, and said to be at most {max}: {found:#}");
        assert!(estimate.is_some_and(|estimate| min <= estimate && estimate <= max), "{name}: {found:#}");
        self.with_an_upper_bound += 1;
    }

    async fn look(&mut self, client: &reqwest::Client, redrive: &Redrive, readers: &Readers, ledger: &Ledger) {
        for name in [&readers.slow, &readers.stops, &readers.stays] {
            let found = group(client, redrive, name).await;
            for partition in found["partitions"].as_array().into_iter().flatten() {
                self.compare(name, partition, ledger);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_in_time_lies_inside_of_its_bound_at_every_moment_of_bursts_pauses_and_a_restart() {
    let kafka = shared();
    let topic = kafka.topic("script", i32::try_from(PARTITIONS).expect("few"), &[]).await;
    let readers = Readers { topic, slow: unique("slow"), stops: unique("stops"), stays: unique("stays") };
    let readers = Arc::new(readers);
    let ledger = Ledger::default();
    let mut redrive = Setup::new().bus("prod", &kafka.bootstrap()).start().await;
    let client = redrive.client("viewer");
    let mut compared = Compared::default();
    for (part, ticks) in [0..TICKS / 2, TICKS / 2..TICKS].into_iter().enumerate() {
        if part == 1 {
            assert!(redrive.stop().await.success());
            redrive.start().await;
        }
        let (reading, written) = (Arc::clone(&readers), Arc::clone(&ledger));
        #[expect(clippy::disallowed_methods, reason = "somebody else's programs, not a task of the house")]
        let script = tokio::spawn(async move { play(kafka, &reading, &written, ticks).await });
        while !script.is_finished() {
            compared.look(&client, &redrive, &readers, &ledger).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        script.await.expect("the script is played to its end");
    }
    let Compared { moments, with_an_upper_bound, nothing_left } = compared;
    eprintln!("{} moments, {with_an_upper_bound} with an upper bound, {nothing_left} answers with nothing left", moments.len());
    assert!(moments.len() >= 30 && with_an_upper_bound >= 15 && nothing_left > 0, "too little was seen to prove anything");
}
