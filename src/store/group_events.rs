//! What happened to consumer groups.

use super::error::contradiction;
use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::group_event::{GroupEvent, GroupEventKind};
use crate::model::{BusId, GroupName, Timestamp, TopicName};

statements! {
    const ADD = "insert into group_events (bus_id, at, kind, consumer_group, topic, detail) \
        select b.id, cast($2 as bigint), cast($3 as smallint), $4, cast($5 as text), cast($6 as text) from buses b where b.bus = $1";
    const LIST_OF = "select e.at, e.kind, e.consumer_group, e.topic, e.detail from group_events e join buses b on b.id = e.bus_id \
        where b.bus = $1 and e.consumer_group = $2 and e.at >= $3 and e.at < $4 order by e.at desc, e.id desc limit $5";
    const LIST = "select e.at, e.kind, e.consumer_group, e.topic, e.detail from group_events e join buses b on b.id = e.bus_id \
        where b.bus = $1 and e.at >= $2 and e.at < $3 order by e.at desc, e.id desc limit $4";
    const PRUNE = "delete from group_events where id in (select id from group_events where at < $1 order by at limit $2)";
}

type Row = (i64, i16, Vec<u8>, Option<String>, String);

impl Store {
    /// Adds events of a bus's groups.
    pub async fn add_group_events(&self, bus: &BusId, events: &[GroupEvent]) -> Result<(), StoreError> {
        let bus = clean(bus.as_str());
        in_transaction!(self, |tx| {
            for event in events {
                sqlx::query(ADD)
                    .bind(&bus)
                    .bind(event.at.as_millis())
                    .bind(i32::from(event.kind.code()))
                    .bind(event.group.as_str().as_bytes())
                    .bind(event.topic.as_ref().map(|topic| clean(topic.as_str())))
                    .bind(clean(&event.detail))
                    .execute(&mut *tx)
                    .await?;
            }
        });
        Ok(())
    }

    /// Events from `from` to before `to`, the newest first; of one group when asked.
    pub async fn list_group_events(
        &self,
        bus: &BusId,
        group: Option<&GroupName>,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<GroupEvent>, StoreError> {
        let (bus, from, to, limit) = (clean(bus.as_str()), from.as_millis(), to.as_millis(), i64::from(limit));
        let rows: Vec<Row> = match group {
            Some(group) => {
                let group = group.as_str().as_bytes();
                read!(self, |pool| sqlx::query_as(LIST_OF).bind(&bus).bind(group).bind(from).bind(to).bind(limit).fetch_all(pool).await?)?
            }
            None => read!(self, |pool| sqlx::query_as(LIST).bind(&bus).bind(from).bind(to).bind(limit).fetch_all(pool).await?)?,
        };
        rows.into_iter().map(into_event).collect()
    }

    /// Removes at most `limit` events from before `before`.
    pub async fn prune_group_events(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }
}

fn into_event((at, kind, group, topic, detail): Row) -> Result<GroupEvent, StoreError> {
    Ok(GroupEvent {
        at: Timestamp::from_millis(at),
        kind: GroupEventKind::from_code(kind).ok_or_else(|| contradiction(format!("kind {kind} of a group's event")))?,
        group: GroupName::new(text(group)),
        topic: topic.map(TopicName::new),
        detail,
    })
}
