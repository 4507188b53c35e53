//! Freezing the scope of a replay: what is known of each dead letter, and the items in the order of sending.

use std::collections::HashMap;

use super::sending::{Owned, Owner, Superseded};
use super::{json, name};
use crate::model::replay::{Check, Delivery, MessageId, Route, SkipReason};
use crate::model::{BusId, Cursor, DeadLetterFilter, DeadLetterId, PageRequest, Status, Timestamp, TopicName};
use crate::store::dialect::bulk::{Bulk, Item};
use crate::store::indexing::id_list;
use crate::store::rows::{clean, status};
use crate::store::{Store, StoreError};

statements! {
    const KEYS = "select d.id, f.origin_topic, f.topic, d.origin_partition, d.origin_offset, p.number, d.record_offset \
        from dead_letters d join facets f on f.id = d.facet_id join partitions p on p.id = d.partition_id join buses b on b.id = f.bus_id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text))) and b.bus = $2 order by d.id";
    const FACTS = "select d.id, d.status, f.topic, f.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.failed_at, \
        f.consumer_group, f.inferred, d.custody_problem, d.key_prefix, d.key_size, d.value_size, r.message_id, r.attempt, \
        cast(length(c.body) as bigint) as body_size \
        from dead_letters d join facets f on f.id = d.facet_id left join returns r on r.dead_letter_id = d.id \
        left join custody c on c.dead_letter_id = d.id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const EARLIER = "select i.dead_letter_id, i.message_id, i.attempt, i.result, r.state from replay_items i join replays r on r.id = i.replay_id \
        where i.dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text))) and i.replay_id <> $2 \
        and (i.result in (3, 4, 5, 6, 7) or (i.result = 0 and r.state in (2, 3)))";
    /// Of dead letters that were set aside as older copies: what became of the message itself.
    const TWINS = "select i.dead_letter_id, i.message_id, o.attempt, o.result, r.state from replay_items i \
        join replay_items o on o.message_id = i.message_id and o.dead_letter_id <> i.dead_letter_id join replays r on r.id = o.replay_id \
        where i.dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text))) and i.replay_id <> $2 \
        and i.result = 1 and i.reason = 'duplicate' and (o.result in (3, 4, 5, 6, 7) or (o.result = 0 and r.state in (2, 3)))";
    const CAME_BACK = "select i.successor_id, i.message_id, i.attempt from replay_items i \
        where i.successor_id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const BUSES_OF = "select distinct b.bus from dead_letters d join facets f on f.id = d.facet_id join buses b on b.id = f.bus_id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const OWN = "update replays set epoch = epoch where id = $1 and epoch = $2";
    const ADD_ROUTE = "insert into replay_routes (replay_id, route, target, target_topic_id, target_partitions, partition_kept_from, \
        consumer_group, inferred, settle_ms, items) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
        on conflict (replay_id, route) do update set items = excluded.items, settle_ms = excluded.settle_ms";
    const COUNTS = "update replays set waiting = waiting + $3, skipped = skipped + $4 where id = $1 and epoch = $2";
    const RESET = "update replays set waiting = 0, skipped = 0 where id = $1 and epoch = $2";
    const FORGET_ITEMS = "delete from replay_items where replay_id = $1 and position in \
        (select position from replay_items where replay_id = $1 limit 2000)";
    const FORGET_ROUTES = "delete from replay_routes where replay_id = $1";
    const PLANNED = "update replays set state = 1, state_reason = null, state_text = null, state_at = $3, checks = $4, checked_at = $3, \
        delivery = $5, request = null where id = $1 and epoch = $2 and state = 0";
    const RETARGET = "update replay_items set result = 1, reason = 'duplicate' where replay_id = $1 and result = 0 \
        and position in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const TARGETS = "select g.topic, g.partitions_changed_at, g.first_seen_at, g.config, \
        (select count(*) from topic_generations o where o.bus_id = g.bus_id and o.topic = g.topic and o.id < g.id), g.compacted \
        from topic_generations g join buses b on b.id = g.bus_id where b.bus = $1 and g.gone_at is null \
        and g.topic in (select value from json_each(cast($2 as text)))";
}

/// Where a dead letter stands in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftKey {
    /// Which.
    pub id: DeadLetterId,
    /// Origin topic, else its own.
    pub topic: Vec<u8>,
    /// Whether the place is the origin's.
    pub has_origin: bool,
    /// Partition there.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
}

