//! Figures of dead letters: those that tables know exactly (arrivals, new and returned failure groups) as series, and those that are
//! sampled (what is open and for how long, what became of replays).
//!
//! Labels come from headers, so anybody can make any number of them: of what is recorded, scraped and drawn a bus has [`MOST`] series of
//! a figure, those with the most dead letters, and what is beyond them is added up per topic in a series without consumer group and
//! fingerprint. Sums stay exact. Rules are told of all series: one may be about the rarest of them.

use std::collections::{BTreeMap, HashMap};

use crate::model::bus::TopicRole;
use crate::model::figure::Labels;
use crate::model::{BusId, DeadLetterFilter, Fingerprint, GroupName, Status, Timestamp, TopicName};
use crate::store::arrivals::Buckets;
use crate::store::facets::restricts_facets;
use crate::store::indexing::id_list;
use crate::store::rows::{fingerprint, status, text};
use crate::store::topics::role_code;
use crate::store::{Store, StoreError};

statements! {
    const LABELS = "select f.id, b.bus, f.topic, f.consumer_group, g.version, g.hash from facets f join buses b on b.id = f.bus_id \
        join failure_groups g on g.id = f.failure_group_id \
        where f.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const OPEN = "select f.id, b.bus, f.topic, f.consumer_group, g.version, g.hash, f.open, f.first_seen from facets f \
        join buses b on b.id = f.bus_id join failure_groups g on g.id = f.failure_group_id \
        where b.bus = $1 and f.open > 0 order by f.open desc, f.id limit $2";
    const OPEN_ON = "select f.topic, cast(sum(f.open) as bigint) from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.open > 0 group by f.topic";
    const OLDEST = "select cast(value as bigint), (select min(d.failed_at) from dead_letters d \
        where d.facet_id = cast(value as bigint) and d.status = 0) from json_each(cast($1 as text))";
    // `+`: by the time of the status. By the index of statuses SQLite would pass by everything that was ever resolved.
    const OUTCOMES = "select d.status_at, d.status, d.failed_at, b.bus, f.consumer_group, g.version, g.hash from dead_letters d \
        join facets f on f.id = d.facet_id join buses b on b.id = f.bus_id join failure_groups g on g.id = f.failure_group_id \
        where d.status_at > $1 and d.status_at <= $2 and +d.status in (3, 4) order by d.status_at limit $3";
    const UNREAD = "select p.id, coalesce(p.next, p.log_start, 0), p.end_offset from partitions p \
        join topic_generations g on g.id = p.generation_id join buses b on b.id = g.bus_id \
        where b.bus = $1 and g.gone_at is null and g.role = $2 and p.end_offset is not null";
}

/// Series of a figure that one bus may have, wherever it is kept or drawn.
pub const MOST: usize = 200;
/// Facets with open dead letters that are looked at one by one; the others are only counted.
const FACETS: i64 = 50_000;
/// Facets asked for their oldest at once, per series and in all, and how often.
const ASKED: usize = 16;
const ROUNDS: usize = 24;

/// Open dead letters of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLetters {
    /// Bus, topic, consumer group and fingerprint; without the last two it is what is beyond [`MOST`].
    pub labels: Labels,
    /// How many.
    pub open: u64,
    /// When the oldest of them failed; of very many facets, at the latest.
    pub oldest: Option<Timestamp>,
}

/// What became of a replayed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When that was known.
    pub at: Timestamp,
    /// Whether it failed again; else it is resolved.
    pub failed_again: bool,
    /// When the message had failed.
    pub failed_at: Timestamp,
    /// Bus.
    pub bus: BusId,
    /// Consumer group that had failed.
    pub consumer_group: Option<GroupName>,
    /// Why it had failed.
    pub fingerprint: Fingerprint,
}

/// Arrivals of one series: number of the bucket and dead letters, in the order of time. Buckets without any are left out.
pub type Arrived = (Labels, Vec<(u32, u64)>);

/// A partition of a dead-letter topic: our id, the next offset to index, its end.
pub type Unread = (i64, i64, i64);

type LabelsRow = (i64, String, String, Option<Vec<u8>>, i16, i64);
type OpenRow = (i64, String, String, Option<Vec<u8>>, i16, i64, i64, i64);
type OutcomeRow = (i64, i16, i64, String, Option<Vec<u8>>, i16, i64);

/// Facets that share labels.
#[derive(Default)]
struct Shared {
    open: u64,
    /// The first failure of each facet and its id.
    facets: Vec<(i64, i64)>,
}

impl Store {
    /// Arrivals by bus, topic, consumer group and fingerprint, most first, without backlog: dead letters per bucket; then what is beyond
    /// [`MOST`]. `filter` has names alone. Where nothing arrived there is no series.
    pub async fn arrival_series(&self, filter: &DeadLetterFilter, buckets: Buckets) -> Result<Vec<(Labels, Vec<u64>)>, StoreError> {
        Ok(bounded(self.list_arrived(filter, buckets, |_| true).await?, buckets.count as usize))
    }

