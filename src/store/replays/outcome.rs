//! What became of what was sent: consumed, resolved, failed again. Each step is a compare-and-set on the item's present result, so that
//! it may be repeated.

use std::collections::BTreeMap;

use super::name;
use crate::model::replay::{ItemResult, Route};
use crate::model::{BusId, DeadLetterId, GroupName, Status, Timestamp, TopicName};
use crate::store::indexing::id_list;
use crate::store::rows::clean;
use crate::store::statuses::ChangeStatus;
use crate::store::{Store, StoreError};

statements! {
    const UNSEEN = "select r.dead_letter_id, r.message_id, r.attempt, r.replay_id, f.consumer_group, f.inferred from returns r \
        join dead_letters d on d.id = r.dead_letter_id join facets f on f.id = d.facet_id where not r.seen order by r.dead_letter_id limit $1";
    const BY_MESSAGE = "select i.replay_id, i.position, i.dead_letter_id, ro.consumer_group from replay_items i \
        join replays r on r.id = i.replay_id left join replay_routes ro on ro.replay_id = i.replay_id and ro.route = i.route \
        where i.message_id = $1 and i.attempt = $2 and (cast($3 as text) is null or r.replay_id = $3) and i.result in (0, 3, 4, 5, 7) \
        order by i.replay_id desc limit 1";
    const SEEN = "update returns set seen = true where dead_letter_id = $1";
    const SET_SUCCESSOR = "update replay_items set successor_id = $3 where replay_id = $1 and position = $2 and successor_id is null";
    // `+`: by the index of those that came back, which holds few.
    const RETURNED = "select position, dead_letter_id from replay_items where +replay_id = $1 and result = $2 \
        and successor_id is not null and result in (3, 4, 5, 7) limit $3";
    const SET_RESULT = "update replay_items set result = $3, reason = $4, result_at = $5 where replay_id = $1 and result = $6 \
        and position in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const MOVE_COUNT = "update replays set \
        sent = sent + case when $2 = 3 then $4 else 0 end - case when $3 = 3 then $4 else 0 end, \
        consumed = consumed + case when $2 = 4 then $4 else 0 end - case when $3 = 4 then $4 else 0 end, \
        resolved = resolved + case when $2 = 5 then $4 else 0 end - case when $3 = 5 then $4 else 0 end, \
        failed_again = failed_again + case when $2 = 6 then $4 else 0 end - case when $3 = 6 then $4 else 0 end, \
        unknown = unknown + case when $2 = 7 then $4 else 0 end - case when $3 = 7 then $4 else 0 end \
        where id = $1";
    const PASSED = "select position, dead_letter_id from replay_items where replay_id = $1 and +result = $2 and route = $3 \
        and sent_partition = $4 and sent_offset >= $5 and sent_offset < $6 and result in (3, 7) and sent_offset is not null \
        order by sent_offset limit 2000";
    const SETTLED = "select position, dead_letter_id from replay_items where replay_id = $1 and position > $6 and route = $2 and +result = $3 \
        and result_at <= $4 and successor_id is null and (cast($5 as text) is null or reason like $5) order by position limit 1000";
    const OLDEST_CONSUMED = "select min(result_at) from replay_items where replay_id = $1 and route = $2 and result = 4";
    const NEWEST_RESULT = "select max(result_at) from replay_items where replay_id = $1 and result in (3, 4, 5, 6, 7)";
    const UNCONSUMED = "select count(*) from replay_items i join replay_routes r on r.replay_id = i.replay_id and r.route = i.route \
        where i.replay_id = $1 and i.result = 3 and r.consumer_group is not null";
    const OVER = "select position, dead_letter_id from replay_items where replay_id = $1 and position in \
        (select position from replay_items where replay_id = $1 and result = $2 order by position limit 1000) order by position";
    const ENDED_WATCHES = "select id from replays where watch_until <= $1 order by id limit 20";
    const END_WATCH = "update replays set watch_until = null where id = $1";
    const CURSOR = "select c.last_id, coalesce((select max(id) from dead_letters), 0) from outcome_cursor c where c.id = 1";
    const MOVE_CURSOR = "update outcome_cursor set last_id = $1 where id = 1 and last_id < $1";
    const BY_PLACE = "select d.id, f.origin_topic, f.consumer_group, f.inferred, ro.target, ro.consumer_group, i.replay_id, i.position \
        from dead_letters d join facets f on f.id = d.facet_id \
        join replay_items i on i.sent_offset = d.origin_offset and i.sent_partition = d.origin_partition \
        join replays r on r.id = i.replay_id and r.bus_id = f.bus_id \
        join replay_routes ro on ro.replay_id = i.replay_id and ro.route = i.route \
        where d.id > $1 and d.id <= $2 and d.origin_offset is not null and i.successor_id is null and d.id > r.upper_id \
        and d.indexed_at >= i.sent_at - 5000";
    const WATCHING = "select count(*) from replays where (state in (2, 3) or watch_until > $1) and sent_total > 0";
    const PLACES = "select cast(value as integer) from json_each(cast($3 as text)) where exists (select 1 from replay_items i \
        where i.replay_id = $1 and i.route = $2 and i.sent_partition = cast(value as integer) and i.result in (3, 7) \
        and i.sent_offset is not null)";
    const TOPICS_OF_FAILURES = "select distinct f.topic from facets f join buses b on b.id = f.bus_id where b.bus = $1 \
        and (f.consumer_group = $2 or f.origin_topic = $3 or f.origin_topic is null)";
    const SUMS = "select result, count(*) from replay_items where replay_id = $1 group by result";
    const SIDE_EFFECTS = "select r.dead_letter_id, f.consumer_group from returns r join dead_letters d on d.id = r.dead_letter_id \
        join facets f on f.id = d.facet_id where r.replay_id = $1 and r.seen and not exists \
        (select 1 from replay_items i where i.message_id = r.message_id and i.successor_id = r.dead_letter_id) order by r.dead_letter_id desc limit $2";
}

