//! What happened on a bus that a drawing should mark: replays, purges, alerts, offsets that were set, rebalances.

use super::error::contradiction;
use super::indexing::text_list;
use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::alert::Details;
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening};
use crate::model::purge::PurgeState;
use crate::model::replay::ReplayState;
use crate::model::{BusId, GroupName, Timestamp, TopicName};

pub mod listed;

statements! {
    const REPLAYS = "select r.replay_id, r.name, r.started_at, r.ended_at, r.state, r.sent_total from replays r \
        join buses b on b.id = r.bus_id where b.bus = $1 and r.started_at is not null and r.started_at < $3 \
        and (r.started_at >= $2 or r.ended_at >= $2) and (cast($4 as text) is null or exists (select 1 from replay_routes ro \
        where ro.replay_id = r.id and (ro.target in (select value from json_each(cast($4 as text))) or ro.consumer_group = $5))) \
        order by r.started_at desc, r.id desc limit $6";
    const PURGES = "select u.purge_id, u.topic, u.started_at, u.ended_at, u.state from purges u join buses b on b.id = u.bus_id \
        where b.bus = $1 and u.started_at is not null and u.started_at < $3 and (u.started_at >= $2 or u.ended_at >= $2) \
        and (cast($4 as text) is null or u.topic in (select value from json_each(cast($4 as text)))) \
        order by u.started_at desc, u.id desc limit $5";
    const EVENTS = "select e.at, e.kind, e.consumer_group, e.topic, e.detail from group_events e join buses b on b.id = e.bus_id \
        where b.bus = $1 and e.at >= $2 and e.at < $3 and e.kind = $4 and (e.consumer_group = $5 or cast($6 as smallint) = 1) \
        and (e.topic = $7 or cast($7 as text) is null) order by e.at desc, e.id desc limit $8";
    const ALERTS = "select id, started_at, labels, details from alerts where started_at >= $1 and started_at < $2 and bus = $3 \
        and (cast($4 as text) is null or (topic = '' and consumer_group = '') or (consumer_group <> '' and consumer_group = $5) \
        or topic in (select value from json_each(cast($4 as text)))) order by started_at desc, id desc limit $6";
}

/// Of each kind, the newest.
const MOST: i64 = 40;

