//! Consumer groups as last sampled: who they are, how far they have read, and what that means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::error::contradiction;
use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::bus::{ConsumerGroup, GroupMember};
use crate::model::lag::{GroupOffset, GroupStatus, Standing, TimeLagMillis};
use crate::model::{BusId, GroupName, Timestamp};

pub mod record;
mod wire;

pub use record::SeenGroup;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupSummary {
    /// Bus.
    pub bus: BusId,
    /// Name.
    pub name: GroupName,
    /// Kind.
    pub kind: String,
    /// State in the bus's words.
    pub state: String,
    /// Members, where known.
    pub members: Option<u32>,
    /// Topics with commits or assignments.
    pub topics: Vec<String>,
    /// Sum of lag (without deleted records and what is no record); `None` when no partition's lag is known.
    pub lag_messages: Option<u64>,
    /// Sum of `end - committed`, as Kafka's own tools compute it.
    pub raw_lag_messages: Option<u64>,
    /// Sum of records deleted before they were read.
    pub deleted_messages: u64,
    /// Lag in time of the partition that is furthest behind.
    pub time_lag: Option<TimeLagMillis>,
    /// Partitions with a commit.
    pub partitions: u32,
    /// Open dead letters whose consumer group it is.
    pub open_dead_letters: u64,
    /// What it is doing: as a whole, or on the topic asked for.
    pub standing: Standing,
    /// When it was last read.
    pub sampled_at: Timestamp,
}

statements! {
    const BUS = "select id from buses where bus = $1";
    const LIST = "select c.id, c.name, c.kind, c.state, c.members, c.sampled_at, c.status, c.status_since, c.evidence, c.parked, \
        c.behind_since from consumer_groups c join buses b on b.id = c.bus_id where b.bus = $1 and c.gone_at is null";
    const STAND = "select count(*), cast(coalesce(sum(c.sampled_at), 0) as bigint), cast(coalesce(sum(c.recorded_at), 0) as bigint) \
        from consumer_groups c join buses b on b.id = c.bus_id where b.bus = $1 and c.gone_at is null";
    const FIND = "select c.id, c.name, c.kind, c.state, c.members, c.sampled_at, c.status, c.status_since, c.evidence, c.parked, \
        c.behind_since from consumer_groups c join buses b on b.id = c.bus_id where b.bus = $1 and c.name = $2 order by c.id limit 1";
    const TOPICS = "select t.group_id, t.topic, t.committed, t.raw_lag, t.lag, t.deleted, t.not_records, t.lag_ms, t.lag_ms_min, \
        t.lag_ms_max, t.status from group_topics t join consumer_groups c on c.id = t.group_id join buses b on b.id = c.bus_id \
        where b.bus = $1 and c.gone_at is null";
    const PARTITIONS_OF = "select topic, partitions from group_topics where group_id = $1 order by topic";
    const PARTITIONS = "select c.name, c.first_seen_at, c.status, c.status_since, c.behind_since, t.topic, t.partitions \
        from consumer_groups c join buses b on b.id = c.bus_id left join group_topics t on t.group_id = c.id where b.bus = $1 and c.gone_at is null order by c.id";
    const OPEN_OF = "select f.consumer_group, cast(sum(f.open) as bigint) from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.open > 0 and f.consumer_group is not null group by f.consumer_group";
    const CLAIMED = "select distinct f.consumer_group from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.consumer_group is not null and not f.inferred";
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    id: i64,
    name: Vec<u8>,
    kind: String,
    state: String,
    members: Option<String>,
    sampled_at: i64,
    status: i16,
    status_since: Option<i64>,
    evidence: String,
    parked: bool,
    behind_since: Option<i64>,
}

impl GroupRow {
    fn standing(&self) -> Result<Standing, StoreError> {
        Ok(Standing {
            status: wire::status(self.status)?,
            since: self.status_since.map(Timestamp::from_millis),
            evidence: self.evidence.clone(),
            parked: self.parked,
            behind_since: self.behind_since.map(Timestamp::from_millis),
        })
    }
}

