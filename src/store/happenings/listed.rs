//! Everything that happened on a bus as one list, the newest first, page by page: six tables by the key of each.

use super::{AlertRow, EventRow, alert, contradiction};
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening, HappeningKind};
use crate::model::purge::PurgeState;
use crate::model::replay::ReplayState;
use crate::model::{BusId, Cursor, GroupName, Page, PageRequest, Timestamp, TopicName};
use crate::store::failure_group_events::{FailureGroupEvent, FailureGroupNews};
use crate::store::indexing::id_list;
use crate::store::rows::{clean, fingerprint, text};
use crate::store::{Store, StoreError};

/// Bound: bus, from, the key before which the page begins (time, id), topic, whether any group will do, group, limit.
macro_rules! replays {
    ($at:literal) => {
        concat!(
            "select r.id, r.", $at, ", r.replay_id, r.name, r.state, r.sent_total from replays r join buses b on b.id = r.bus_id \
             where b.bus = $1 and r.started_at is not null and r.", $at, " >= $2 \
             and (r.", $at, " < $3 or (r.", $at, " = $3 and r.id < $4)) \
             and (cast($5 as text) is null or exists (select 1 from replay_routes o where o.replay_id = r.id and o.target = $5)) \
             and (cast($6 as smallint) = 1 or exists (select 1 from replay_routes o where o.replay_id = r.id and o.consumer_group = $7)) \
             order by r.", $at, " desc, r.id desc limit $8"
        )
    };
}

/// Bound: bus, from, key (time, id), topic, limit.
macro_rules! purges {
    ($at:literal) => {
        concat!(
            "select u.id, u.",
            $at,
            ", u.purge_id, u.topic, u.state from purges u join buses b on b.id = u.bus_id \
             where b.bus = $1 and u.started_at is not null and u.",
            $at,
            " >= $2 \
             and (u.",
            $at,
            " < $3 or (u.",
            $at,
            " = $3 and u.id < $4)) and (cast($5 as text) is null or u.topic = $5) \
             order by u.",
            $at,
            " desc, u.id desc limit $6"
        )
    };
}

statements! {
    const REPLAYS_STARTED = replays!("started_at");
    const REPLAYS_ENDED = replays!("ended_at");
    const PURGES_STARTED = purges!("started_at");
    const PURGES_ENDED = purges!("ended_at");
    const ALERTS_FIRED = "select id, started_at, labels, details from alerts where bus = $1 and started_at >= $2 \
        and (started_at < $3 or (started_at = $3 and id < $4)) and (cast($5 as text) is null or topic = $5) \
        and (cast($6 as text) is null or consumer_group = $6) order by started_at desc, id desc limit $7";
    const GROUP_EVENTS = "select e.id, e.at, e.kind, e.consumer_group, e.topic, e.detail from group_events e join buses b on b.id = e.bus_id \
        where b.bus = $1 and e.at >= $2 and (e.at < $3 or (e.at = $3 and e.id < $4)) \
        and e.kind in (select cast(value as smallint) from json_each(cast($5 as text))) and (cast($6 as text) is null or e.topic = $6) \
        and (cast($7 as smallint) = 1 or e.consumer_group = $8) order by e.at desc, e.id desc limit $9";
    const FAILURE_GROUPS = "select e.id, e.at, e.kind, e.topic, g.version, g.hash, g.title from failure_group_events e \
        join buses b on b.id = e.bus_id join failure_groups g on g.id = e.failure_group_id where b.bus = $1 and e.at >= $2 \
        and (e.at < $3 or (e.at = $3 and e.id < $4)) and e.kind in (select cast(value as smallint) from json_each(cast($5 as text))) \
        and (cast($6 as text) is null or e.topic = $6) order by e.at desc, e.id desc limit $7";
}