/// What a plan must know of a dead letter.
#[derive(Debug, Clone)]
pub struct DraftFacts {
    /// Its status now.
    pub status: Status,
    /// Origin topic.
    pub origin_topic: Option<TopicName>,
    /// Origin partition.
    pub origin_partition: Option<i32>,
    /// Time of the source record, else of the failure.
    pub record_time: Timestamp,
    /// Consumer group that failed, and whether that was inferred.
    pub consumer_group: Option<(String, bool)>,
    /// Why its content is not there.
    pub custody_problem: Option<String>,
    /// Key, cut at 256 bytes.
    pub key_prefix: Option<Vec<u8>>,
    /// Whole length of the key.
    pub key_size: u64,
    /// Length of key and value together.
    pub size_bytes: u64,
    /// Length of the record in custody, compressed.
    pub custody_bytes: u64,
    /// The message's id, when it was replayed before.
    pub message_id: Option<MessageId>,
    /// Replays of the message so far.
    pub attempts: i32,
    /// Whether it waits in another job that runs.
    pub in_other_replay: bool,
    /// Whether another job has sent it.
    pub sent_before: bool,
    /// Whether another job has sent a newer copy of the same message, and set this one aside.
    pub copy_was_sent: bool,
}

impl DraftFacts {
    /// Takes what another job knows of the message.
    fn learn(&mut self, message_id: Vec<u8>, attempt: i32) {
        if attempt > self.attempts || self.message_id.is_none() {
            self.attempts = self.attempts.max(attempt);
            self.message_id = message_id.try_into().ok().map(MessageId);
        }
    }
}

/// An item to be.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Place in the order of sending.
    pub position: i64,
    /// Which dead letter.
    pub dead_letter_id: DeadLetterId,
    /// Why it is not sent; `None`: it waits.
    pub skip: Option<SkipReason>,
    /// Its route.
    pub route: i32,
    /// The message's id.
    pub message_id: MessageId,
    /// Which replay of the message this is.
    pub attempt: i32,
    /// Hash of the key.
    pub key_hash: Option<i64>,
}

/// What our history tells of a target topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHistory {
    /// Since when it has the partitions that it has, when it had others before.
    pub partitions_since: Option<Timestamp>,
    /// Largest record batch it takes, where its configuration says so.
    pub max_message_bytes: Option<u64>,
    /// Whether it is compacted.
    pub compacted: bool,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    id: i64,
    status: i16,
    #[expect(dead_code, reason = "part of the row")]
    topic: String,
    origin_topic: Option<Vec<u8>>,
    origin_partition: Option<i32>,
    #[expect(dead_code, reason = "part of the row")]
    origin_offset: Option<i64>,
    origin_timestamp: Option<i64>,
    failed_at: i64,
    consumer_group: Option<Vec<u8>>,
    inferred: bool,
    custody_problem: Option<String>,
    key_prefix: Option<Vec<u8>>,
    key_size: i64,
    value_size: Option<i64>,
    message_id: Option<Vec<u8>>,
    attempt: Option<i32>,
    body_size: Option<i64>,
}

type KeyRow = (i64, Option<Vec<u8>>, String, Option<i32>, Option<i64>, i32, i64);
type EarlierRow = (i64, Vec<u8>, i32, i16, i16);

impl Store {
    /// The next ids of a filter's scope, newest first, none above `upper`. An empty page with a cursor is legal while a search goes on.
    pub async fn list_scope(
        &self,
        filter: &DeadLetterFilter,
        upper: DeadLetterId,
        page: &PageRequest,
    ) -> Result<(Vec<DeadLetterId>, Option<Cursor>), StoreError> {
        let selection = self.select(filter, page, 1_000).await?;
        let ids = selection.keys.iter().map(|key| DeadLetterId(key.id)).filter(|id| *id <= upper);
        Ok((ids.collect(), selection.next))
    }

