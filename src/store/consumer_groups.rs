//! Consumer groups as last sampled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::contradiction;
use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::bus::{ConsumerGroup, GroupMember, GroupOffset};
use crate::model::names::TopicPartition;
use crate::model::{BusId, GroupName, Timestamp, TopicName};

/// A group as the sampler saw it. The caller leaves out groups that did not change since its last sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGroup {
    /// Name.
    pub name: GroupName,
    /// `classic`, `consumer` or `unknown`.
    pub kind: String,
    /// State in the bus's words.
    pub state: String,
    /// Members; `None` where they cannot be described.
    pub members: Option<Vec<GroupMember>>,
    /// Committed offsets; replaces the earlier ones.
    pub committed: Vec<(TopicPartition, i64)>,
}

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
    /// Sum of lag (without deleted records); `None` when no partition's lag is known.
    pub lag_messages: Option<u64>,
    /// Sum of records deleted before they were read.
    pub deleted_messages: u64,
    /// Partitions with a commit.
    pub partitions: u32,
    /// Open dead letters whose consumer group it is.
    pub open_dead_letters: u64,
    /// When it was last read.
    pub sampled_at: Timestamp,
}

statements! {
    const BUS = "select id from buses where bus = $1";
    const RECORD = "insert into consumer_groups (bus_id, name, kind, state, members, sampled_at) values ($1, $2, $3, $4, $5, $6) \
        on conflict (bus_id, name) do update set kind = excluded.kind, state = excluded.state, members = excluded.members, \
        sampled_at = excluded.sampled_at, gone_at = null returning id";
    const OFFSETS_OF = "select topic, number, committed from group_offsets where group_id = $1";
    const SET_OFFSET = "insert into group_offsets (group_id, topic, number, committed) values ($1, $2, $3, $4) \
        on conflict (group_id, topic, number) do update set committed = excluded.committed";
    const REMOVE_OFFSET = "delete from group_offsets where group_id = $1 and topic = $2 and number = $3";
    const LIVING = "select id, name from consumer_groups where bus_id = $1 and gone_at is null";
    const SEEN = "update consumer_groups set sampled_at = $2 where bus_id = $1 and gone_at is null";
    const GONE = "update consumer_groups set gone_at = $2 where id = $1";
    const LIST = "select c.id, c.name, c.kind, c.state, c.members, c.sampled_at from consumer_groups c join buses b on b.id = c.bus_id \
        where b.bus = $1 and c.gone_at is null";
    const FIND = "select c.id, c.name, c.kind, c.state, c.members, c.sampled_at from consumer_groups c join buses b on b.id = c.bus_id \
        where b.bus = $1 and c.name = $2 order by c.id limit 1";
    const LAGS = "select o.group_id, o.topic, o.number, o.committed, p.log_start, p.end_offset \
        from group_offsets o join consumer_groups c on c.id = o.group_id join buses b on b.id = c.bus_id \
        left join topic_generations g on g.bus_id = c.bus_id and g.topic = o.topic and g.gone_at is null \
        left join partitions p on p.generation_id = g.id and p.number = o.number \
        where b.bus = $1 and c.gone_at is null";
    const LAGS_OF = "select o.group_id, o.topic, o.number, o.committed, p.log_start, p.end_offset \
        from group_offsets o join consumer_groups c on c.id = o.group_id \
        left join topic_generations g on g.bus_id = c.bus_id and g.topic = o.topic and g.gone_at is null \
        left join partitions p on p.generation_id = g.id and p.number = o.number \
        where o.group_id = $1 order by o.topic, o.number";
    const OPEN_OF = "select f.consumer_group, cast(sum(f.open) as bigint) from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.open > 0 and f.consumer_group is not null group by f.consumer_group";
    const CLAIMED = "select distinct f.consumer_group from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.consumer_group is not null and not f.inferred";
}

/// Groups per transaction.
const STEP: usize = 100;

#[derive(sqlx::FromRow)]
struct GroupRow {
    id: i64,
    name: Vec<u8>,
    kind: String,
    state: String,
    members: Option<String>,
    sampled_at: i64,
}

#[derive(sqlx::FromRow)]
struct LagRow {
    group_id: i64,
    topic: String,
    number: i32,
    committed: i64,
    log_start: Option<i64>,
    end_offset: Option<i64>,
}

impl LagRow {
    fn into_offset(self) -> GroupOffset {
        GroupOffset {
            topic: TopicName::new(self.topic),
            partition: self.number,
            committed: Some(self.committed),
            log_start: self.log_start,
            end: self.end_offset,
        }
    }
}

fn members(text: Option<&str>) -> Result<Option<Vec<GroupMember>>, StoreError> {
    text.map(serde_json::from_str).transpose().map_err(|error| contradiction(format!("members of a consumer group: {error}")))
}

