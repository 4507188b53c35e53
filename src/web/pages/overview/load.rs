//! What the first page and `GET /overview` are made of, read at once.

use super::flow::Flow;
use crate::model::alert::{Alert, AlertState};
use crate::model::bus::{Gap, TopicRole};
use crate::model::dead_letter::StatusCounts;
use crate::model::failure_group::FailureGroup;
use crate::model::partition_problem::{PartitionProblem, PartitionProblemKind};
use crate::model::policy::{Breaker, Policy};
use crate::model::{BusId, BusState, DeadLetterFilter, PageRequest, Status, Timestamp};
use crate::store::alerts::looks::Watching;
use crate::store::departures::Departures;
use crate::store::failure_groups::{Arrivals, Buckets, FailureGroupSort};
use crate::store::{Store, StoreError, StoreUsage};
use crate::web::view::freshness::Freshness;
use crate::web::view::partition_problem::TopicProblem;
use crate::web::view::range::Range;

/// Failure groups shown.
const GROUPS: u32 = 8;
/// Gaps shown.
const GAPS: u32 = 10;
/// Bars of the chart, about.
const BARS: u32 = 60;

/// The figures of the first page.
#[derive(Debug)]
pub(in crate::web) struct Overview {
    /// When they were read.
    pub(in crate::web) now: Timestamp,
    /// The time that arrivals cover.
    pub(in crate::web) buckets: Buckets,
    /// The buses that are shown.
    pub(in crate::web) buses: Vec<WatchedBus>,
    /// Dead letters by status.
    pub(in crate::web) counts: StatusCounts,
    /// Arrivals over the range.
    pub(in crate::web) arrivals: Arrivals,
    /// What became of dead letters in the range.
    pub(in crate::web) departures: Departures,
    /// What failed in the range, but was there before its bus or topic was first read.
    pub(in crate::web) backlog: u64,
    /// Failure groups with open dead letters that failed in the range, most first; where there are none, those with any.
    pub(in crate::web) groups: Vec<FailureGroup>,
    /// Whether these failed in the range.
    pub(in crate::web) groups_are_recent: bool,
    /// Whether there are more.
    pub(in crate::web) more_groups: bool,
    /// Newest gaps.
    pub(in crate::web) gaps: Vec<Gap>,
    /// Whether there are more.
    pub(in crate::web) more_gaps: bool,
    /// What keeps partitions of topics from being used, the longest standing first.
    pub(in crate::web) problems: Vec<TopicProblem>,
    /// Automatic replay policies that have stopped by themselves, for a while or for good.
    pub(in crate::web) stopped_policies: Vec<Policy>,
    /// Alerts that fire and are not muted, those that nobody has first, then the worst.
    pub(in crate::web) firing: Vec<Alert>,
    /// How alert rules are watched.
    pub(in crate::web) watching: Watching,
    /// What lies in the store.
    pub(in crate::web) usage: StoreUsage,
    /// What flows over the buses.
    pub(in crate::web) flow: Flow,
}

/// A bus with what is watched on it.
#[derive(Debug)]
pub(in crate::web) struct WatchedBus {
    /// As last sampled.
    pub(in crate::web) state: BusState,
    /// Dead-letter topics.
    pub(in crate::web) dead_letter_topics: u64,
    /// Open dead letters.
    pub(in crate::web) open: u64,
}