/// What a list of happenings is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HappeningFilter {
    /// Any of these; none is any.
    pub kinds: Vec<HappeningKind>,
    /// What was written to this topic or cut from it, and what is about it.
    pub topic: Option<TopicName>,
    /// What is about this consumer group.
    pub consumer_group: Option<GroupName>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Something that drawings mark, or a consumer group's status that changed.
    Happening(Happening),
    /// A failure group that was new, or returned.
    FailureGroup(FailureGroupNews),
}

impl Listed {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Happening(happening) => happening.at,
            Self::FailureGroup(news) => news.at,
        }
    }
}

/// The tables, in the order in which what happened at one moment is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    ReplaysStarted,
    ReplaysEnded,
    PurgesStarted,
    PurgesEnded,
    Alerts,
    Groups,
    FailureGroups,
}

impl Source {
    const ALL: [Self; 7] =
        [Self::ReplaysStarted, Self::ReplaysEnded, Self::PurgesStarted, Self::PurgesEnded, Self::Alerts, Self::Groups, Self::FailureGroups];

    const fn of(kind: HappeningKind) -> Self {
        match kind {
            HappeningKind::ReplayStarted => Self::ReplaysStarted,
            HappeningKind::ReplayEnded => Self::ReplaysEnded,
            HappeningKind::PurgeStarted => Self::PurgesStarted,
            HappeningKind::PurgeEnded => Self::PurgesEnded,
            HappeningKind::AlertFired => Self::Alerts,
            HappeningKind::Rebalanced | HappeningKind::OffsetsSet | HappeningKind::OffsetsBack | HappeningKind::StatusChanged => {
                Self::Groups
            }
            HappeningKind::FailureGroupNew | HappeningKind::FailureGroupReturned => Self::FailureGroups,
        }
    }
}

/// A cursor's id holds the table above the row's id: no table will have so many rows.
const ID_BITS: u32 = 56;

/// Where a row stands in the list: time, table, id.
type Key = (i64, i64, i64);

/// What all tables are asked.
struct Asked<'a> {
    bus: String,
    from: i64,
    topic: Option<String>,
    group: Option<&'a str>,
    limit: i64,
    filter: &'a HappeningFilter,
    cursor: Option<&'a Cursor>,
}

impl Asked<'_> {
    /// The key below which a table's rows belong to the page.
    fn below(&self, source: Source) -> (i64, i64) {
        let to = self.filter.to.map_or(i64::MAX, Timestamp::as_millis);
        let Some(cursor) = self.cursor.filter(|cursor| cursor.key < to) else { return (to, i64::MIN) };
        let id = match (source as i64).cmp(&(cursor.id >> ID_BITS)) {
            std::cmp::Ordering::Less => i64::MIN,
            std::cmp::Ordering::Equal => cursor.id & ((1 << ID_BITS) - 1),
            std::cmp::Ordering::Greater => i64::MAX,
        };
        (cursor.key, id)
    }

    fn wants(&self, kind: HappeningKind) -> bool {
        self.filter.kinds.is_empty() || self.filter.kinds.contains(&kind)
    }

    fn wants_any(&self, source: Source) -> bool {
        HappeningKind::ALL.iter().any(|kind| Source::of(*kind) == source && self.wants(*kind))
    }

    /// Purges and failure groups belong to no consumer group.
    const fn has_group(&self) -> bool {
        self.group.is_some()
    }
}

/// Id, time, kind, consumer group, topic and detail.
type GroupEventRow = (i64, i64, i16, Vec<u8>, Option<String>, String);

