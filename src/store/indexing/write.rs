//! The transaction of indexing: positions, gaps, counters, rows, custody and signatures, or nothing.

use std::collections::{BTreeMap, HashMap};

use super::encode::{EncodedBatch, FacetDraft, GroupDraft};
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::arrivals::{by_hour, read_minutes, write_minutes};
use crate::store::caches::{Caches, GroupKey, Key};
use crate::store::dialect::bulk::{Block, Bulk, Row};
use crate::store::failure_group_events::{self, FailureGroupEvent};
use crate::store::figures::late;
use crate::store::indexing::id_list;

statements! {
    const ADVANCE = "update partitions set next = $1 where id = $2 and next = $3";
    const ADD_GAP = "insert into gaps (partition_id, from_offset, to_offset, noticed_at) values ($1, $2, $3, $4)";
    const ADD_GROUP = "insert into failure_groups (bus_id, version, hash, title, parts, exception_class, message, first_seen, last_seen) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (bus_id, version, hash) do nothing";
    const FIND_GROUP = "select id from failure_groups where bus_id = $1 and version = $2 and hash = $3";
    const UPDATE_GROUP = "update failure_groups set \
        first_seen = case when $2 < first_seen then $2 else first_seen end, \
        message = case when $3 >= last_seen then $4 else message end, \
        last_seen = case when $3 > last_seen then $3 else last_seen end where id = $1";
    const ADD_FACET = "insert into facets (key, bus_id, generation_id, topic, convention, origin_topic, consumer_group, inferred, \
        exception_class, failure_group_id, first_seen, last_seen, open, replaying, replayed, resolved, failed_again, discarded, bytes) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, 0, 0, 0, 0, 0) on conflict (key) do nothing";
    const FIND_FACET = "select id from facets where key = $1";
    const UPDATE_FACET = "update facets set open = open + $2, bytes = bytes + $5, \
        first_seen = case when $3 < first_seen then $3 else first_seen end, \
        last_seen = case when $4 > last_seen then $4 else last_seen end where id = $1";
    const FIND_HOURS = "select hour, minutes from arrival_hours where facet_id = $1 and by_minute \
        and hour in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const ADD_HOUR = "insert into arrival_hours (facet_id, hour, letters, by_minute, minutes) values ($1, $2, $3, true, $4) \
        on conflict (facet_id, hour) do update set letters = arrival_hours.letters + excluded.letters, \
        minutes = case when arrival_hours.by_minute then excluded.minutes else arrival_hours.minutes end";
    const ADD_FRAMES = "insert into stack_traces (hash, uses, body) values ($1, 0, $2) on conflict (hash) do nothing";
    const FIND_FRAMES = "select id from stack_traces where hash = $1";
    const ADD_RETURN = "insert into returns (dead_letter_id, message_id, attempt, replay_id, seen) values ($1, $2, $3, $4, false) \
        on conflict (dead_letter_id) do nothing";
    const USE_FRAMES = "update stack_traces set uses = uses + $2 where id = $1";
}

/// A partition's topic: our id of the bus, of the generation, and its name.
pub(in crate::store) type Ground = (i64, i64, String);

/// How one try ended.
pub(in crate::store) enum Attempt {
    /// Committed, with ids that may be remembered now.
    Written(Ids),
    /// These partitions were moved on by somebody else; rolled back.
    Superseded(Vec<i64>),
    /// A remembered id stands for a row that retention has removed; rolled back, to be tried again without memory.
    Stale,
}

/// Ids of rows that a batch refers to.
#[derive(Default)]
pub(in crate::store) struct Ids {
    pub(in crate::store) groups: HashMap<GroupKey, i64>,
    pub(in crate::store) facets: HashMap<Key, i64>,
    pub(in crate::store) frames: HashMap<Key, i64>,
    /// Failure groups that this batch has made.
    new_groups: Vec<i64>,
}

/// The sums of all parts of a batch.
struct Sums<'a> {
    groups: BTreeMap<GroupKey, GroupSum<'a>>,
    facets: BTreeMap<Key, FacetSum<'a>>,
    frames: BTreeMap<Key, (&'a [u8], i64)>,
}

struct GroupSum<'a> {
    draft: &'a GroupDraft,
    message: Option<&'a [u8]>,
    first: i64,
    last: i64,
}

struct FacetSum<'a> {
    draft: &'a FacetDraft,
    ground: &'a Ground,
    letters: i64,
    bytes: i64,
    first: i64,
    last: i64,
    arrivals: BTreeMap<i64, i64>,
}

