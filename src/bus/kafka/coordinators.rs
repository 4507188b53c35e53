//! Which broker answers for which consumer group.
//!
//! librdkafka can look for the coordinator by itself, but (2.12) the process dies when it is still looking as the call times out: the
//! broker that comes back later is answered through memory that went with the call (`rd_kafka_enq_once_del_source_return`). A call to a
//! broker that is named has no such end. So brokers are named: first the one that has answered for the group before, then every other.
//! One that is not the coordinator says so at once.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::left;
use super::errors::is_unreachable;
use super::ffi::{Failure, Group};
use super::{PROBE, Shared};
use crate::bus::BusError;
use crate::model::names::TopicPartition;

/// The brokers that have answered lately, by group.
#[derive(Default)]
pub(super) struct Coordinators(Mutex<HashMap<CString, i32>>);

impl Coordinators {
    fn of(&self, group: &CString) -> Option<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied()
    }

    fn note(&self, group: &CString, broker: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(group.clone(), broker);
    }

    fn forget(&self, group: &CString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }
}

/// Whether an answer settles who the coordinator is. One that is still loading is the right one.
const fn settles(code: Code) -> bool {
    !is_unreachable(code) || matches!(code, Code::CoordinatorLoadInProgress | Code::UnstableOffsetCommit)
}

/// Whether nobody has answered, rather than somebody who is not the coordinator, or not yet.
const fn is_silence(code: Code) -> bool {
    !settles(code) && !matches!(code, Code::NotCoordinator | Code::CoordinatorNotAvailable)
}

fn nobody() -> Failure {
    Failure { code: Code::CoordinatorNotAvailable, words: "no broker coordinates the group".to_owned() }
}

impl Shared {
    /// Whether the bus answers, asked only when connections have failed lately: of many calls about groups none waits out its whole
    /// time while nobody is there.
    pub(super) fn is_there(&self) -> Result<(), BusError> {
        if self.watch.recent_reason().is_none() { Ok(()) } else { self.answers() }
    }

    /// Whether anybody answers at all.
    pub(super) fn answers(&self) -> Result<(), BusError> {
        self.client.brokers(PROBE).map_err(|failure| self.explain("reaching the bus", "a login", &failure))?;
        self.watch.answered();
        Ok(())
    }

    /// Makes a call about one group where it is coordinated.
    pub(super) fn at_coordinator<T>(
        &self,
        group: &CString,
        deadline: Instant,
        mut call: impl FnMut(i32, Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let known = self.coordinators.of(group);
        if let Some(broker) = known {
            match call(broker, left(deadline)) {
                Err(failure) if !settles(failure.code) => {
                    self.coordinators.forget(group);
                    if failure.code != Code::NotCoordinator {
                        return Err(failure);
                    }
                }
                answer => return answer,
            }
        }
        let mut last = nobody();
        let brokers = self.client.brokers(left(deadline))?;
        for (place, broker) in brokers.iter().enumerate().filter(|(_, broker)| known != Some(**broker)) {
            match call(*broker, share(deadline, brokers.len() - place)) {
                Err(failure) if failure.code == Code::NotCoordinator => {}
                Err(failure) if !settles(failure.code) => last = failure,
                answer => {
                    self.coordinators.note(group, *broker);
                    return answer;
                }
            }
        }
        Err(last)
    }

    /// What a group has committed, on some partitions or wherever, from its coordinator, unless that one was silent a moment ago.
    pub(super) fn offsets_at_coordinator(
        &self,
        group: &CString,
        partitions: Option<&TopicPartitionList>,
        deadline: Instant,
    ) -> Result<Vec<(TopicPartition, i64)>, Failure> {
        self.at_coordinator(group, deadline, |broker, time| {
            self.silent_coordinators.unless_silent(broker, time, |time| self.client.group_offsets(group, broker, partitions, time))
        })
    }

    /// Groups with their members, each as its coordinator knows it; in the order asked for. Where nobody answers of any of them, that
    /// is the answer.
    pub(super) fn describe_at_coordinators(&self, groups: &[CString], deadline: Instant) -> Result<Vec<Group>, Failure> {
        let mut found: HashMap<String, Group> = HashMap::new();
        let mut open: Vec<CString> = Vec::new();
        let mut known: BTreeMap<i32, Vec<CString>> = BTreeMap::new();
        for group in groups {
            match self.coordinators.of(group) {
                Some(broker) => known.entry(broker).or_default().push(group.clone()),
                None => open.push(group.clone()),
            }
        }
        let brokers = known.len();
        for (place, (broker, some)) in known.into_iter().enumerate() {
            // One that is silent leaves the others, and whoever coordinates its groups now, their time.
            open.extend(self.describe_at(broker, some, share(deadline, brokers - place + 1), &mut found)?);
        }
        if !open.is_empty() {
            let brokers = self.client.brokers(left(deadline))?;
            for (place, broker) in brokers.iter().enumerate() {
                if open.is_empty() {
                    break;
                }
                open = self.describe_at(*broker, open, share(deadline, brokers.len() - place), &mut found)?;
            }
        }
        let described: Vec<Group> = groups.iter().filter_map(|group| found.remove(&*group.to_string_lossy())).collect();
        let mut failures = described.iter().map(|group| group.members.as_ref().err().filter(|failure| is_silence(failure.code)));
        match failures.next().flatten().cloned() {
            Some(failure) if failures.all(|failure| failure.is_some()) => Err(failure),
            _ => Ok(described),
        }
    }

    /// Describes groups as one broker knows them; answers those of which somebody else may know more.
    fn describe_at(
        &self,
        broker: i32,
        groups: Vec<CString>,
        timeout: Duration,
        found: &mut HashMap<String, Group>,
    ) -> Result<Vec<CString>, Failure> {
        let described = self.silent_coordinators.unless_silent(broker, timeout, |time| self.client.describe_groups(&groups, broker, time));
        let described = match described {
            Err(failure) if is_unreachable(failure.code) => groups.iter().map(|group| undescribed(group, &failure)).collect(),
            described => described?,
        };
        for group in described {
            // Silence of the coordinator tells more than the others' "not me".
            let tells = group.members.as_ref().err().is_none_or(|failure| failure.code != Code::NotCoordinator);
            if tells || !found.contains_key(&group.name) {
                found.insert(group.name.clone(), group);
            }
        }
        let is_settled = |group: &CString| match found.get(&*group.to_string_lossy()).map(|group| &group.members) {
            Some(Ok(_)) => true,
            Some(Err(failure)) => settles(failure.code),
            None => false,
        };
        let (settled, open): (Vec<CString>, Vec<CString>) = groups.into_iter().partition(is_settled);
        for group in &settled {
            self.coordinators.note(group, broker);
        }
        for group in &open {
            self.coordinators.forget(group);
        }
        Ok(open)
    }
}

/// A group whose coordinator has not answered.
fn undescribed(group: &CString, failure: &Failure) -> Group {
    Group { name: group.to_string_lossy().into_owned(), kind: "unknown", state: "Unknown".to_owned(), members: Err(failure.clone()) }
}

/// The time that one of so many brokers gets: one that is silent leaves the others theirs.
fn share(deadline: Instant, brokers: usize) -> Duration {
    let most = left(deadline);
    (most / u32::try_from(brokers.max(1)).unwrap_or(u32::MAX)).max(PROBE.min(most))
}