    /// Buses of some dead letters.
    pub async fn list_buses_of(&self, ids: &[DeadLetterId]) -> Result<Vec<BusId>, StoreError> {
        let list = id_list(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(BUSES_OF).bind(&list).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(bus,)| BusId::new(bus)).collect())
    }

    /// Where dead letters of a bus stand in the order of sending; those that are gone are left out.
    pub async fn list_draft_keys(&self, bus: &BusId, ids: &[DeadLetterId]) -> Result<Vec<DraftKey>, StoreError> {
        let list = id_list(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let rows: Vec<KeyRow> = read!(self, |pool| sqlx::query_as(KEYS).bind(&list).bind(bus.as_str()).fetch_all(pool).await?)?;
        let key = |(id, origin, topic, partition, offset, number, record_offset): KeyRow| {
            let place = match (origin, partition, offset) {
                (Some(origin), Some(partition), Some(offset)) => (origin, true, partition, offset),
                _ => (topic.into_bytes(), false, number, record_offset),
            };
            DraftKey { id: DeadLetterId(id), topic: place.0, has_origin: place.1, partition: place.2, offset: place.3 }
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// What a plan must know of dead letters, by id.
    pub async fn list_draft_facts(&self, number: i64, ids: &[DeadLetterId]) -> Result<HashMap<DeadLetterId, DraftFacts>, StoreError> {
        let list = id_list(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let rows: Vec<FactsRow> = read!(self, |pool| sqlx::query_as(FACTS).bind(&list).fetch_all(pool).await?)?;
        let earlier: Vec<EarlierRow> = read!(self, |pool| sqlx::query_as(EARLIER).bind(&list).bind(number).fetch_all(pool).await?)?;
        let mut facts = HashMap::with_capacity(rows.len());
        for row in rows {
            facts.insert(DeadLetterId(row.id), row.into_facts()?);
        }
        // What came back without its headers is the same message all the same.
        let came_back: Vec<(i64, Vec<u8>, i32)> = read!(self, |pool| sqlx::query_as(CAME_BACK).bind(&list).fetch_all(pool).await?)?;
        for (id, message_id, attempt) in came_back {
            if let Some(facts) = facts.get_mut(&DeadLetterId(id))
                && attempt >= facts.attempts
            {
                facts.attempts = attempt;
                facts.message_id = message_id.try_into().ok().map(MessageId);
            }
        }
        for (id, message_id, attempt, result, _) in earlier {
            let Some(facts) = facts.get_mut(&DeadLetterId(id)) else { continue };
            if result == 0 {
                facts.in_other_replay = true;
                continue;
            }
            facts.sent_before = true;
            facts.learn(message_id, attempt);
        }
        let twins: Vec<EarlierRow> = read!(self, |pool| sqlx::query_as(TWINS).bind(&list).bind(number).fetch_all(pool).await?)?;
        for (id, message_id, attempt, result, _) in twins {
            let Some(facts) = facts.get_mut(&DeadLetterId(id)) else { continue };
            facts.in_other_replay |= result == 0;
            facts.copy_was_sent |= result != 0;
            facts.learn(message_id, attempt);
        }
        Ok(facts)
    }

    /// Begins a plan anew: what an earlier try has left is removed.
    pub async fn reset_plan(&self, owner: Owner) -> Result<Owned<()>, StoreError> {
        let rows = touched!(self, sqlx::query(RESET).bind(owner.number).bind(owner.epoch));
        if rows == 0 {
            return Ok(Err(Superseded));
        }
        while touched!(self, sqlx::query(FORGET_ITEMS).bind(owner.number)) > 0 {}
        touched!(self, sqlx::query(FORGET_ROUTES).bind(owner.number));
        Ok(Ok(()))
    }

    /// Writes the next items of a plan, with the positions of earlier ones that turned out to be duplicates.
    pub async fn add_items(&self, owner: Owner, items: &[NewItem], duplicates: &[i64]) -> Result<Owned<()>, StoreError> {
        Ok(write_on!(self, add(owner, items, duplicates)))
    }

    /// Writes the routes of a plan.
    pub async fn set_routes(&self, owner: Owner, routes: &[Route]) -> Result<Owned<()>, StoreError> {
        Ok(write_on!(self, routes(owner, routes)))
    }

    /// Ends planning.
    pub async fn finish_plan(&self, owner: Owner, checks: &[Check], delivery: Delivery, now: Timestamp) -> Result<Owned<()>, StoreError> {
        let checks = clean(&json(checks)?);
        let rows = touched!(
            self,
            sqlx::query(PLANNED).bind(owner.number).bind(owner.epoch).bind(now.as_millis()).bind(&checks).bind(delivery.code())
        );
        Ok(if rows == 1 { Ok(()) } else { Err(Superseded) })
    }

    /// What our history tells of topics that live.
    pub async fn list_target_history(&self, bus: &BusId, topics: &[TopicName]) -> Result<HashMap<TopicName, TargetHistory>, StoreError> {
        let names: Vec<&str> = topics.iter().map(TopicName::as_str).filter(|topic| !topic.contains('\0')).collect();
        let list = crate::store::indexing::text_list(&names);
        let rows: Vec<(String, Option<i64>, i64, String, i64, bool)> =
            read!(self, |pool| sqlx::query_as(TARGETS).bind(bus.as_str()).bind(&list).fetch_all(pool).await?)?;
        let history = rows.into_iter().map(|(topic, changed_at, first_seen_at, config, earlier, compacted)| {
            let began_again = (earlier > 0).then_some(first_seen_at);
            let config: HashMap<String, String> = serde_json::from_str(&config).unwrap_or_default();
            let since = changed_at.into_iter().chain(began_again).max();
            let max_message_bytes = config.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
            let history = TargetHistory { partitions_since: since.map(Timestamp::from_millis), max_message_bytes, compacted };
            (TopicName::new(topic), history)
        });
        Ok(history.collect())
    }
}

impl FactsRow {
    fn into_facts(self) -> Result<DraftFacts, StoreError> {
        let key_size = self.key_size.unsigned_abs();
        Ok(DraftFacts {
            status: status(self.status)?,
            origin_topic: name(self.origin_topic).map(TopicName::new),
            origin_partition: self.origin_partition,
            record_time: Timestamp::from_millis(self.origin_timestamp.unwrap_or(self.failed_at)),
            consumer_group: name(self.consumer_group).map(|group| (group, self.inferred)),
            custody_problem: self.custody_problem.or_else(|| self.body_size.is_none().then(|| "it is not in custody".to_owned())),
            key_prefix: self.key_prefix,
            key_size,
            size_bytes: key_size + self.value_size.map_or(0, i64::unsigned_abs),
            custody_bytes: self.body_size.map_or(0, i64::unsigned_abs),
            message_id: self.message_id.and_then(|id| id.try_into().ok()).map(MessageId),
            attempts: self.attempt.unwrap_or(0),
            in_other_replay: false,
            sent_before: false,
            copy_was_sent: false,
        })
    }
}

fn row(item: &NewItem) -> Item {
    Item {
        position: item.position,
        dead_letter_id: item.dead_letter_id.0,
        result: i16::from(item.skip.is_some()),
        reason: item.skip.map(SkipReason::as_str),
        route: item.route,
        message_id: item.message_id.0,
        attempt: item.attempt,
        key_hash: item.key_hash,
    }
}

engines! {
    pub(in crate::store) async fn add(tx: &mut Connection, owner: Owner, items: &[NewItem], duplicates: &[i64]) -> Result<Owned<()>, StoreError> {
        if sqlx::query(OWN).bind(owner.number).bind(owner.epoch).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Err(Superseded));
        }
        let rows: Vec<Item> = items.iter().map(row).collect();
        let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let mut skipped = i64::try_from(items.iter().filter(|item| item.skip.is_some()).count()).unwrap_or(i64::MAX);
        let mut waiting = total - skipped;
        tx.insert_items(owner.number, rows).await?;
        if !duplicates.is_empty() {
            let moved = sqlx::query(RETARGET).bind(owner.number).bind(id_list(duplicates)).execute(&mut *tx).await?.rows_affected();
            let moved = i64::try_from(moved).unwrap_or(i64::MAX);
            (waiting, skipped) = (waiting - moved, skipped + moved);
        }
        sqlx::query(COUNTS).bind(owner.number).bind(owner.epoch).bind(waiting).bind(skipped).execute(&mut *tx).await?;
        Ok(Ok(()))
    }

    pub(in crate::store) async fn routes(tx: &mut Connection, owner: Owner, routes: &[Route]) -> Result<Owned<()>, StoreError> {
        if sqlx::query(OWN).bind(owner.number).bind(owner.epoch).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Err(Superseded));
        }
        for route in routes {
            sqlx::query(ADD_ROUTE)
                .bind(owner.number)
                .bind(route.route)
                .bind(route.target.as_ref().map(|target| clean(target.as_str())))
                .bind(&route.target_topic_id)
                .bind(route.target_partitions)
                .bind(route.partition_kept_from.map(Timestamp::as_millis))
                .bind(route.consumer_group.as_ref().map(|group| group.as_str().as_bytes()))
                .bind(route.inferred)
                .bind(route.settle_ms)
                .bind(i64::try_from(route.items).unwrap_or(i64::MAX))
                .execute(&mut *tx)
                .await?;
        }
        Ok(Ok(()))
    }
}
