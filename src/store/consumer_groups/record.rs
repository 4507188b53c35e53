//! Writes what the sampler saw of groups.

use std::collections::{BTreeMap, BTreeSet};

use super::wire;
use super::{BUS, Sums, bus_id_of};
use crate::model::bus::GroupMember;
use crate::model::lag::{GroupOffset, Standing};
use crate::model::{BusId, GroupName, Timestamp};
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

statements! {
    const RECORD = "insert into consumer_groups (bus_id, name, kind, state, members, sampled_at, status, status_since, evidence, parked, \
        behind_since, first_seen_at, recorded_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $6, $6) \
        on conflict (bus_id, name) do update set kind = excluded.kind, state = excluded.state, members = excluded.members, \
        sampled_at = excluded.sampled_at, status = excluded.status, status_since = excluded.status_since, evidence = excluded.evidence, \
        parked = excluded.parked, behind_since = excluded.behind_since, recorded_at = excluded.recorded_at, gone_at = null returning id";
    const UNREAD = "update consumer_groups set members = null, recorded_at = $3, status = $4, status_since = $5, evidence = $6 \
        where bus_id = $1 and name = $2 returning id";
    const TOPICS_OF = "select topic, partitions from group_topics where group_id = $1";
    const SET_TOPIC = "insert into group_topics (group_id, topic, committed, raw_lag, lag, deleted, not_records, lag_ms, lag_ms_min, \
        lag_ms_max, status, partitions) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        on conflict (group_id, topic) do update set committed = excluded.committed, raw_lag = excluded.raw_lag, lag = excluded.lag, \
        deleted = excluded.deleted, not_records = excluded.not_records, lag_ms = excluded.lag_ms, lag_ms_min = excluded.lag_ms_min, \
        lag_ms_max = excluded.lag_ms_max, status = excluded.status, partitions = excluded.partitions";
    const REMOVE_TOPIC = "delete from group_topics where group_id = $1 and topic = $2";
    const LIVING = "select id, name from consumer_groups where bus_id = $1 and gone_at is null";
    const READ = "update consumer_groups set sampled_at = $2 \
        where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const GONE = "update consumer_groups set gone_at = $2 where id = $1";
}

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
    /// Positions; they replace the earlier ones.
    pub offsets: Vec<GroupOffset>,
    /// What it is doing.
    pub standing: Standing,
}

/// Groups per transaction.
const STEP: usize = 100;

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

    /// Says of groups that they were read just now, whether they have changed or not.
    pub async fn record_reads_of_consumer_groups(&self, bus: &BusId, read: &[GroupName], now: Timestamp) -> Result<(), StoreError> {
        if !read.is_empty() {
            write_on!(self, read_now(bus, read, now));
        }
        Ok(())
    }

    /// Stores what there is to say of known groups that cannot be read: when they last were stays as it is.
    pub async fn record_unread_consumer_groups(&self, bus: &BusId, groups: &[SeenGroup], now: Timestamp) -> Result<(), StoreError> {
        for some in groups.chunks(STEP) {
            write_on!(self, unread(bus, some, now));
        }
        Ok(())
    }
}