    /// The same of every series that is wanted, however many there are.
    pub async fn list_arrived(
        &self,
        filter: &DeadLetterFilter,
        buckets: Buckets,
        wanted: impl Fn(&Labels) -> bool + Send,
    ) -> Result<Vec<Arrived>, StoreError> {
        let by_name = !(filter.topic.is_empty() && filter.consumer_group.is_empty() && filter.fingerprint.is_empty());
        let known =
            if by_name { Some(self.resolve_facets(filter).await?.into_iter().map(|facet| facet.id).collect::<Vec<_>>()) } else { None };
        let arrivals = self.arrivals_by_facet(known.as_deref(), buckets).await?;
        let mut ids: Vec<i64> = arrivals.iter().map(|(facet, ..)| *facet).collect();
        ids.sort_unstable();
        ids.dedup();
        if !by_name && restricts_facets(filter) {
            ids = self.resolve_some(filter, &ids).await?.into_iter().map(|facet| facet.id).collect();
        }
        let list = id_list(&ids);
        let rows: Vec<LabelsRow> = read!(self, |pool| sqlx::query_as(LABELS).bind(&list).fetch_all(pool).await?)?;
        let mut labels: HashMap<i64, Labels> = HashMap::new();
        for (id, bus, topic, group, version, hash) in rows {
            let of = labels_of(bus, topic, group, fingerprint(version, hash)?);
            if wanted(&of) {
                labels.insert(id, of);
            }
        }
        let last = buckets.count.saturating_sub(1);
        let mut series: HashMap<&Labels, BTreeMap<u32, u64>> = HashMap::new();
        for (facet, bucket, letters) in arrivals {
            let Some(labels) = labels.get(&facet) else { continue };
            let bucket = u32::try_from(bucket).unwrap_or(0).min(last);
            *series.entry(labels).or_default().entry(bucket).or_default() += letters.unsigned_abs();
        }
        let mut series: Vec<(u64, &Labels, BTreeMap<u32, u64>)> =
            series.into_iter().map(|(labels, arrived)| (arrived.values().sum(), labels, arrived)).collect();
        series.sort_unstable_by(|(a, some, _), (b, other, _)| b.cmp(a).then_with(|| some.cmp(other)));
        Ok(series.into_iter().map(|(_, labels, arrived)| (labels.clone(), arrived.into_iter().collect())).collect())
    }

    /// What is open on a bus, most first, then what is beyond [`MOST`].
    pub async fn list_open(&self, bus: &BusId) -> Result<Vec<OpenLetters>, StoreError> {
        let series = self.open_series(bus, MOST).await?;
        self.aged(series).await
    }

    /// What is open on a bus of every series, most first. Beyond very many facets it is counted by topic, without consumer group and
    /// fingerprint.
    pub async fn list_all_open(&self, bus: &BusId) -> Result<Vec<OpenLetters>, StoreError> {
        let series = self.open_series(bus, usize::MAX).await?;
        self.aged(series).await
    }

    /// How many [`Self::list_all_open`] would list of each series, without looking for the oldest.
    pub async fn count_all_open(&self, bus: &BusId) -> Result<Vec<(Labels, u64)>, StoreError> {
        Ok(self.open_series(bus, usize::MAX).await?.into_iter().map(|(labels, of)| (labels, of.open)).collect())
    }

    /// So many series, most first, then the others by topic.
    async fn open_series(&self, bus: &BusId, most: usize) -> Result<Vec<(Labels, Shared)>, StoreError> {
        let rows: Vec<OpenRow> = read!(self, |pool| sqlx::query_as(OPEN).bind(bus.as_str()).bind(FACETS).fetch_all(pool).await?)?;
        let is_all = i64::try_from(rows.len()).is_ok_and(|rows| rows < FACETS);
        let mut shared: BTreeMap<Labels, Shared> = BTreeMap::new();
        for (id, bus, topic, group, version, hash, open, first_seen) in rows {
            let of = shared.entry(labels_of(bus, topic, group, fingerprint(version, hash)?)).or_default();
            of.open += open.unsigned_abs();
            of.facets.push((first_seen, id));
        }
        let mut busiest: Vec<(Labels, Shared)> = shared.into_iter().collect();
        busiest.sort_by(|(a, some), (b, other)| other.open.cmp(&some.open).then_with(|| a.cmp(b)));
        let beyond = busiest.split_off(busiest.len().min(most));
        if beyond.is_empty() && is_all {
            return Ok(busiest);
        }
        let totals: Vec<(String, i64)> = read!(self, |pool| sqlx::query_as(OPEN_ON).bind(bus.as_str()).fetch_all(pool).await?)?;
        let mut rest: BTreeMap<TopicName, Shared> = BTreeMap::new();
        for (topic, open) in totals {
            rest.entry(TopicName::new(topic)).or_default().open = open.unsigned_abs();
        }
        for (labels, of) in &busiest {
            if let Some(rest) = labels.topic.as_ref().and_then(|topic| rest.get_mut(topic)) {
                rest.open = rest.open.saturating_sub(of.open);
            }
        }
        for (labels, of) in beyond {
            if let Some(rest) = labels.topic.and_then(|topic| rest.get_mut(&topic)) {
                rest.facets.extend(of.facets);
            }
        }
        let rest = rest.into_iter().filter(|(_, of)| of.open > 0).map(|(topic, of)| (Labels::bus(bus).topic(&topic), of));
        Ok(busiest.into_iter().chain(rest).collect())
    }