fn summary(bus: &BusId, row: GroupRow, offsets: &[GroupOffset], open: &HashMap<Vec<u8>, i64>) -> Result<ConsumerGroupSummary, StoreError> {
    let members = members(row.members.as_deref())?;
    let assigned = members.iter().flatten().flat_map(|member| member.assignment.iter().map(|(topic, _)| topic.as_str().to_owned()));
    let topics: BTreeSet<String> = offsets.iter().map(|offset| offset.topic.as_str().to_owned()).chain(assigned).collect();
    let mut group = ConsumerGroupSummary {
        bus: bus.clone(),
        open_dead_letters: open.get(&row.name).map_or(0, |open| open.unsigned_abs()),
        name: GroupName::new(text(row.name)),
        kind: row.kind,
        state: row.state,
        members: members.map(|members| u32::try_from(members.len()).unwrap_or(u32::MAX)),
        topics: topics.into_iter().collect(),
        lag_messages: None,
        deleted_messages: 0,
        partitions: 0,
        sampled_at: Timestamp::from_millis(row.sampled_at),
    };
    group.count(offsets.iter());
    Ok(group)
}

/// Assigned partitions that no offset was committed for, by topic.
fn without_commit(members: &[GroupMember], offsets: &[GroupOffset]) -> BTreeMap<TopicName, BTreeSet<i32>> {
    let committed: BTreeSet<(&str, i32)> = offsets.iter().map(|offset| (offset.topic.as_str(), offset.partition)).collect();
    let mut missing: BTreeMap<TopicName, BTreeSet<i32>> = BTreeMap::new();
    for (topic, numbers) in members.iter().flat_map(|member| &member.assignment) {
        let uncommitted: Vec<i32> = numbers.iter().copied().filter(|number| !committed.contains(&(topic.as_str(), *number))).collect();
        if !uncommitted.is_empty() {
            missing.entry(topic.clone()).or_default().extend(uncommitted);
        }
    }
    missing
}

impl ConsumerGroupSummary {
    /// Sums up these offsets.
    fn count<'a>(&mut self, offsets: impl Iterator<Item = &'a GroupOffset> + Clone) {
        let lags = offsets.clone().filter_map(GroupOffset::lag_messages).map(i64::unsigned_abs);
        self.lag_messages = lags.fold(None, |sum, lag| Some(sum.unwrap_or(0) + lag));
        self.deleted_messages = offsets.clone().filter_map(GroupOffset::deleted_messages).map(i64::unsigned_abs).sum();
        self.partitions = u32::try_from(offsets.count()).unwrap_or(u32::MAX);
    }
}