#[derive(sqlx::FromRow)]
struct TopicRow {
    group_id: i64,
    topic: String,
    committed: i32,
    raw_lag: Option<i64>,
    lag: Option<i64>,
    deleted: i64,
    not_records: i64,
    lag_ms: Option<i64>,
    lag_ms_min: Option<i64>,
    lag_ms_max: Option<i64>,
    status: i16,
}

/// Positions added up.
#[derive(Debug, Clone)]
pub(in crate::store) struct Sums {
    /// Partitions with a commit.
    committed: i32,
    raw_lag: Option<i64>,
    lag: Option<i64>,
    deleted: i64,
    not_records: i64,
    time_lag: Option<TimeLagMillis>,
    status: GroupStatus,
}

impl Sums {
    const NOTHING: Self =
        Self { committed: 0, raw_lag: None, lag: None, deleted: 0, not_records: 0, time_lag: None, status: GroupStatus::CaughtUp };

    fn of<'a>(offsets: impl Iterator<Item = &'a GroupOffset>) -> Self {
        offsets.fold(Self::NOTHING, |mut sums, offset| {
            sums.add(&Self {
                committed: i32::from(offset.committed.is_some()),
                raw_lag: offset.raw_lag_messages(),
                lag: offset.lag_messages(),
                deleted: offset.deleted_messages().unwrap_or(0),
                not_records: offset.not_records.unwrap_or(0),
                time_lag: offset.time_lag,
                status: offset.verdict.status,
            });
            sums
        })
    }

    fn add(&mut self, other: &Self) {
        // What was committed where nobody knows the end makes the whole unknown: a sum without it would look as if less were left.
        let plus = |a: Option<i64>, b: Option<i64>| match (self.committed, other.committed) {
            (0, _) => b,
            (_, 0) => a,
            _ => a.zip(b).map(|(a, b)| a.saturating_add(b)),
        };
        (self.raw_lag, self.lag) = (plus(self.raw_lag, other.raw_lag), plus(self.lag, other.lag));
        self.committed = self.committed.saturating_add(other.committed);
        self.deleted = self.deleted.saturating_add(other.deleted);
        self.not_records = self.not_records.saturating_add(other.not_records);
        self.time_lag = match (self.time_lag, other.time_lag) {
            (Some(a), Some(b)) => Some(further(a, b)),
            (a, b) => a.or(b),
        };
        self.status = self.status.max(other.status);
    }
}

/// The partition that is further behind; one without an upper bound is.
fn further(a: TimeLagMillis, b: TimeLagMillis) -> TimeLagMillis {
    let key = |lag: &TimeLagMillis| (lag.max.is_none(), lag.estimate.unwrap_or(lag.min), lag.max, lag.min);
    if key(&a) >= key(&b) { a } else { b }
}

impl TopicRow {
    fn sums(&self) -> Result<Sums, StoreError> {
        Ok(Sums {
            committed: self.committed,
            raw_lag: self.raw_lag,
            lag: self.lag,
            deleted: self.deleted,
            not_records: self.not_records,
            time_lag: self.lag_ms_min.map(|min| TimeLagMillis { min, max: self.lag_ms_max, estimate: self.lag_ms, looked_up: false }),
            status: wire::status(self.status)?,
        })
    }
}

fn bus_id_of(row: Option<(i64,)>, bus: &BusId) -> Result<i64, StoreError> {
    row.map(|(id,)| id).ok_or_else(|| StoreError::Broken(format!("bus {bus} is not registered")))
}

fn members(text: Option<&str>) -> Result<Option<Vec<GroupMember>>, StoreError> {
    text.map(serde_json::from_str).transpose().map_err(|error| contradiction(format!("members of a consumer group: {error}")))
}