/// Reads everything for the chosen buses; none means all.
pub(in crate::web) async fn load(store: &Store, buses: &[BusId], range: Range, now: Timestamp) -> Result<Overview, StoreError> {
    let everything = DeadLetterFilter { bus: buses.to_vec(), ..DeadLetterFilter::default() };
    let open = DeadLetterFilter { status: vec![Status::Open], ..everything.clone() };
    let (from, to) = range.bounds(now);
    let recent = DeadLetterFilter { from, to, ..open.clone() };
    let buckets = range.buckets(now, BARS);
    let sparks = range.buckets(now, 24);
    let page = PageRequest::first(GROUPS);
    let one_bus = if let [bus] = buses { Some(bus) } else { None };
    let gap_page = PageRequest::first(GAPS);
    let mut states = store.list_buses().await?;
    states.retain(|state| buses.is_empty() || buses.contains(&state.id));
    let shown: Vec<Freshness> = states.iter().map(|bus| Freshness::of(bus, now)).collect();
    // At the same time: what is counted by tables, and what is in memory.
    let (flow, watched, counts, arrivals, departures, backlog, mut groups, gaps, problems, usage, policies, watching, alerts) = tokio::try_join!(
        Box::pin(Flow::load(store, &shown, buckets)),
        watch_all(store, states),
        store.count_by_status(&everything),
        store.list_arrivals(&everything, buckets),
        store.count_departures(buses, buckets.from, buckets.to),
        store.count_backlog(buses, from, to),
        store.list_failure_groups(&recent, FailureGroupSort::Open, sparks, &page),
        store.list_gaps(one_bus, None, &gap_page),
        store.list_partition_problems(one_bus, None),
        store.usage(),
        store.list_policies(),
        store.alert_watching(),
        store.list_living_alerts(),
    )?;
    let groups_are_recent = !groups.items.is_empty();
    if !groups_are_recent && counts.open > 0 {
        groups = store.list_failure_groups(&open, FailureGroupSort::Open, sparks, &page).await?;
    }
    Ok(Overview {
        now,
        flow,
        buckets,
        buses: watched,
        counts,
        arrivals,
        departures,
        backlog,
        groups_are_recent,
        more_groups: groups.next_cursor.is_some(),
        groups: groups.items,
        more_gaps: gaps.next_cursor.is_some(),
        gaps: gaps.items,
        problems: TopicProblem::of(&of_buses(problems, buses)),
        usage,
        stopped_policies: stopped(policies, buses, now),
        firing: firing(alerts, buses, now),
        watching,
    })
}

/// Of the chosen buses. That nothing can be indexed matters only where dead letters are: a topic may have had them once.
fn of_buses(mut problems: Vec<PartitionProblem>, buses: &[BusId]) -> Vec<PartitionProblem> {
    let matters = |problem: &PartitionProblem| {
        problem.role == TopicRole::DeadLetter
            || matches!(problem.kind, PartitionProblemKind::Leaderless | PartitionProblemKind::OffsetsUnread)
    };
    problems.retain(|problem| matters(problem) && (buses.is_empty() || buses.contains(&problem.bus)));
    problems
}

fn stopped(mut policies: Vec<Policy>, buses: &[BusId], now: Timestamp) -> Vec<Policy> {
    let shown = |policy: &Policy| buses.is_empty() || policy.terms.filter.bus.iter().any(|bus| buses.contains(bus));
    let has_stopped = |policy: &Policy| policy.gave_up_at.is_some() || policy.breaker(now) != Breaker::Closed;
    policies.retain(|policy| policy.enabled && shown(policy) && has_stopped(policy));
    policies
}

/// Of the chosen buses, and of none.
fn firing(mut alerts: Vec<Alert>, buses: &[BusId], now: Timestamp) -> Vec<Alert> {
    let shown = |alert: &Alert| buses.is_empty() || alert.bus().is_none_or(|bus| buses.contains(&bus));
    alerts.retain(|alert| alert.standing.state == AlertState::Firing && !alert.is_muted() && shown(alert));
    alerts.sort_by_key(|alert| (alert.is_acknowledged(now), alert.details.severity, alert.standing.started_at, alert.number));
    alerts
}

/// Buckets of the small drawings of [`Overview::groups`].
pub(in crate::web) fn spark_buckets(range: Range, now: Timestamp) -> Buckets {
    range.buckets(now, 24)
}

async fn watch_all(store: &Store, states: Vec<BusState>) -> Result<Vec<WatchedBus>, StoreError> {
    let mut watched = Vec::with_capacity(states.len());
    for state in states {
        watched.push(watch(store, state).await?);
    }
    Ok(watched)
}

async fn watch(store: &Store, state: BusState) -> Result<WatchedBus, StoreError> {
    let filter = DeadLetterFilter { bus: vec![state.id.clone()], status: vec![Status::Open], ..DeadLetterFilter::default() };
    let open = store.count_by_status(&filter).await?.open;
    let dead_letter_topics = store.count_topics(&state.id, TopicRole::DeadLetter).await?;
    Ok(WatchedBus { state, dead_letter_topics, open })
}
