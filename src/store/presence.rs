//! Whether the bus still holds a dead letter: derived when it is read, from its partition and topic generation.

use crate::model::Presence;

/// What presence depends on besides the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ground {
    /// Where a purge has cut.
    pub(super) purged_below: Option<i64>,
    /// Whether the topic generation has ended.
    pub(super) gone: bool,
    /// Whether the topic is compacted.
    pub(super) compacted: bool,
    /// First offset the bus holds; `None` = never sampled.
    pub(super) log_start: Option<i64>,
}

/// The one rule of presence; see [`Presence`].
pub(super) const fn presence(offset: i64, ground: &Ground) -> Presence {
    match ground {
        Ground { purged_below: Some(cut), .. } if offset < *cut => Presence::Purged,
        Ground { gone: true, .. } => Presence::TopicDeleted,
        Ground { compacted: true, .. } | Ground { log_start: None, .. } => Presence::Unknown,
        Ground { log_start: Some(start), .. } if offset < *start => Presence::Expired,
        _ => Presence::OnBroker,
    }
}

/// The rule in SQL, over `d` (dead letter), `p` (partition) and `g` (topic generation); the numbers are those of [`Presence::code`].
macro_rules! presence_sql {
    () => {
        "case when p.purged_below is not null and d.record_offset < p.purged_below then 2 when g.gone_at is not null then 3 \
         when g.compacted or p.log_start is null then 4 when d.record_offset < p.log_start then 1 else 0 end"
    };
}
pub(super) use presence_sql;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_told_from_retention_and_a_deleted_topic_from_both() {
        let ground = Ground { purged_below: Some(5), gone: false, compacted: false, log_start: Some(8) };
        assert_eq!(presence(4, &ground), Presence::Purged);
        assert_eq!(presence(5, &ground), Presence::Expired);
        assert_eq!(presence(8, &ground), Presence::OnBroker);
        assert_eq!(presence(8, &Ground { gone: true, ..ground }), Presence::TopicDeleted);
        assert_eq!(presence(8, &Ground { compacted: true, ..ground }), Presence::Unknown);
        assert_eq!(presence(8, &Ground { log_start: None, ..ground }), Presence::Unknown);
    }
}
