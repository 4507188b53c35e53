//! What makes a job stop or wait by itself: messages that fail again, a target group that falls behind, a canary that did not come through.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::barrier::Barrier;
use super::driver::Stop;
use super::{ReplayBus, Replays};
use crate::bus::PartitionOffsets;
use crate::model::names::TopicPartition;
use crate::model::replay::{Replay, Route, StateReason};
use crate::model::{BusId, DeadLetterFilter, FailedAtSource, GroupName, PageRequest, Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::replays::sending::Owner;

/// Results that a share is computed from at least, unless the job has fewer items.
const FEWEST: u64 = 20;
/// How often the lag is looked at.
const LAG_EVERY: Duration = Duration::from_secs(3);
/// Settle time at least.
const LEAST_SETTLE_MS: i64 = 60_000;
/// Longer than this nobody waits: outcomes are watched for a day.
const MOST_SETTLE_MS: i64 = 20 * 3_600_000;
/// Dead letters that a group's settle time is measured on.
const MEASURED: u32 = 1_000;

/// What a look at the limits says.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Go,
    /// Stop, with the reason and the words.
    Stop(StateReason, String),
}

/// How far a group is behind on each partition.
type Lags = HashMap<TopicPartition, u64>;

/// Share of repeated failures, and lag.
#[derive(Debug, Default)]
pub(super) struct Limits {
    looked: Option<Instant>,
    /// As last told: silence of a broker brings nobody nearer to the end.
    lags: HashMap<GroupName, Lags>,
}

impl Limits {
    pub(super) async fn look(&mut self, bus: &ReplayBus, replay: &Replay, routes: &HashMap<i32, Route>) -> Verdict {
        if let Some(text) = too_many_failed(replay) {
            return Verdict::Stop(StateReason::FailedAgainLimit, text);
        }
        let Some(limit) = replay.settings.lag_limit else { return Verdict::Go };
        if self.looked.is_some_and(|at| at.elapsed() < LAG_EVERY) {
            return Verdict::Go;
        }
        self.looked = Some(Instant::now());
        self.ask(bus, routes.values()).await;
        for (group, lags) in &self.lags {
            let lag: u64 = lags.values().sum();
            if lag > limit {
                let text = format!("{group} is {lag} messages behind on the target topics; the limit is {limit}");
                return Verdict::Stop(StateReason::LagLimit, text);
            }
        }
        Verdict::Go
    }

    /// How far the groups that failed are behind on their targets now; groups without commits are left out.
    async fn ask<'a>(&mut self, bus: &ReplayBus, routes: impl Iterator<Item = &'a Route>) {
        let mut targets: HashMap<GroupName, Vec<TopicName>> = HashMap::new();
        for route in routes {
            if let (Some(group), Some(target)) = (&route.consumer_group, &route.target) {
                targets.entry(group.clone()).or_default().push(target.clone());
            }
        }
        for (group, topics) in targets {
            let Ok(committed) = bus.bus.committed_offsets(&group).await else { continue };
            let committed: HashMap<TopicPartition, i64> =
                committed.into_iter().filter(|(partition, _)| topics.contains(&partition.topic)).collect();
            let partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
            let Ok(offsets) = bus.bus.offsets(&partitions).await else { continue };
            behind(self.lags.entry(group).or_default(), &committed, &offsets);
        }
    }
}

/// Takes in what was told: of a partition whose end was not, the lag stays; one without a commit has none.
fn behind(lags: &mut Lags, committed: &HashMap<TopicPartition, i64>, offsets: &HashMap<TopicPartition, PartitionOffsets>) {
    lags.retain(|partition, _| committed.contains_key(partition));
    for (partition, committed) in committed {
        if let Some(offsets) = offsets.get(partition) {
            let lag = offsets.end.saturating_sub((*committed).max(offsets.log_start)).max(0).unsigned_abs();
            lags.insert(partition.clone(), lag);
        }
    }
}

/// Repeated failures that a canary may have. A person wants to see none; a policy is made for what fails now and then, and stops when
/// their share passes its limit.
fn tolerated(replay: &Replay) -> u64 {
    let limit = replay.policy_id.and(replay.settings.failed_again_limit).unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small count")]
    let tolerated = (limit * replay.sent_total as f64) as u64;
    tolerated
}