impl<'a> Sums<'a> {
    fn of(batch: &'a EncodedBatch, grounds: &'a HashMap<i64, Ground>) -> Result<Self, StoreError> {
        let mut sums = Self { groups: BTreeMap::new(), facets: BTreeMap::new(), frames: BTreeMap::new() };
        for part in &batch.parts {
            for (key, draft) in &part.frames {
                sums.frames.entry(*key).or_insert((&draft.body, 0)).1 += draft.uses;
            }
            for draft in &part.facets {
                let ground = grounds
                    .get(&draft.partition_id)
                    .ok_or_else(|| StoreError::Broken(format!("partition {} is not in the store", draft.partition_id)))?;
                let group =
                    part.groups.get(&draft.group).ok_or_else(|| StoreError::Broken("a failure group was not drafted".to_owned()))?;
                sums.add_group((ground.0, draft.group.0, draft.group.1), group);
                sums.add_facet(draft, ground);
            }
        }
        Ok(sums)
    }

    fn add_group(&mut self, key: GroupKey, draft: &'a GroupDraft) {
        let message = draft.message.as_deref();
        let sum = self.groups.entry(key).or_insert(GroupSum { draft, message, first: draft.first, last: draft.last });
        sum.first = sum.first.min(draft.first);
        if draft.last > sum.last {
            (sum.last, sum.message) = (draft.last, message);
        }
    }

    fn add_facet(&mut self, draft: &'a FacetDraft, ground: &'a Ground) {
        let sum = self.facets.entry(draft.key).or_insert_with(|| FacetSum {
            draft,
            ground,
            letters: 0,
            bytes: 0,
            first: draft.first,
            last: draft.last,
            arrivals: BTreeMap::new(),
        });
        sum.letters += draft.letters;
        sum.bytes += draft.bytes;
        sum.first = sum.first.min(draft.first);
        sum.last = sum.last.max(draft.last);
        draft.arrivals.iter().for_each(|(minute, letters)| *sum.arrivals.entry(*minute).or_default() += letters);
    }
}