/// Dead letter, message id, attempt, replay, its group, whether that was inferred.
type ReturnRow = (i64, Vec<u8>, i32, Option<String>, Option<Vec<u8>>, bool);

/// Dead letter, its origin topic, its group, whether that was inferred, target, the group that failed before, replay, position.
type PlaceRow = (i64, Option<Vec<u8>>, Option<Vec<u8>>, bool, Option<String>, Option<Vec<u8>>, i64, i64);

/// Items moved in one transaction.
const STEP: i64 = 1_000;
/// Dead letters compared with what was sent, in one look.
const COMPARED: i64 = 5_000;

/// A dead letter that another group made of a replayed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideEffect {
    /// Which.
    pub dead_letter_id: DeadLetterId,
    /// The group that failed.
    pub consumer_group: Option<GroupName>,
}

/// Which items of a partition a group has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The replay.
    pub number: i64,
    /// The route.
    pub route: i32,
    /// Target partition.
    pub partition: i32,
    /// From this offset on.
    pub from: i64,
    /// Below this offset.
    pub below: i64,
}

impl Store {
    /// Whether any replay's outcomes are watched.
    pub async fn any_watched_replay(&self, now: Timestamp) -> Result<bool, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(WATCHING).bind(now.as_millis()).fetch_one(pool).await?)?;
        Ok(count > 0)
    }

    /// Links dead letters that came back, by the message id in their headers, with the items that were sent. Answers how many were
    /// looked at.
    pub async fn link_returns(&self) -> Result<u64, StoreError> {
        let rows: Vec<ReturnRow> = read!(self, |pool| sqlx::query_as(UNSEEN).bind(STEP).fetch_all(pool).await?)?;
        let looked = rows.len() as u64;
        if looked > 0 {
            write_on!(self, link(&rows));
        }
        Ok(looked)
    }

    /// Links new dead letters whose origin is where an item was sent: works when the group that failed copies no headers. `behind` ids
    /// below the newest are looked at again next time, where instances commit out of order.
    pub async fn link_by_place(&self, behind: i64) -> Result<u64, StoreError> {
        let (last, newest): (i64, i64) = read!(self, |pool| sqlx::query_as(CURSOR).fetch_one(pool).await?)?;
        let (mut from, mut linked) = (last, 0);
        while from < newest {
            let to = newest.min(from.saturating_add(COMPARED));
            let rows: Vec<PlaceRow> = read!(self, |pool| sqlx::query_as(BY_PLACE).bind(from).bind(to).fetch_all(pool).await?)?;
            let matching: Vec<(i64, i64, i64)> = rows
                .into_iter()
                .filter(|(_, origin, group, inferred, target, failed, ..)| {
                    let same_place = origin.as_deref() == target.as_deref().map(str::as_bytes);
                    same_place && (*inferred || group.is_none() || failed.is_none() || group == failed)
                })
                .map(|(id, .., number, position)| (number, position, id))
                .collect();
            if !matching.is_empty() {
                linked += write_on!(self, succeed(&matching));
            }
            from = to;
        }
        let settled = newest.saturating_sub(behind).max(last);
        if settled > last {
            touched!(self, sqlx::query(MOVE_CURSOR).bind(settled));
        }
        Ok(linked)
    }

    /// Moves items that came back to `failed_again`, their dead letters too. Answers how many.
    pub async fn record_failed_again(&self, number: i64, now: Timestamp) -> Result<u64, StoreError> {
        let mut moved = 0;
        for result in [ItemResult::Sent, ItemResult::Consumed, ItemResult::Resolved, ItemResult::Unknown] {
            loop {
                let items: Vec<(i64, i64)> =
                    read!(self, |pool| sqlx::query_as(RETURNED).bind(number).bind(result.code()).bind(STEP).fetch_all(pool).await?)?;
                if items.is_empty() {
                    break;
                }
                moved += write_on!(self, change(number, &items, result, ItemResult::FailedAgain, None, now));
            }
        }
        Ok(moved)
    }

    /// Moves items that the group has passed to `result`.
    pub async fn record_passed(
        &self,
        passed: Passed,
        from: ItemResult,
        to: ItemResult,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut moved = 0;
        loop {
            let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(PASSED)
                .bind(passed.number)
                .bind(from.code())
                .bind(passed.route)
                .bind(passed.partition)
                .bind(passed.from)
                .bind(passed.below)
                .fetch_all(pool)
                .await?)?;
            if rows.is_empty() {
                return Ok(moved);
            }
            let number = passed.number;
            let changed = write_on!(self, change(number, &rows, from, to, reason, now));
            moved += changed;
            if changed == 0 {
                return Ok(moved);
            }
        }
    }

    /// Moves items of a route that stand at `from` since before `since` (with a reason like this, where given) to `to`.
    pub async fn record_settled(
        &self,
        number: i64,
        route: i32,
        (from, like): (ItemResult, Option<&str>),
        (to, reason): (ItemResult, Option<&str>),
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (mut moved, mut after) = (0, 0);
        loop {
            let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(SETTLED)
                .bind(number)
                .bind(route)
                .bind(from.code())
                .bind(since.as_millis())
                .bind(like)
                .bind(after)
                .fetch_all(pool)
                .await?)?;
            let Some((last, _)) = rows.last() else { return Ok(moved) };
            after = *last;
            moved += write_on!(self, change(number, &rows, from, to, reason, now));
        }
    }

    /// Since when the oldest consumed item of a route is consumed.
    pub async fn oldest_consumed(&self, number: i64, route: i32) -> Result<Option<Timestamp>, StoreError> {
        let (at,): (Option<i64>,) = read!(self, |pool| sqlx::query_as(OLDEST_CONSUMED).bind(number).bind(route).fetch_one(pool).await?)?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// When the newest result of a replay's sent items came.
    pub async fn newest_result(&self, number: i64) -> Result<Option<Timestamp>, StoreError> {
        let (at,): (Option<i64>,) = read!(self, |pool| sqlx::query_as(NEWEST_RESULT).bind(number).fetch_one(pool).await?)?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Sent items of a replay that their consumer group has not passed yet; those of which no group is known are left out.
    pub async fn count_unconsumed(&self, number: i64) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(UNCONSUMED).bind(number).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// Partitions of a route's target with items that may still be passed.
    pub async fn list_partitions_under_way(&self, number: i64, route: &Route) -> Result<Vec<i32>, StoreError> {
        let partitions = id_list(&(0..i64::from(route.target_partitions)).collect::<Vec<_>>());
        let rows: Vec<(i32,)> =
            read!(self, |pool| sqlx::query_as(PLACES).bind(number).bind(route.route).bind(&partitions).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(partition,)| partition).collect())
    }

    /// Numbers of replays whose watch is over.
    pub async fn list_ended_watches(&self, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(ENDED_WATCHES).bind(now.as_millis()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(number,)| number).collect())
    }

    /// Ends the watch: whatever is not decided by now is unknown.
    pub async fn end_watch(&self, number: i64, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        for result in [ItemResult::Sent, ItemResult::Consumed] {
            loop {
                let items: Vec<(i64, i64)> =
                    read!(self, |pool| sqlx::query_as(OVER).bind(number).bind(result.code()).fetch_all(pool).await?)?;
                if items.is_empty() {
                    break;
                }
                write_on!(self, change(number, &items, result, ItemResult::Unknown, Some(reason), now));
            }
        }
        touched!(self, sqlx::query(END_WATCH).bind(number));
        Ok(())
    }

    /// Dead-letter topics that have ever held a failure of this group or origin topic, or whose letters tell no origin.
    pub async fn list_topics_of_failures(&self, bus: &BusId, group: &GroupName, origin: &TopicName) -> Result<Vec<TopicName>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(TOPICS_OF_FAILURES)
            .bind(bus.as_str())
            .bind(group.as_str().as_bytes())
            .bind(origin.as_str().as_bytes())
            .fetch_all(pool)
            .await?)?;
        Ok(rows.into_iter().map(|(topic,)| TopicName::new(topic)).collect())
    }

    /// Dead letters that other groups made of what a replay has sent, newest first.
    pub async fn list_side_effects(&self, replay: &str, limit: u32) -> Result<Vec<SideEffect>, StoreError> {
        let rows: Vec<(i64, Option<Vec<u8>>)> =
            read!(self, |pool| sqlx::query_as(SIDE_EFFECTS).bind(replay).bind(i64::from(limit)).fetch_all(pool).await?)?;
        let effect = |(id, group)| SideEffect { dead_letter_id: DeadLetterId(id), consumer_group: name(group).map(GroupName::new) };
        Ok(rows.into_iter().map(effect).collect())
    }

    /// Items by result, counted; what the counters must say. For tests.
    #[doc(hidden)]
    pub async fn count_items(&self, number: i64) -> Result<BTreeMap<i16, i64>, StoreError> {
        let rows: Vec<(i16, i64)> = read!(self, |pool| sqlx::query_as(SUMS).bind(number).fetch_all(pool).await?)?;
        Ok(rows.into_iter().collect())
    }
}

