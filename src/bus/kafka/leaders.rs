//! Offsets of many partitions, each from its leader. librdkafka waits for all leaders until the deadline, so that one that is missing
//! fails the whole question, and one that is silent takes all of its time: then the rest are asked without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::left;
use super::errors::is_unreachable;
use super::ffi::{Failure, PartitionOutcome, TopicDescription};
use super::silent::is_silence;
use super::topics::NEEDS_DESCRIBE;
use super::{Shared, names};
use crate::bus::BusError;
use crate::model::TopicName;
use crate::model::names::TopicPartition;

/// Leaders that are asked at the same time.
const AT_ONCE: usize = 16;
/// A leader that is asked apart has this part of a request's time: the first question had all of it.
const SHARE: u32 = 4;

/// Any broker knows the leaders; which one is asked is up to chance, and may be the silent one.
const TRIES: usize = 5;

/// Offsets by partition.
type Offsets = HashMap<TopicPartition, i64>;

/// What one leader has told.
type Told = Result<Offsets, BusError>;

/// Partitions by leader.
type Led = BTreeMap<Option<i32>, Vec<TopicPartition>>;

/// What was answered of many partitions.
#[derive(Default)]
struct Answer {
    offsets: Offsets,
    /// Partitions of which nobody has said anything in time.
    silent: Vec<TopicPartition>,
}

impl Answer {
    fn of(outcomes: Vec<PartitionOutcome>) -> Self {
        let mut answer = Self::default();
        for (partition, outcome) in outcomes {
            match outcome {
                Ok(offset) => drop(answer.offsets.insert(partition, offset)),
                Err(failure) if is_silence(failure.code) => answer.silent.push(partition),
                Err(_) => {}
            }
        }
        answer
    }
}

/// Which offsets are asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The first, the end, or that of a time.
    pub(super) offset: Offset,
    /// Whether the end is where what is committed ends.
    pub(super) committed: bool,
}

impl Shared {
    /// One kind of offset for many partitions; negative where there is none of a time. Those that cannot be told are left out.
    pub(super) fn ask_offsets(&self, partitions: &[TopicPartition], wanted: Wanted) -> Result<Offsets, BusError> {
        // A person who asks for one partition waits for its leader.
        if partitions.len() > 1
            && self.silent_leaders.is_somebody()
            && let Some(led) = self.led(partitions)
            && led.keys().any(|leader| leader.is_some_and(|leader| self.silent_leaders.is(leader)))
        {
            return self.ask_leaders(led, wanted, &Failure::timed_out());
        }
        match self.offsets_at_once(partitions, wanted, left(self.deadline())) {
            Ok(answer) if answer.silent.is_empty() => Ok(answer.offsets),
            // A leader may have been replaced since, or a connection lost: whoever leads now is asked once more.
            Ok(Answer { mut offsets, silent }) => match self.led(&silent).map(|led| self.ask_leaders(led, wanted, &Failure::timed_out())) {
                Some(Ok(more)) => {
                    offsets.extend(more);
                    Ok(offsets)
                }
                Some(Err(error)) if offsets.is_empty() => Err(error),
                None if offsets.is_empty() => Err(self.explain("reading offsets", NEEDS_DESCRIBE, &Failure::timed_out())),
                Some(Err(_)) | None => Ok(offsets),
            },
            Err(failure) => self.ask_offsets_of_some(partitions, wanted, &failure),
        }
    }

    fn offsets_at_once(&self, partitions: &[TopicPartition], wanted: Wanted, time: Duration) -> Result<Answer, Failure> {
        let list = names::list(partitions.iter().map(|p| (p, wanted.offset)));
        if list.count() == 0 {
            return Ok(Answer::default());
        }
        match self.client.list_offsets(&list, wanted.committed, time) {
            Ok(outcomes) => Ok(Answer::of(outcomes)),
            // None of these partitions has a leader.
            Err(failure) if failure.code == Code::NoEnt => Ok(Answer::default()),
            Err(failure) => Err(failure),
        }
    }