/// Whether too large a share has failed again since a person last said "go on".
fn too_many_failed(replay: &Replay) -> Option<String> {
    let limit = replay.settings.failed_again_limit?;
    let (accepted_failed, accepted_decided) = replay.settings.accepted;
    let counts = &replay.counts;
    let failed = counts.failed_again.saturating_sub(accepted_failed);
    let decided = (counts.failed_again + counts.consumed + counts.resolved).saturating_sub(accepted_decided);
    let enough = decided >= FEWEST.min(counts.total().saturating_sub(counts.skipped));
    if failed == 0 || !enough {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    let share = failed as f64 / decided as f64;
    (share > limit).then(|| format!("{failed} of {decided} messages have failed again; the limit is {:.0} %", limit * 100.0))
}

/// The first few of a job.
#[derive(Debug, Default)]
pub(super) struct Canary {
    barrier: Option<Barrier>,
    said: Option<String>,
}

impl Canary {
    /// How many messages may be sent now (`None`: any number), or why none: `Err(Go)` means not yet.
    pub(super) async fn allowed(
        &mut self,
        replays: &Replays,
        owner: Owner,
        bus: &ReplayBus,
        replay: &Replay,
        routes: &HashMap<i32, Route>,
    ) -> Result<Result<Option<u32>, Verdict>, Stop> {
        let Some(canary) = replay.settings.canary.filter(|canary| canary.count > 0 && !replay.canary_passed) else { return Ok(Ok(None)) };
        let left = u64::from(canary.count).saturating_sub(replay.sent_total);
        if left > 0 && replay.counts.waiting > 0 {
            return Ok(Ok(Some(u32::try_from(left).unwrap_or(u32::MAX))));
        }
        if replay.counts.waiting == 0 {
            return Ok(Ok(None));
        }
        let now = Timestamp::now();
        if replay.canary_sent_at.is_none() {
            replays.store().set_replay_canary(owner, Some(now), false).await??;
        }
        let failed = replay.counts.failed_again.saturating_sub(replay.settings.accepted.0);
        if failed > tolerated(replay) {
            let text = format!("{failed} of the first {} messages failed again; nothing more was sent", replay.sent_total);
            return Ok(Err(Verdict::Stop(StateReason::FailedAgainLimit, text)));
        }
        if let Some(text) = self.wait(replays, bus, replay, routes, now).await? {
            if self.said.as_ref() != Some(&text) {
                replays.store().set_replay_reason(owner, Some(StateReason::CanarySettling), Some(&text)).await??;
                replays.stepped();
                self.said = Some(text);
            }
            return Ok(Err(Verdict::Go));
        }
        replays.store().set_replay_canary(owner, replay.canary_sent_at.or(Some(now)), true).await??;
        replays.store().set_replay_reason(owner, None, None).await??;
        replays.stepped();
        Ok(Ok(None))
    }

    /// What the canary still waits for, in words.
    async fn wait(
        &mut self,
        replays: &Replays,
        bus: &ReplayBus,
        replay: &Replay,
        routes: &HashMap<i32, Route>,
        now: Timestamp,
    ) -> Result<Option<String>, Stop> {
        let settle = replay.settings.settle().unwrap_or_default();
        // Where a group is unknown, "sent" is all that anybody will ever know.
        let unconsumed = replays.store().count_unconsumed(replay.number).await?;
        if unconsumed > 0 {
            return Ok(Some(format!("{unconsumed} of the first {} messages are not consumed yet", replay.sent_total)));
        }
        let Some(since) = replays.store().newest_result(replay.number).await? else { return Ok(None) };
        let passed = since.age_at(now);
        if passed < settle {
            return Ok(Some(format!("the first {} messages are settling for {} s", replay.sent_total, settle.as_secs())));
        }
        if self.barrier.is_none() {
            let routes: Vec<Route> = routes.values().cloned().collect();
            self.barrier = Some(Barrier::raise(replays, bus, replay, &routes).await?);
        }
        let Some(barrier) = &self.barrier else { return Ok(None) };
        if let Some(obstacle) = barrier.obstacle(replays, &replay.bus).await? {
            self.barrier = None;
            return Ok(Some(format!("nobody can tell whether the first messages failed again: {obstacle}")));
        }
        if barrier.is_passed(replays).await? {
            return Ok(None);
        }
        Ok(Some("the dead-letter topics are being read up to their ends".to_owned()))
    }
}

/// Settle time by group, in milliseconds: the 99th percentile from origin to dead letter, a minute at least.
pub(super) async fn settle_times(replays: &Replays, bus: &BusId, routes: &[Route]) -> Result<HashMap<GroupName, i64>, StoreError> {
    let mut times = HashMap::new();
    for group in routes.iter().filter_map(|route| route.consumer_group.as_ref()) {
        if times.contains_key(group) || times.len() > 200 {
            continue;
        }
        let filter = DeadLetterFilter { bus: vec![bus.clone()], consumer_group: vec![group.clone()], ..DeadLetterFilter::default() };
        let page = replays.store().list_dead_letters(&filter, &PageRequest::first(MEASURED), 1_000).await?;
        let mut took: Vec<i64> = page
            .items
            .iter()
            .filter(|letter| letter.failed_at_source != FailedAtSource::Indexed)
            .filter_map(|letter| Some(letter.failed_at.as_millis() - letter.origin.timestamp?.as_millis()))
            .filter(|took| *took >= 0)
            .collect();
        took.sort_unstable();
        let p99 = took.get(took.len().saturating_sub(1).min(took.len() * 99 / 100)).copied().unwrap_or(0);
        times.insert(group.clone(), p99.clamp(LEAST_SETTLE_MS, MOST_SETTLE_MS));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_of_a_partition_stays_while_its_end_is_not_told() {
        let place = |partition| TopicPartition { topic: "orders".into(), partition };
        let told = |ends: &[(i32, i64)]| {
            let offsets = |end| PartitionOffsets { log_start: 10, end, last_stable: None };
            ends.iter().map(|(partition, end)| (place(*partition), offsets(*end))).collect::<HashMap<_, _>>()
        };
        let committed = |at: &[(i32, i64)]| at.iter().map(|(partition, at)| (place(*partition), *at)).collect::<HashMap<_, _>>();
        let mut lags = Lags::new();
        behind(&mut lags, &committed(&[(0, 5), (1, 100)]), &told(&[(0, 40), (1, 90)]));
        assert_eq!((lags[&place(0)], lags[&place(1)]), (30, 0), "what was deleted is not to be read, and nobody is ahead");
        behind(&mut lags, &committed(&[(0, 5), (1, 100)]), &told(&[(1, 120)]));
        assert_eq!((lags[&place(0)], lags[&place(1)]), (30, 20));
        behind(&mut lags, &committed(&[(1, 115)]), &told(&[(1, 120)]));
        assert_eq!(lags, Lags::from([(place(1), 5)]), "without a commit there is no lag");
    }
}