engines! {
    /// Writes a batch inside `tx`, without committing.
    pub(in crate::store) async fn write(
        tx: &mut Connection,
        batch: &mut EncodedBatch,
        grounds: &HashMap<i64, Ground>,
        caches: &Caches,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let superseded = advance(tx, batch, now).await?;
        if !superseded.is_empty() {
            return Ok(Attempt::Superseded(superseded));
        }
        let sums = Sums::of(batch, grounds)?;
        let mut ids = Ids::default();
        for (key, sum) in &sums.groups {
            let (id, new) = group_id(tx, key, sum, caches).await?;
            ids.groups.insert(*key, id);
            ids.new_groups.extend(new.then_some(id));
        }
        for (key, sum) in &sums.facets {
            let group = ids.groups[&(sum.ground.0, sum.draft.group.0, sum.draft.group.1)];
            ids.facets.insert(*key, facet_id(tx, key, sum, group, caches).await?);
        }
        for (key, (body, _)) in &sums.frames {
            ids.frames.insert(*key, frames_id(tx, key, body, caches).await?);
        }
        if !count(tx, &sums, &ids, now).await? {
            return Ok(Attempt::Stale);
        }
        rows(tx, batch, &ids, now).await?;
        Ok(Attempt::Written(ids))
    }

    /// Moves the positions on; answers the partitions that stand elsewhere.
    async fn advance(tx: &mut Connection, batch: &EncodedBatch, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        let mut superseded = Vec::new();
        for advance in &batch.advances {
            let query = sqlx::query(ADVANCE).bind(advance.next).bind(advance.partition_id).bind(advance.expected);
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                superseded.push(advance.partition_id);
            }
            if let Some((from, to)) = advance.gap {
                sqlx::query(ADD_GAP).bind(advance.partition_id).bind(from).bind(to).bind(now.as_millis()).execute(&mut *tx).await?;
            }
        }
        Ok(superseded)
    }

    /// The group's id, and whether it was made just now.
    async fn group_id(tx: &mut Connection, key: &GroupKey, sum: &GroupSum<'_>, caches: &Caches) -> Result<(i64, bool), StoreError> {
        if let Some(id) = caches.groups.get(key) {
            return Ok((id, false));
        }
        let added = sqlx::query(ADD_GROUP)
            .bind(key.0).bind(key.1).bind(key.2)
            .bind(sum.draft.title.as_bytes())
            .bind(serde_json::to_string(&sum.draft.parts).expect("a list of strings is JSON"))
            .bind(sum.draft.class.as_deref().map(str::as_bytes))
            .bind(sum.message)
            .bind(sum.first).bind(sum.last)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let (id,): (i64,) = sqlx::query_as(FIND_GROUP).bind(key.0).bind(key.1).bind(key.2).fetch_one(&mut *tx).await?;
        Ok((id, added == 1))
    }

    async fn facet_id(tx: &mut Connection, key: &Key, sum: &FacetSum<'_>, group: i64, caches: &Caches) -> Result<i64, StoreError> {
        if let Some(id) = caches.facets.get(key) {
            return Ok(id);
        }
        let draft = sum.draft;
        sqlx::query(ADD_FACET)
            .bind(key.as_slice())
            .bind(sum.ground.0).bind(sum.ground.1).bind(sum.ground.2.as_str())
            .bind(draft.convention.as_str())
            .bind(draft.origin_topic.as_deref().map(str::as_bytes))
            .bind(draft.consumer_group.as_deref().map(str::as_bytes))
            .bind(draft.inferred)
            .bind(draft.class.as_deref().map(str::as_bytes))
            .bind(group)
            .bind(sum.first).bind(sum.last)
            .execute(&mut *tx)
            .await?;
        let (id,): (i64,) = sqlx::query_as(FIND_FACET).bind(key.as_slice()).fetch_one(&mut *tx).await?;
        Ok(id)
    }

    async fn frames_id(tx: &mut Connection, key: &Key, body: &[u8], caches: &Caches) -> Result<i64, StoreError> {
        if let Some(id) = caches.stack_traces.get(key) {
            return Ok(id);
        }
        sqlx::query(ADD_FRAMES).bind(key.as_slice()).bind(body).execute(&mut *tx).await?;
        let (id,): (i64,) = sqlx::query_as(FIND_FRAMES).bind(key.as_slice()).fetch_one(&mut *tx).await?;
        Ok(id)
    }

    /// Adds to every counter, in the order of ids so that instances do not wait for each other in a circle. `false`: a row was gone.
    async fn count(tx: &mut Connection, sums: &Sums<'_>, ids: &Ids, now: Timestamp) -> Result<bool, StoreError> {
        let mut complete = true;
        for (id, sum) in in_order(&sums.groups, &ids.groups) {
            let query = sqlx::query(UPDATE_GROUP).bind(id).bind(sum.first).bind(sum.last).bind(sum.message);
            complete &= query.execute(&mut *tx).await?.rows_affected() == 1;
        }
        // The groups' rows are ours now, and their facets still count what was there before.
        notice(tx, sums, ids, now).await?;
        for (id, sum) in in_order(&sums.facets, &ids.facets) {
            let query = sqlx::query(UPDATE_FACET).bind(id).bind(sum.letters).bind(sum.first).bind(sum.last).bind(sum.bytes);
            complete &= query.execute(&mut *tx).await?.rows_affected() == 1;
            add_arrivals(tx, id, &sum.arrivals, now).await?;
        }
        for (id, (_, uses)) in in_order(&sums.frames, &ids.frames) {
            complete &= sqlx::query(USE_FRAMES).bind(id).bind(uses).execute(&mut *tx).await?.rows_affected() == 1;
        }
        Ok(complete)
    }

    /// Writes down which failure groups are new, and which had been resolved.
    async fn notice(tx: &mut Connection, sums: &Sums<'_>, ids: &Ids, now: Timestamp) -> Result<(), StoreError> {
        let arriving = arriving(sums, ids);
        let known: Vec<i64> = arriving.keys().copied().filter(|id| !ids.new_groups.contains(id)).collect();
        let resolved: Vec<(i64,)> = if known.is_empty() {
            Vec::new()
        } else {
            sqlx::query_as(failure_group_events::RESOLVED).bind(id_list(&known)).fetch_all(&mut *tx).await?
        };
        let new = ids.new_groups.iter().map(|id| (*id, FailureGroupEvent::New));
        for (id, event) in new.chain(resolved.into_iter().map(|(id,)| (id, FailureGroupEvent::Returned))) {
            let Some((bus, topic)) = arriving.get(&id) else { continue };
            let query = sqlx::query(failure_group_events::ADD).bind(now.as_millis()).bind(event.code()).bind(bus);
            query.bind(*topic).bind(id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    /// Adds to a facet's hours. The facet's row has just been updated, so no other instance changes them before this transaction ends.
    async fn add_arrivals(tx: &mut Connection, facet: i64, arrivals: &BTreeMap<i64, i64>, now: Timestamp) -> Result<(), StoreError> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let mut hours = by_hour(arrivals);
        let list = id_list(&hours.keys().copied().collect::<Vec<_>>());
        let known: Vec<(i64, String)> = sqlx::query_as(FIND_HOURS).bind(facet).bind(list).fetch_all(&mut *tx).await?;
        let letters: BTreeMap<i64, i64> = hours.iter().map(|(hour, minutes)| (*hour, minutes.values().sum())).collect();
        for (hour, minutes) in known {
            let sums = hours.entry(hour).or_default();
            for (minute, letters) in read_minutes(hour, &minutes)? {
                *sums.entry(minute).or_default() += letters;
            }
        }
        for (hour, minutes) in hours {
            let query = sqlx::query(ADD_HOUR).bind(facet).bind(hour).bind(letters[&hour]).bind(write_minutes(&minutes));
            query.execute(&mut *tx).await?;
        }
        let late: Vec<i64> = arrivals.keys().copied().filter(|minute| late::is_late(*minute, now)).collect();
        if !late.is_empty() {
            sqlx::query(late::ADD).bind(facet).bind(id_list(&late)).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn rows(tx: &mut Connection, batch: &mut EncodedBatch, ids: &Ids, now: Timestamp) -> Result<(), StoreError> {
        let mut next = tx.allocate(batch.letters()).await?.into_iter();
        for part in &mut batch.parts {
            let mut rows = Vec::with_capacity(part.rows.len());
            for draft in std::mem::take(&mut part.rows) {
                rows.push(Row {
                    id: next.next().ok_or_else(|| StoreError::Broken("too few ids".to_owned()))?,
                    facet_id: ids.facets[&part.facets[draft.facet].key],
                    stack_trace_id: draft.frames.map(|key| ids.frames[&key]),
                    draft,
                });
            }
            let blocks: Vec<Block> = part
                .blocks
                .iter_mut()
                .map(|block| {
                    let of = &rows[block.rows.clone()];
                    Block {
                        first_id: of.iter().map(|row| row.id).min().unwrap_or_default(),
                        last_id: of.iter().map(|row| row.id).max().unwrap_or_default(),
                        letters: i64::try_from(of.len()).unwrap_or(i64::MAX),
                        oldest: block.oldest,
                        newest: block.newest,
                        signature: std::mem::take(&mut block.signature),
                    }
                })
                .collect();
            for row in &rows {
                if let Some(returned) = &row.draft.returned {
                    sqlx::query(ADD_RETURN)
                        .bind(row.id)
                        .bind(returned.message_id.as_slice())
                        .bind(returned.attempt)
                        .bind(returned.replay_id.as_deref())
                        .execute(&mut *tx)
                        .await?;
                }
            }
            tx.insert_letters(rows, now.as_millis()).await?;
            tx.insert_blocks(blocks).await?;
        }
        Ok(())
    }
}

/// Sums with the ids of their rows, by id.
fn in_order<'a, K: Ord + Eq + std::hash::Hash, S>(sums: &'a BTreeMap<K, S>, ids: &HashMap<K, i64>) -> Vec<(i64, &'a S)> {
    let mut ordered: Vec<(i64, &S)> = sums.iter().map(|(key, sum)| (ids[key], sum)).collect();
    ordered.sort_unstable_by_key(|(id, _)| *id);
    ordered
}

/// Failure groups of which something arrives (backlog does not), with bus and topic.
fn arriving<'a>(sums: &Sums<'a>, ids: &Ids) -> BTreeMap<i64, (i64, &'a str)> {
    let arriving = sums.facets.values().filter(|sum| !sum.arrivals.is_empty());
    arriving.map(|sum| (ids.groups[&(sum.ground.0, sum.draft.group.0, sum.draft.group.1)], (sum.ground.0, sum.ground.2.as_str()))).collect()
}

/// Marks the moment just before the commit.
pub(super) fn before_commit() {
    failpoint::pass("indexer.before_commit");
}

/// Marks the moment just after the commit.
pub(super) fn after_commit() {
    failpoint::pass("indexer.after_commit");
}
