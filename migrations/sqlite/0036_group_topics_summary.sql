-- What lists tell of groups, without the partitions: those make rows so long that a thousand of them are a thousand pages.
create index group_topics_summary on group_topics
    (group_id, topic, committed, raw_lag, lag, deleted, not_records, lag_ms, lag_ms_min, lag_ms_max, status);