/// Whether a dead letter that came back is the affair of the group that failed before.
fn same_group(returned: Option<&[u8]>, inferred: bool, failed: Option<&[u8]>) -> bool {
    match (returned, failed) {
        (Some(returned), Some(failed)) if !inferred => returned == failed,
        _ => true,
    }
}

engines! {
    pub(in crate::store) async fn link(tx: &mut Connection, rows: &[ReturnRow]) -> Result<(), StoreError> {
        for (id, message_id, attempt, replay, group, inferred) in rows {
            let found: Option<(i64, i64, i64, Option<Vec<u8>>)> =
                sqlx::query_as(BY_MESSAGE).bind(message_id.as_slice()).bind(attempt).bind(replay.as_deref()).fetch_optional(&mut *tx).await?;
            if let Some((number, position, original, failed)) = found
                && original != *id
                && same_group(group.as_deref(), *inferred, failed.as_deref())
            {
                sqlx::query(SET_SUCCESSOR).bind(number).bind(position).bind(id).execute(&mut *tx).await?;
            }
            sqlx::query(SEEN).bind(id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn succeed(tx: &mut Connection, rows: &[(i64, i64, i64)]) -> Result<u64, StoreError> {
        let mut linked = 0;
        for (number, position, id) in rows {
            linked += sqlx::query(SET_SUCCESSOR).bind(number).bind(position).bind(id).execute(&mut *tx).await?.rows_affected();
        }
        Ok(linked)
    }

    /// Moves items from one result to another, with the counters and the status of their dead letters.
    pub(in crate::store) async fn change(tx: &mut Connection, number: i64, items: &[(i64, i64)], from: ItemResult, to: ItemResult, reason: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let positions: Vec<i64> = items.iter().map(|(position, _)| *position).collect();
        let query = sqlx::query(SET_RESULT).bind(number).bind(id_list(&positions)).bind(to.code()).bind(reason.map(clean)).bind(now.as_millis());
        let moved = query.bind(from.code()).execute(&mut *tx).await?.rows_affected();
        let count = i64::try_from(moved).unwrap_or(i64::MAX);
        sqlx::query(MOVE_COUNT).bind(number).bind(i32::from(to.code())).bind(i32::from(from.code())).bind(count).execute(&mut *tx).await?;
        let letters: Vec<i64> = items.iter().map(|(_, id)| *id).collect();
        match to {
            ItemResult::Resolved => drop(tx.change_status(&letters, Status::Replayed, Status::Resolved, now).await?),
            ItemResult::FailedAgain => {
                for status in [Status::Replayed, Status::Resolved] {
                    tx.change_status(&letters, status, Status::FailedAgain, now).await?;
                }
            }
            _ => {}
        }
        Ok(moved)
    }
}