impl Store {
    /// Stores changed groups, and marks those not in `alive` as gone; `None` when the groups could not be listed.
    pub async fn record_consumer_groups(
        &self,
        bus: &BusId,
        changed: &[SeenGroup],
        alive: Option<&[GroupName]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for some in changed.chunks(STEP) {
            write_on!(self, record(bus, some, now));
        }
        write_on!(self, end(bus, alive, now));
        Ok(())
    }
    /// Living groups of a bus by name; `q` is a case-insensitive substring of the name, `topic` restricts to groups with commits on it,
    /// and lag, deleted records and partitions are then those on this topic.
    pub async fn list_consumer_groups(
        &self,
        bus: &BusId,
        q: Option<&str>,
        topic: Option<&str>,
    ) -> Result<Vec<ConsumerGroupSummary>, StoreError> {
        let name = clean(bus.as_str());
        let rows: Vec<GroupRow> = read!(self, |pool| sqlx::query_as(LIST).bind(&name).fetch_all(pool).await?)?;
        let lags: Vec<LagRow> = read!(self, |pool| sqlx::query_as(LAGS).bind(&name).fetch_all(pool).await?)?;
        let open: Vec<(Vec<u8>, i64)> = read!(self, |pool| sqlx::query_as(OPEN_OF).bind(&name).fetch_all(pool).await?)?;
        let open: HashMap<Vec<u8>, i64> = open.into_iter().collect();
        let mut offsets: HashMap<i64, Vec<GroupOffset>> = HashMap::new();
        for lag in lags {
            offsets.entry(lag.group_id).or_default().push(lag.into_offset());
        }
        let q = q.map(str::to_lowercase);
        let mut groups = Vec::with_capacity(rows.len());
        for row in rows {
            let offsets = offsets.remove(&row.id).unwrap_or_default();
            let wanted = q.as_deref().is_none_or(|q| String::from_utf8_lossy(&row.name).to_lowercase().contains(q))
                && topic.is_none_or(|topic| offsets.iter().any(|offset| offset.topic.as_str() == topic));
            if wanted {
                let mut group = summary(bus, row, &offsets, &open)?;
                if let Some(topic) = topic {
                    group.count(offsets.iter().filter(|offset| offset.topic.as_str() == topic));
                }
                groups.push(group);
            }
        }
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }
    /// One group with members and offsets per partition; partitions that a member holds without a commit are among them.
    pub async fn find_consumer_group(&self, bus: &BusId, name: &GroupName) -> Result<Option<ConsumerGroup>, StoreError> {
        let bus_name = clean(bus.as_str());
        let row: Option<GroupRow> =
            read!(self, |pool| sqlx::query_as(FIND).bind(&bus_name).bind(name.as_str().as_bytes()).fetch_optional(pool).await?)?;
        let Some(row) = row else { return Ok(None) };
        let lags: Vec<LagRow> = read!(self, |pool| sqlx::query_as(LAGS_OF).bind(row.id).fetch_all(pool).await?)?;
        let members = members(row.members.as_deref())?;
        let mut offsets: Vec<GroupOffset> = lags.into_iter().map(LagRow::into_offset).collect();
        for (topic, numbers) in without_commit(members.as_deref().unwrap_or_default(), &offsets) {
            let partitions = self.find_topic(bus, &topic).await?.map(|(_, partitions)| partitions).unwrap_or_default();
            offsets.extend(numbers.into_iter().map(|number| {
                let known = partitions.iter().find(|partition| partition.partition == number);
                GroupOffset {
                    topic: topic.clone(),
                    partition: number,
                    committed: None,
                    log_start: known.and_then(|partition| partition.log_start),
                    end: known.and_then(|partition| partition.end),
                }
            }));
        }
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(Some(ConsumerGroup {
            bus: bus.clone(),
            members,
            name: GroupName::new(text(row.name)),
            kind: row.kind,
            state: row.state,
            offsets,
            sampled_at: Timestamp::from_millis(row.sampled_at),
        }))
    }
    /// Group names that headers of dead letters named on this bus; they are sampled by name where groups cannot be listed.
    pub async fn list_claimed_groups(&self, bus: &BusId) -> Result<Vec<GroupName>, StoreError> {
        let name = clean(bus.as_str());
        let rows: Vec<(Vec<u8>,)> = read!(self, |pool| sqlx::query_as(CLAIMED).bind(&name).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(name,)| GroupName::new(text(name))).collect())
    }
}

engines! {
    async fn bus_id(tx: &mut Connection, bus: &BusId) -> Result<i64, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as(BUS).bind(bus.as_str()).fetch_optional(tx).await?;
        row.map(|(id,)| id).ok_or_else(|| StoreError::Broken(format!("bus {bus} is not registered")))
    }

    pub(in crate::store) async fn record(tx: &mut Connection, bus: &BusId, groups: &[SeenGroup], now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id(tx, bus).await?;
        for group in groups {
            let members = group.members.as_ref().map(|members| serde_json::to_string(members).expect("members are JSON"));
            let (id,): (i64,) = sqlx::query_as(RECORD)
                .bind(bus_id)
                .bind(group.name.as_str().as_bytes())
                .bind(clean(&group.kind))
                .bind(clean(&group.state))
                .bind(members)
                .bind(now.as_millis())
                .fetch_one(&mut *tx)
                .await?;
            let rows: Vec<(String, i32, i64)> = sqlx::query_as(OFFSETS_OF).bind(id).fetch_all(&mut *tx).await?;
            let mut stored: BTreeMap<(String, i32), i64> = rows.into_iter().map(|(topic, number, at)| ((topic, number), at)).collect();
            for (partition, committed) in &group.committed {
                let topic = clean(partition.topic.as_str());
                if stored.remove(&(topic.clone(), partition.partition)) != Some(*committed) {
                    sqlx::query(SET_OFFSET).bind(id).bind(&topic).bind(partition.partition).bind(committed).execute(&mut *tx).await?;
                }
            }
            for ((topic, number), _) in stored {
                sqlx::query(REMOVE_OFFSET).bind(id).bind(topic).bind(number).execute(&mut *tx).await?;
            }
        }
        Ok(())
    }

    /// Marks the groups that are no longer there; the others were seen just now.
    pub(in crate::store) async fn end(tx: &mut Connection, bus: &BusId, alive: Option<&[GroupName]>, now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id(tx, bus).await?;
        let Some(alive) = alive else { return Ok(()) };
        let alive: BTreeSet<&[u8]> = alive.iter().map(|name| name.as_str().as_bytes()).collect();
        let living: Vec<(i64, Vec<u8>)> = sqlx::query_as(LIVING).bind(bus_id).fetch_all(&mut *tx).await?;
        for (id, _) in living.iter().filter(|(_, name)| !alive.contains(name.as_slice())) {
            sqlx::query(GONE).bind(id).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        sqlx::query(SEEN).bind(bus_id).bind(now.as_millis()).execute(tx).await?;
        Ok(())
    }
}