impl Store {
    /// What happened on a bus, the newest first. What happened in the same millisecond is told table by table.
    pub async fn list_happened(&self, bus: &BusId, filter: &HappeningFilter, page: &PageRequest) -> Result<Page<Listed>, StoreError> {
        let asked = Asked {
            bus: clean(bus.as_str()),
            from: filter.from.map_or(i64::MIN, Timestamp::as_millis),
            topic: filter.topic.as_ref().map(|topic| clean(topic.as_str())),
            group: filter.consumer_group.as_ref().map(GroupName::as_str),
            limit: i64::from(page.limit) + 1,
            filter,
            cursor: page.cursor.as_ref(),
        };
        let mut rows: Vec<(Key, Listed)> = Vec::new();
        for source in Source::ALL.into_iter().filter(|source| asked.wants_any(*source)) {
            let found = match source {
                Source::ReplaysStarted | Source::ReplaysEnded => self.replays_among(bus, &asked, source).await?,
                Source::PurgesStarted | Source::PurgesEnded => self.purges_among(bus, &asked, source).await?,
                Source::Alerts => self.alerts_among(bus, &asked).await?,
                Source::Groups => self.group_events_among(bus, &asked).await?,
                Source::FailureGroups => self.failure_groups_among(&asked).await?,
            };
            rows.extend(found.into_iter().map(|(id, listed)| ((listed.at().as_millis(), source as i64, id), listed)));
        }
        rows.sort_by_key(|((at, source, id), _)| (std::cmp::Reverse(*at), *source, std::cmp::Reverse(*id)));
        let more = rows.len() > page.limit as usize;
        rows.truncate(page.limit as usize);
        let cursor = |(at, source, id): &Key| Cursor { key: *at, id: (source << ID_BITS) | id };
        let next_cursor = rows.last().filter(|_| more).map(|(key, _)| cursor(key));
        Ok(Page { items: rows.into_iter().map(|(_, listed)| listed).collect(), next_cursor })
    }

