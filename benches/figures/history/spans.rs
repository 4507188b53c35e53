//! What spans say of the same topics and groups: counts, failures and durations, in frames of ten seconds. A few topics are busy and most
//! are slow, as on real buses. The durations of a series repeat after an hour, so that a month is written in some seconds: within a row of the store nothing repeats.

use redrive::metrics::bucket::{Bucket, Buckets, Point};
use redrive::metrics::histogram::Histogram;
use redrive::model::BusId;
use redrive::model::figure::{Figure, Labels, SeriesKey};

use super::{BUS, MINUTE_MS, TOPICS, group_name, topic_name};

/// The job that counts spans writes so often.
pub(super) const FRAME_MS: i64 = 10_000;
const A_MINUTE: usize = (MINUTE_MS / FRAME_MS) as usize;
const MINUTES: usize = 60;
/// Messages a second of the busiest topic; the next has half of it, then a third.
const BUSIEST: f64 = 200.0;

/// One series: what its frames say, over and over.
pub(super) struct Repeated {
    pub(super) key: SeriesKey,
    frames: Vec<Point>,
    minutes: Vec<Bucket>,
}

/// All series of spans, in no order.
pub(super) fn all(groups: usize) -> Vec<Repeated> {
    let bus = BusId::from(BUS);
    let mut random = Random(7);
    let mut series = Vec::new();
    let topic = |number: usize| Labels::bus(&bus).topic(&topic_name(number).as_str().into());
    for number in 0..TOPICS {
        let labels = topic(number).service(format!("producer-{}", number % 40)).operation("send");
        add(&mut series, &mut random, &labels, number, &[(Figure::PublishDurationSeconds, 0.004)]);
    }
    for number in 0..groups {
        let group = group_name(number);
        let labels = topic(number % TOPICS).consumer_group(&group.as_str().into()).service(group).operation("process");
        let durations =
            [(Figure::BrokerDurationSeconds, 0.015), (Figure::ProcessingDurationSeconds, 0.04), (Figure::EndToEndDurationSeconds, 0.06)];
        add(&mut series, &mut random, &labels, number % TOPICS, &durations);
    }
    series
}

fn add(series: &mut Vec<Repeated>, random: &mut Random, labels: &Labels, topic: usize, durations: &[(Figure, f64)]) {
    let a_frame = (BUSIEST / (topic + 1) as f64 * FRAME_MS as f64 / 1e3).max(1.0) as usize;
    let key = |figure| SeriesKey { figure, labels: labels.clone() };
    let frames = 0..A_MINUTE * MINUTES;
    series.push(Repeated::new(key(Figure::SpansPerSecond), frames.clone().map(|_| Point::Count(a_frame as f64)).collect()));
    // One in two hundred fails.
    let failed = frames.clone().map(|frame| Point::Count((a_frame * (frame + 1) / 200 - a_frame * frame / 200) as f64));
    series.push(Repeated::new(key(Figure::SpanErrorsPerSecond), failed.collect()));
    for (figure, median) in durations {
        let points = frames.clone().map(|_| {
            let mut histogram = Histogram::new();
            for _ in 0..a_frame {
                histogram.record(median * (random.normal() * 0.6).exp());
            }
            Point::Durations(histogram)
        });
        series.push(Repeated::new(key(*figure), points.collect()));
    }
}

impl Repeated {
    fn new(key: SeriesKey, frames: Vec<Point>) -> Self {
        let minute = |points: &[Point]| {
            let mut buckets = points.iter().map(|point| Bucket::of(point.clone(), FRAME_MS as u64));
            let first = buckets.next().expect("six frames");
            buckets.fold(first, |mut sum, bucket| {
                sum.merge(&bucket);
                sum
            })
        };
        let minutes = frames.chunks(A_MINUTE).map(minute).collect();
        Self { key, frames, minutes }
    }

    /// What its frame of this moment says.
    pub(super) fn point(&self, at: i64) -> Point {
        let place = at.div_euclid(FRAME_MS).rem_euclid(self.frames.len() as i64) as usize;
        self.frames[place].clone()
    }

    /// What the frames of any hour add up to.
    pub(super) fn hour(&self) -> Buckets {
        Buckets((0..).zip(self.minutes.iter().cloned()).collect())
    }
}

/// `splitmix64`; the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around nought, as wide as one; the sum of twelve is near enough.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}