/// A group's summary over these topics, without its dead letters; on one topic alone its standing is that of the topic.
fn summary(bus: &BusId, row: &GroupRow, rows: &[TopicRow], one: Option<&str>) -> Result<ConsumerGroupSummary, StoreError> {
    let members = members(row.members.as_deref())?;
    let assigned = members.iter().flatten().flat_map(|member| member.assignment.iter().map(|(topic, _)| topic.as_str().to_owned()));
    let topics: BTreeSet<String> = rows.iter().map(|row| row.topic.clone()).chain(assigned).collect();
    let mut sums = Sums::NOTHING;
    for row in rows.iter().filter(|row| one.is_none_or(|topic| row.topic == topic)) {
        sums.add(&row.sums()?);
    }
    let mut standing = row.standing()?;
    if one.is_some() && standing.status != sums.status {
        standing = Standing { status: sums.status, since: None, evidence: String::new(), parked: false, behind_since: None };
    }
    Ok(ConsumerGroupSummary {
        bus: bus.clone(),
        name: GroupName::new(String::from_utf8_lossy(&row.name)),
        kind: row.kind.clone(),
        state: row.state.clone(),
        members: members.map(|members| u32::try_from(members.len()).unwrap_or(u32::MAX)),
        topics: topics.into_iter().collect(),
        lag_messages: sums.lag.map(i64::unsigned_abs),
        raw_lag_messages: sums.raw_lag.map(i64::unsigned_abs),
        deleted_messages: sums.deleted.unsigned_abs(),
        time_lag: sums.time_lag,
        partitions: sums.committed.unsigned_abs(),
        open_dead_letters: 0,
        standing,
        sampled_at: Timestamp::from_millis(row.sampled_at),
    })
}

/// A group as a sampler that begins needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownGroup {
    /// Name.
    pub name: GroupName,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// Its status, and since when.
    pub status: (GroupStatus, Option<Timestamp>),
    /// Since when it has been behind, if it is.
    pub behind_since: Option<Timestamp>,
    /// Its positions.
    pub offsets: Vec<GroupOffset>,
}

impl Store {
    /// Living groups of a bus by name; `q` is a case-insensitive substring of the name, `topic` restricts to groups with commits on it,
    /// and lag, deleted records, partitions and standing are then those on this topic.
    pub async fn list_consumer_groups(
        &self,
        bus: &BusId,
        q: Option<&str>,
        topic: Option<&str>,
    ) -> Result<Vec<ConsumerGroupSummary>, StoreError> {
        let name = clean(bus.as_str());
        let q = q.map(str::to_lowercase);
        let named = |name: &str| q.as_deref().is_none_or(|q| name.to_lowercase().contains(q));
        let mut groups: Vec<ConsumerGroupSummary> = match topic {
            Some(topic) => {
                self.read_groups(bus, Some(&clean(topic))).await?.into_iter().filter(|group| named(group.name.as_str())).collect()
            }
            None => self.living_groups(bus).await?.iter().filter(|group| named(group.name.as_str())).cloned().collect(),
        };
        let open: Vec<(Vec<u8>, i64)> = read!(self, |pool| sqlx::query_as(OPEN_OF).bind(&name).fetch_all(pool).await?)?;
        let open: HashMap<String, i64> = open.into_iter().map(|(group, open)| (text(group), open)).collect();
        for group in &mut groups {
            group.open_dead_letters = open.get(group.name.as_str()).map_or(0, |open| open.unsigned_abs());
        }
        Ok(groups)
    }

    /// All living groups, without their dead letters: read again when a sampler, here or elsewhere, has written since.
    async fn living_groups(&self, bus: &BusId) -> Result<Arc<Vec<ConsumerGroupSummary>>, StoreError> {
        let name = clean(bus.as_str());
        let version: GroupsVersion = read!(self, |pool| sqlx::query_as(STAND).bind(&name).fetch_one(pool).await?)?;
        if let Some((known, groups)) = self.inner.caches.consumer_groups.get(bus)
            && known == version
        {
            return Ok(groups);
        }
        let groups = Arc::new(self.read_groups(bus, None).await?);
        self.inner.caches.consumer_groups.extend([(bus.clone(), (version, Arc::clone(&groups)))]);
        Ok(groups)
    }