    /// Asks again, without those that have no leader, each leader apart, or in halves.
    fn ask_offsets_of_some(&self, partitions: &[TopicPartition], wanted: Wanted, failure: &Failure) -> Result<Offsets, BusError> {
        if is_unreachable(failure.code) {
            return match self.led(partitions) {
                Some(led) => self.ask_leaders(led, wanted, failure),
                None => Err(self.explain("reading offsets", NEEDS_DESCRIBE, failure)),
            };
        }
        if partitions.len() == 1 {
            return match failure.code {
                Code::UnsupportedVersion => Err(self.explain("reading offsets", NEEDS_DESCRIBE, failure)),
                _ => Ok(Offsets::new()),
            };
        }
        let (one, other) = partitions.split_at(partitions.len() / 2);
        let mut all = self.ask_offsets(one, wanted)?;
        all.extend(self.ask_offsets(other, wanted)?);
        Ok(all)
    }

    /// Partitions by leader; `None` when nobody tells.
    fn led(&self, partitions: &[TopicPartition]) -> Option<Led> {
        let topics: BTreeSet<&TopicName> = partitions.iter().map(|p| &p.topic).collect();
        let (topics, time) = (names::topics(topics), self.settings.request_timeout / SHARE);
        let described = (0..TRIES).find_map(|_| self.describe_within(time, &topics).ok())?;
        let topics: HashMap<String, TopicDescription> = described.into_iter().filter_map(|(n, t)| Some((n, t.ok()?))).collect();
        let mut led = Led::new();
        for partition in partitions {
            let leader = topics.get(partition.topic.as_str()).and_then(|t| t.partitions.get(&partition.partition).copied().flatten());
            led.entry(leader).or_default().push(partition.clone());
        }
        Some(led)
    }

    /// Asks each leader for what it leads, all at the same time. What a leader that does not answer leads is left out, and it is not
    /// asked again at once, unless there is no other to spare; where nobody at all is there, that is the answer.
    fn ask_leaders(&self, led: Led, wanted: Wanted, failure: &Failure) -> Result<Offsets, BusError> {
        let time = self.settings.request_timeout / SHARE;
        let ask = |(leader, theirs): &(i32, Vec<TopicPartition>)| {
            let begun = Instant::now();
            let answered = match self.offsets_at_once(theirs, wanted, time) {
                Ok(answer) if answer.offsets.is_empty() && !answer.silent.is_empty() => None,
                Ok(answer) => Some(Ok(answer.offsets)),
                Err(failure) if is_unreachable(failure.code) => None,
                Err(failure) => Some(self.ask_offsets_of_some(theirs, wanted, &failure)),
            };
            // Whoever has closed a connection is asked again with the next question.
            (*leader, answered, begun.elapsed() * 2 > time)
        };
        let led: Vec<(i32, Vec<TopicPartition>)> = led.into_iter().filter_map(|(leader, theirs)| Some((leader?, theirs))).collect();
        let (silent, others): (Vec<_>, Vec<_>) = led.into_iter().partition(|(leader, _)| self.silent_leaders.was_a_moment_ago(*leader));
        let asked = if others.is_empty() { silent } else { others };
        let (mut all, mut silent, mut anybody) = (Offsets::new(), Vec::new(), asked.is_empty());
        for some in asked.chunks(AT_ONCE) {
            let answers: Vec<(i32, Option<Told>, bool)> = std::thread::scope(|scope| {
                let asking: Vec<_> = some.iter().map(|leader| scope.spawn(move || ask(leader))).collect();
                asking.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            });
            for (leader, answer, waited) in answers {
                match answer {
                    Some(offsets) => {
                        anybody = true;
                        self.silent_leaders.forget(leader);
                        all.extend(offsets?);
                    }
                    None if waited => silent.push(leader),
                    None => {}
                }
            }
        }
        if !anybody && self.answers().is_err() {
            return Err(self.explain("reading offsets", NEEDS_DESCRIBE, failure));
        }
        for leader in silent {
            self.silent_leaders.note(leader);
        }
        Ok(all)
    }
}
