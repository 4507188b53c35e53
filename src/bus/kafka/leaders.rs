//! Offsets of many partitions, each from its leader. librdkafka waits for all leaders until the deadline, so that one that is missing
//! fails the whole question, and one that is silent takes all of its time: then the rest are asked without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

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

/// Offsets by partition.
type Offsets = HashMap<TopicPartition, i64>;

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

    /// Whether nobody at all has answered.
    fn is_silence(&self) -> bool {
        self.offsets.is_empty() && !self.silent.is_empty()
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
            && self.silent.is_somebody()
            && let Some(led) = self.led(partitions)
            && led.keys().any(|leader| leader.is_some_and(|leader| self.silent.is(leader)))
        {
            return self.ask_leaders(led, wanted, &Failure::timed_out());
        }
        match self.offsets_at_once(partitions, wanted, left(self.deadline())) {
            Ok(answer) if answer.is_silence() => self.ask_offsets_of_some(partitions, wanted, &Failure::timed_out()),
            Ok(answer) => {
                // What has answered shows that it is not the bus.
                if !answer.silent.is_empty() {
                    for leader in self.led(&answer.silent).into_iter().flatten().filter_map(|(leader, _)| leader) {
                        self.silent.note(leader);
                    }
                }
                Ok(answer.offsets)
            }
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
        let explained = || Err(self.explain("reading offsets", NEEDS_DESCRIBE, failure));
        if is_unreachable(failure.code) {
            let Some(mut led) = self.led(partitions) else { return explained() };
            let leaderless = led.remove(&None).is_some();
            return match led.len() {
                0 => Ok(Offsets::new()),
                1 if !leaderless => explained(),
                _ => self.ask_leaders(led, wanted, failure),
            };
        }
        if partitions.len() == 1 {
            return if failure.code == Code::UnsupportedVersion { explained() } else { Ok(Offsets::new()) };
        }
        let (one, other) = partitions.split_at(partitions.len() / 2);
        let mut all = self.ask_offsets(one, wanted)?;
        all.extend(self.ask_offsets(other, wanted)?);
        Ok(all)
    }

    /// Partitions by leader; `None` when nobody tells.
    fn led(&self, partitions: &[TopicPartition]) -> Option<Led> {
        let topics: BTreeSet<&TopicName> = partitions.iter().map(|p| &p.topic).collect();
        let described = self.describe(&names::topics(topics)).ok()?;
        let topics: HashMap<String, TopicDescription> = described.into_iter().filter_map(|(n, t)| Some((n, t.ok()?))).collect();
        let mut led = Led::new();
        for partition in partitions {
            let leader = topics.get(partition.topic.as_str()).and_then(|t| t.partitions.get(&partition.partition).copied().flatten());
            led.entry(leader).or_default().push(partition.clone());
        }
        Some(led)
    }

    /// Asks each leader for what it leads, all at the same time. What a leader that does not answer leads is left out, and it is not
    /// asked again at once; where nobody who is asked answers, that is the answer.
    fn ask_leaders(&self, led: Led, wanted: Wanted, failure: &Failure) -> Result<Offsets, BusError> {
        let time = self.settings.request_timeout / SHARE;
        let ask = |(leader, theirs): &(i32, Vec<TopicPartition>)| match self.offsets_at_once(theirs, wanted, time) {
            Ok(answer) if answer.is_silence() => (*leader, None),
            Ok(answer) => (*leader, Some(Ok(answer.offsets))),
            Err(failure) if is_unreachable(failure.code) => (*leader, None),
            Err(failure) => (*leader, Some(self.ask_offsets_of_some(theirs, wanted, &failure))),
        };
        let led = led.into_iter().filter_map(|(leader, theirs)| Some((leader?, theirs)));
        let led: Vec<(i32, Vec<TopicPartition>)> = led.filter(|(leader, _)| !self.silent.was_a_moment_ago(*leader)).collect();
        let (mut all, mut silent) = (Offsets::new(), Vec::new());
        for some in led.chunks(AT_ONCE) {
            let answers: Vec<(i32, Option<Result<Offsets, BusError>>)> = std::thread::scope(|scope| {
                let asking: Vec<_> = some.iter().map(|leader| scope.spawn(move || ask(leader))).collect();
                asking.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            });
            for (leader, answer) in answers {
                match answer {
                    Some(offsets) => {
                        self.silent.forget(leader);
                        all.extend(offsets?);
                    }
                    None => silent.push(leader),
                }
            }
        }
        if !led.is_empty() && silent.len() == led.len() {
            return Err(self.explain("reading offsets", NEEDS_DESCRIBE, failure));
        }
        for leader in silent {
            self.silent.note(leader);
        }
        Ok(all)
    }
}