    async fn read_groups(&self, bus: &BusId, topic: Option<&str>) -> Result<Vec<ConsumerGroupSummary>, StoreError> {
        let name = clean(bus.as_str());
        let rows: Vec<GroupRow> = read!(self, |pool| sqlx::query_as(LIST).bind(&name).fetch_all(pool).await?)?;
        let of_topics: Vec<TopicRow> = read!(self, |pool| sqlx::query_as(TOPICS).bind(&name).fetch_all(pool).await?)?;
        let mut topics: HashMap<i64, Vec<TopicRow>> = HashMap::new();
        for row in of_topics {
            topics.entry(row.group_id).or_default().push(row);
        }
        let mut groups = Vec::with_capacity(rows.len());
        for row in rows {
            let topics = topics.remove(&row.id).unwrap_or_default();
            if topic.is_none_or(|topic| topics.iter().any(|row| row.topic == topic)) {
                groups.push(summary(bus, &row, &topics, topic)?);
            }
        }
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// One group with members and positions; partitions that a member holds without a commit are among them.
    pub async fn find_consumer_group(&self, bus: &BusId, name: &GroupName) -> Result<Option<ConsumerGroup>, StoreError> {
        let bus_name = clean(bus.as_str());
        let row: Option<GroupRow> =
            read!(self, |pool| sqlx::query_as(FIND).bind(&bus_name).bind(name.as_str().as_bytes()).fetch_optional(pool).await?)?;
        let Some(row) = row else { return Ok(None) };
        let topics: Vec<(String, String)> = read!(self, |pool| sqlx::query_as(PARTITIONS_OF).bind(row.id).fetch_all(pool).await?)?;
        let mut offsets = Vec::new();
        for (topic, partitions) in topics {
            offsets.extend(wire::read(&topic, &partitions)?);
        }
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(Some(ConsumerGroup {
            bus: bus.clone(),
            members: members(row.members.as_deref())?,
            standing: row.standing()?,
            name: GroupName::new(text(row.name)),
            kind: row.kind,
            state: row.state,
            offsets,
            sampled_at: Timestamp::from_millis(row.sampled_at),
        }))
    }

    /// Every living group of a bus with its positions, for a sampler that begins.
    pub async fn list_known_groups(&self, bus: &BusId) -> Result<Vec<KnownGroup>, StoreError> {
        let name = clean(bus.as_str());
        let rows: Vec<KnownRow> = read!(self, |pool| sqlx::query_as(PARTITIONS).bind(&name).fetch_all(pool).await?)?;
        let mut groups: BTreeMap<Vec<u8>, KnownGroup> = BTreeMap::new();
        for (name, first_seen_at, code, since, behind_since, topic, partitions) in rows {
            let status = (wire::status(code)?, since.map(Timestamp::from_millis));
            let group = groups.entry(name.clone()).or_insert_with(|| KnownGroup {
                name: GroupName::new(text(name)),
                first_seen_at: Timestamp::from_millis(first_seen_at),
                status,
                behind_since: behind_since.map(Timestamp::from_millis),
                offsets: Vec::new(),
            });
            if let Some((topic, partitions)) = topic.zip(partitions) {
                group.offsets.extend(wire::read(&topic, &partitions)?);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Group names that headers of dead letters named on this bus; they are sampled by name where groups cannot be listed.
    pub async fn list_claimed_groups(&self, bus: &BusId) -> Result<Vec<GroupName>, StoreError> {
        let name = clean(bus.as_str());
        let rows: Vec<(Vec<u8>,)> = read!(self, |pool| sqlx::query_as(CLAIMED).bind(&name).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(name,)| GroupName::new(text(name))).collect())
    }
}

/// Living groups of a bus, the sum of all looks, and the sum of when each was written: every write of a sampler moves at least one.
pub(in crate::store) type GroupsVersion = (i64, i64, i64);
/// A bus's living groups as of a version.
pub(in crate::store) type LivingGroups = (GroupsVersion, Arc<Vec<ConsumerGroupSummary>>);

/// Name, first seen, status, since when, behind since when, topic, partitions.
type KnownRow = (Vec<u8>, i64, i16, Option<i64>, Option<i64>, Option<String>, Option<String>);