engines! {
    pub(in crate::store) async fn record(tx: &mut Connection, bus: &BusId, groups: &[SeenGroup], now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id_of(sqlx::query_as(BUS).bind(bus.as_str()).fetch_optional(&mut *tx).await?, bus)?;
        for group in groups {
            let members = group.members.as_ref().map(|members| serde_json::to_string(members).expect("members are JSON"));
            let (id,): (i64,) = sqlx::query_as(RECORD)
                .bind(bus_id)
                .bind(group.name.as_str().as_bytes())
                .bind(clean(&group.kind))
                .bind(clean(&group.state))
                .bind(members)
                .bind(now.as_millis())
                .bind(i32::from(group.standing.status.code()))
                .bind(group.standing.since.map(Timestamp::as_millis))
                .bind(clean(&group.standing.evidence))
                .bind(group.standing.parked)
                .bind(group.standing.behind_since.map(Timestamp::as_millis))
                .fetch_one(&mut *tx)
                .await?;
            topics(&mut *tx, id, group).await?;
        }
        Ok(())
    }

    /// The group's positions, by topic; only what differs is written.
    async fn topics(tx: &mut Connection, id: i64, group: &SeenGroup) -> Result<(), StoreError> {
        let stored: Vec<(String, String)> = sqlx::query_as(TOPICS_OF).bind(id).fetch_all(&mut *tx).await?;
        let mut stored: BTreeMap<String, String> = stored.into_iter().collect();
        let mut topics: BTreeMap<String, Vec<&GroupOffset>> = BTreeMap::new();
        for offset in &group.offsets {
            topics.entry(clean(offset.topic.as_str())).or_default().push(offset);
        }
        for (topic, offsets) in topics {
            let partitions = wire::write(&offsets);
            if stored.remove(&topic).as_ref() == Some(&partitions) {
                continue;
            }
            let sums = Sums::of(offsets.iter().copied());
            sqlx::query(SET_TOPIC)
                .bind(id)
                .bind(&topic)
                .bind(sums.committed)
                .bind(sums.raw_lag)
                .bind(sums.lag)
                .bind(sums.deleted)
                .bind(sums.not_records)
                .bind(sums.time_lag.and_then(|lag| lag.estimate))
                .bind(sums.time_lag.map(|lag| lag.min))
                .bind(sums.time_lag.and_then(|lag| lag.max))
                .bind(i32::from(sums.status.code()))
                .bind(partitions)
                .execute(&mut *tx)
                .await?;
        }
        for topic in stored.into_keys() {
            sqlx::query(REMOVE_TOPIC).bind(id).bind(topic).execute(&mut *tx).await?;
        }
        Ok(())
    }

    /// A group that is not known stays so: nobody has read anything of it.
    pub(in crate::store) async fn unread(tx: &mut Connection, bus: &BusId, groups: &[SeenGroup], now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id_of(sqlx::query_as(BUS).bind(bus.as_str()).fetch_optional(&mut *tx).await?, bus)?;
        for group in groups {
            let row: Option<(i64,)> = sqlx::query_as(UNREAD)
                .bind(bus_id)
                .bind(group.name.as_str().as_bytes())
                .bind(now.as_millis())
                .bind(i32::from(group.standing.status.code()))
                .bind(group.standing.since.map(Timestamp::as_millis))
                .bind(clean(&group.standing.evidence))
                .fetch_optional(&mut *tx)
                .await?;
            if let Some((id,)) = row {
                topics(&mut *tx, id, group).await?;
            }
        }
        Ok(())
    }

    pub(in crate::store) async fn read_now(tx: &mut Connection, bus: &BusId, read: &[GroupName], now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id_of(sqlx::query_as(BUS).bind(bus.as_str()).fetch_optional(&mut *tx).await?, bus)?;
        let read: BTreeSet<&[u8]> = read.iter().map(|name| name.as_str().as_bytes()).collect();
        let living: Vec<(i64, Vec<u8>)> = sqlx::query_as(LIVING).bind(bus_id).fetch_all(&mut *tx).await?;
        let ids: Vec<i64> = living.into_iter().filter(|(_, name)| read.contains(name.as_slice())).map(|(id, _)| id).collect();
        let ids = serde_json::to_string(&ids).expect("numbers are JSON");
        sqlx::query(READ).bind(ids).bind(now.as_millis()).execute(tx).await?;
        Ok(())
    }

    /// Marks the groups that are no longer there.
    pub(in crate::store) async fn end(tx: &mut Connection, bus: &BusId, alive: Option<&[GroupName]>, now: Timestamp) -> Result<(), StoreError> {
        let bus_id = bus_id_of(sqlx::query_as(BUS).bind(bus.as_str()).fetch_optional(&mut *tx).await?, bus)?;
        let Some(alive) = alive else { return Ok(()) };
        let alive: BTreeSet<&[u8]> = alive.iter().map(|name| name.as_str().as_bytes()).collect();
        let living: Vec<(i64, Vec<u8>)> = sqlx::query_as(LIVING).bind(bus_id).fetch_all(&mut *tx).await?;
        for (id, _) in living.iter().filter(|(_, name)| !alive.contains(name.as_slice())) {
            sqlx::query(GONE).bind(id).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        Ok(())
    }
}