    async fn replays_among(&self, bus: &BusId, asked: &Asked<'_>, source: Source) -> Result<Vec<(i64, Listed)>, StoreError> {
        type Row = (i64, i64, String, String, i16, i64);
        let (at, id) = asked.below(source);
        let has_ended = source == Source::ReplaysEnded;
        let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(if has_ended { REPLAYS_ENDED } else { REPLAYS_STARTED })
            .bind(&asked.bus)
            .bind(asked.from)
            .bind(at)
            .bind(id)
            .bind(&asked.topic)
            .bind(i16::from(!asked.has_group()))
            .bind(asked.group.map(str::as_bytes))
            .bind(asked.limit)
            .fetch_all(pool)
            .await?)?;
        let listed = |(number, at, id, name, state, sent): Row| {
            let state = ReplayState::from_code(state).ok_or_else(|| contradiction(format!("state {state} of a replay")))?;
            let ended = Happened::ReplayEnded { id: id.clone(), name: name.clone(), state, sent: sent.unsigned_abs() };
            Ok((number, on(bus, at, if has_ended { ended } else { Happened::ReplayStarted { id, name } })))
        };
        rows.into_iter().map(listed).collect()
    }

    async fn purges_among(&self, bus: &BusId, asked: &Asked<'_>, source: Source) -> Result<Vec<(i64, Listed)>, StoreError> {
        type Row = (i64, i64, String, String, i16);
        if asked.has_group() {
            return Ok(Vec::new());
        }
        let (at, id) = asked.below(source);
        let has_ended = source == Source::PurgesEnded;
        let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(if has_ended { PURGES_ENDED } else { PURGES_STARTED })
            .bind(&asked.bus)
            .bind(asked.from)
            .bind(at)
            .bind(id)
            .bind(&asked.topic)
            .bind(asked.limit)
            .fetch_all(pool)
            .await?)?;
        let listed = |(number, at, id, topic, state): Row| {
            let state = PurgeState::from_code(state).ok_or_else(|| contradiction(format!("state {state} of a purge")))?;
            let topic = TopicName::new(topic);
            let ended = Happened::PurgeEnded { id: id.clone(), topic: topic.clone(), state };
            Ok((number, on(bus, at, if has_ended { ended } else { Happened::PurgeStarted { id, topic } })))
        };
        rows.into_iter().map(listed).collect()
    }

    async fn alerts_among(&self, bus: &BusId, asked: &Asked<'_>) -> Result<Vec<(i64, Listed)>, StoreError> {
        let (at, id) = asked.below(Source::Alerts);
        let rows: Vec<AlertRow> = read!(self, |pool| sqlx::query_as(ALERTS_FIRED)
            .bind(&asked.bus)
            .bind(asked.from)
            .bind(at)
            .bind(id)
            .bind(&asked.topic)
            .bind(asked.group.map(clean))
            .bind(asked.limit)
            .fetch_all(pool)
            .await?)?;
        rows.into_iter().map(|row| Ok((row.0, Listed::Happening(alert(bus, row)?)))).collect()
    }

    async fn group_events_among(&self, bus: &BusId, asked: &Asked<'_>) -> Result<Vec<(i64, Listed)>, StoreError> {
        let (at, id) = asked.below(Source::Groups);
        let kinds = [
            (HappeningKind::Rebalanced, GroupEventKind::Rebalanced),
            (HappeningKind::OffsetsSet, GroupEventKind::OffsetsSet),
            (HappeningKind::OffsetsBack, GroupEventKind::OffsetsBack),
            (HappeningKind::StatusChanged, GroupEventKind::StatusChanged),
        ];
        let kinds: Vec<i64> = kinds.iter().filter(|(kind, _)| asked.wants(*kind)).map(|(_, kind)| i64::from(kind.code())).collect();
        let rows: Vec<GroupEventRow> = read!(self, |pool| sqlx::query_as(GROUP_EVENTS)
            .bind(&asked.bus)
            .bind(asked.from)
            .bind(at)
            .bind(id)
            .bind(id_list(&kinds))
            .bind(&asked.topic)
            .bind(i16::from(!asked.has_group()))
            .bind(asked.group.map(str::as_bytes))
            .bind(asked.limit)
            .fetch_all(pool)
            .await?)?;
        let listed = |(id, at, code, group, topic, detail)| {
            let kind = GroupEventKind::from_code(code).ok_or_else(|| contradiction(format!("kind {code} of a group's event")))?;
            let row: EventRow = (at, code, group, topic, detail);
            Ok((id, Listed::Happening(super::event(bus, kind, row))))
        };
        rows.into_iter().map(listed).collect()
    }

    async fn failure_groups_among(&self, asked: &Asked<'_>) -> Result<Vec<(i64, Listed)>, StoreError> {
        type Row = (i64, i64, i16, String, i16, i64, Vec<u8>);
        if asked.has_group() {
            return Ok(Vec::new());
        }
        let (at, id) = asked.below(Source::FailureGroups);
        let kinds =
            [(HappeningKind::FailureGroupNew, FailureGroupEvent::New), (HappeningKind::FailureGroupReturned, FailureGroupEvent::Returned)];
        let kinds: Vec<i64> = kinds.iter().filter(|(kind, _)| asked.wants(*kind)).map(|(_, event)| i64::from(event.code())).collect();
        let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(FAILURE_GROUPS)
            .bind(&asked.bus)
            .bind(asked.from)
            .bind(at)
            .bind(id)
            .bind(id_list(&kinds))
            .bind(&asked.topic)
            .bind(asked.limit)
            .fetch_all(pool)
            .await?)?;
        let listed = |(id, at, kind, topic, version, hash, title): Row| {
            let event = if kind == FailureGroupEvent::New.code() { FailureGroupEvent::New } else { FailureGroupEvent::Returned };
            let fingerprint = fingerprint(version, hash)?;
            let (at, topic, title) = (Timestamp::from_millis(at), TopicName::new(topic), text(title));
            Ok((id, Listed::FailureGroup(FailureGroupNews { at, event, topic, fingerprint, title })))
        };
        rows.into_iter().map(listed).collect()
    }
}

fn on(bus: &BusId, at: i64, what: Happened) -> Listed {
    Listed::Happening(Happening { at: Timestamp::from_millis(at), bus: bus.clone(), what })
}