    async fn aged(&self, mut series: Vec<(Labels, Shared)>) -> Result<Vec<OpenLetters>, StoreError> {
        let oldest = self.oldest_of(&mut series).await?;
        let open = |((labels, of), oldest): ((Labels, Shared), Option<i64>)| OpenLetters {
            labels,
            open: of.open,
            oldest: oldest.map(Timestamp::from_millis),
        };
        Ok(series.into_iter().zip(oldest).map(open).collect())
    }

    /// The oldest open dead letter of each. A facet's first failure is never later than its oldest open one, so that only few facets
    /// have to be asked.
    async fn oldest_of(&self, all: &mut [(Labels, Shared)]) -> Result<Vec<Option<i64>>, StoreError> {
        let mut oldest: Vec<Option<i64>> = vec![None; all.len()];
        for (_, of) in all.iter_mut() {
            of.facets.sort_unstable_by(|a, b| b.cmp(a));
        }
        for _ in 0..ROUNDS {
            let mut asked: BTreeMap<i64, usize> = BTreeMap::new();
            for (place, (_, of)) in all.iter_mut().enumerate() {
                for _ in 0..ASKED {
                    let Some((_, id)) = of.facets.pop_if(|(first, _)| oldest[place].is_none_or(|known| *first < known)) else { break };
                    asked.insert(id, place);
                }
            }
            if asked.is_empty() {
                break;
            }
            let ids = id_list(&asked.keys().copied().collect::<Vec<_>>());
            let found: Vec<(i64, Option<i64>)> = read!(self, |pool| sqlx::query_as(OLDEST).bind(&ids).fetch_all(pool).await?)?;
            for (id, at) in found {
                if let (Some(place), Some(at)) = (asked.get(&id), at) {
                    let known = &mut oldest[*place];
                    *known = Some(known.map_or(at, |known| known.min(at)));
                }
            }
        }
        Ok(oldest)
    }

    /// What became of replayed messages after `after` and until `until`, in the order of time, at most `limit`.
    pub async fn list_outcomes(&self, after: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Outcome>, StoreError> {
        let rows: Vec<OutcomeRow> = read!(self, |pool| sqlx::query_as(OUTCOMES)
            .bind(after.as_millis())
            .bind(until.as_millis())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?)?;
        let outcome = |(at, code, failed_at, bus, group, version, hash): OutcomeRow| {
            Ok(Outcome {
                at: Timestamp::from_millis(at),
                failed_again: status(code)? == Status::FailedAgain,
                failed_at: Timestamp::from_millis(failed_at),
                bus: BusId::new(bus),
                consumer_group: group.map(|group| GroupName::new(text(group))),
                fingerprint: fingerprint(version, hash)?,
            })
        };
        rows.into_iter().map(outcome).collect()
    }

    /// How far the partitions of a bus's dead-letter topics are indexed.
    pub async fn list_unread(&self, bus: &BusId) -> Result<Vec<Unread>, StoreError> {
        let role = role_code(TopicRole::DeadLetter);
        read!(self, |pool| sqlx::query_as(UNREAD).bind(bus.as_str()).bind(role).fetch_all(pool).await?)
    }
}

pub(super) fn labels_of(bus: String, topic: String, group: Option<Vec<u8>>, fingerprint: Fingerprint) -> Labels {
    let labels = Labels::bus(&BusId::new(bus)).topic(&TopicName::new(topic)).fingerprint(fingerprint);
    match group {
        Some(group) => labels.consumer_group(&GroupName::new(text(group))),
        None => labels,
    }
}

/// The series with most (they come first), and what is beyond added up per topic.
fn bounded(mut series: Vec<Arrived>, count: usize) -> Vec<(Labels, Vec<u64>)> {
    let add = |counts: &mut Vec<u64>, arrived: Vec<(u32, u64)>| {
        for (bucket, letters) in arrived {
            if let Some(count) = counts.get_mut(bucket as usize) {
                *count += letters;
            }
        }
    };
    let beyond = series.split_off(series.len().min(MOST));
    let mut all: Vec<(Labels, Vec<u64>)> = Vec::with_capacity(series.len());
    for (labels, arrived) in series {
        let mut counts = vec![0; count];
        add(&mut counts, arrived);
        all.push((labels, counts));
    }
    let mut rest: BTreeMap<Labels, Vec<u64>> = BTreeMap::new();
    for (labels, arrived) in beyond {
        let labels = Labels { bus: labels.bus, topic: labels.topic, ..Labels::default() };
        add(rest.entry(labels).or_insert_with(|| vec![0; count]), arrived);
    }
    all.extend(rest);
    all
}