/// What a drawing is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// A whole bus.
    Bus,
    /// A topic: what was written to it or cut from it, and offsets set on it.
    Topic(&'a TopicName),
    /// A consumer group and the topics that it reads.
    Group(&'a GroupName, &'a [&'a str]),
}

type ReplayRow = (String, String, i64, Option<i64>, i16, i64);
type PurgeRow = (String, String, i64, Option<i64>, i16);
type AlertRow = (i64, i64, String, String);
type EventRow = (i64, i16, Vec<u8>, Option<String>, String);

impl Store {
    /// What happened from `from` to before `to`, in the order of time.
    pub async fn list_happenings(
        &self,
        bus: &BusId,
        about: About<'_>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Happening>, StoreError> {
        let name = clean(bus.as_str());
        let topics = match about {
            About::Bus => None,
            About::Topic(topic) => Some(text_list(&[topic.as_str()])),
            About::Group(_, topics) => Some(text_list(topics)),
        };
        let group = if let About::Group(group, _) = about { Some(group.as_str().as_bytes()) } else { None };
        let (from_ms, to_ms) = (from.as_millis(), to.as_millis());
        let replays: Vec<ReplayRow> = read!(self, |pool| sqlx::query_as(REPLAYS)
            .bind(&name)
            .bind(from_ms)
            .bind(to_ms)
            .bind(&topics)
            .bind(group)
            .bind(MOST)
            .fetch_all(pool)
            .await?)?;
        let purges: Vec<PurgeRow> = read!(self, |pool| sqlx::query_as(PURGES)
            .bind(&name)
            .bind(from_ms)
            .bind(to_ms)
            .bind(&topics)
            .bind(MOST)
            .fetch_all(pool)
            .await?)?;
        let mut happenings = self.alerts_of(bus, about, topics.as_deref(), from_ms, to_ms).await?;
        for row in replays {
            happenings.extend(replay(bus, row)?);
        }
        for row in purges {
            happenings.extend(purge(bus, row)?);
        }
        for kind in [GroupEventKind::Rebalanced, GroupEventKind::OffsetsSet, GroupEventKind::OffsetsBack] {
            for row in self.events_of(&name, about, kind, from_ms, to_ms).await? {
                happenings.push(event(bus, kind, row));
            }
        }
        happenings.retain(|happening| happening.at >= from && happening.at < to);
        happenings.sort_by_key(|happening| happening.at);
        Ok(happenings)
    }

    async fn alerts_of(
        &self,
        bus: &BusId,
        about: About<'_>,
        topics: Option<&str>,
        from: i64,
        to: i64,
    ) -> Result<Vec<Happening>, StoreError> {
        let group = if let About::Group(group, _) = about { clean(group.as_str()) } else { String::new() };
        let rows: Vec<AlertRow> = read!(self, |pool| sqlx::query_as(ALERTS)
            .bind(from)
            .bind(to)
            .bind(clean(bus.as_str()))
            .bind(topics)
            .bind(&group)
            .bind(MOST)
            .fetch_all(pool)
            .await?)?;
        rows.into_iter().map(|row| alert(bus, row)).collect()
    }

    async fn events_of(&self, bus: &str, about: About<'_>, kind: GroupEventKind, from: i64, to: i64) -> Result<Vec<EventRow>, StoreError> {
        let group = if let About::Group(group, _) = about { Some(group.as_str().as_bytes()) } else { None };
        let topic = if let About::Topic(topic) = about { Some(clean(topic.as_str())) } else { None };
        read!(self, |pool| sqlx::query_as(EVENTS)
            .bind(bus)
            .bind(from)
            .bind(to)
            .bind(kind.code())
            .bind(group)
            .bind(i16::from(group.is_none()))
            .bind(&topic)
            .bind(MOST)
            .fetch_all(pool)
            .await?)
    }
}

fn replay(bus: &BusId, (id, name, started, ended, state, sent): ReplayRow) -> Result<Vec<Happening>, StoreError> {
    let state = ReplayState::from_code(state).ok_or_else(|| contradiction(format!("state {state} of a replay")))?;
    let of = |at: i64, what| Happening { at: Timestamp::from_millis(at), bus: bus.clone(), what };
    let mut both = vec![of(started, Happened::ReplayStarted { id: id.clone(), name: name.clone() })];
    both.extend(ended.map(|at| of(at, Happened::ReplayEnded { id, name, state, sent: sent.unsigned_abs() })));
    Ok(both)
}

fn purge(bus: &BusId, (id, topic, started, ended, state): PurgeRow) -> Result<Vec<Happening>, StoreError> {
    let state = PurgeState::from_code(state).ok_or_else(|| contradiction(format!("state {state} of a purge")))?;
    let topic = TopicName::new(topic);
    let of = |at: i64, what| Happening { at: Timestamp::from_millis(at), bus: bus.clone(), what };
    let mut both = vec![of(started, Happened::PurgeStarted { id: id.clone(), topic: topic.clone() })];
    both.extend(ended.map(|at| of(at, Happened::PurgeEnded { id, topic, state })));
    Ok(both)
}

fn alert(bus: &BusId, (number, at, labels, details): AlertRow) -> Result<Happening, StoreError> {
    let broken = || contradiction(format!("labels or details of alert {number}"));
    let details: Details = serde_json::from_str(&details).map_err(|_| broken())?;
    let labels = serde_json::from_str(&labels).map_err(|_| broken())?;
    let what = Happened::AlertFired { number, rule: details.rule, labels };
    Ok(Happening { at: Timestamp::from_millis(at), bus: bus.clone(), what })
}

fn event(bus: &BusId, kind: GroupEventKind, (at, _, group, topic, detail): EventRow) -> Happening {
    let what = Happened::ToGroup { kind, group: GroupName::new(text(group)), topic: topic.map(TopicName::new), detail };
    Happening { at: Timestamp::from_millis(at), bus: bus.clone(), what }
}
