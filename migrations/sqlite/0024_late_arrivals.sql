-- What is still to be read of a partition, and is no backlog, came to the topic after this moment: there reading had reached the end.
alter table partitions add column caught_up_at bigint;

-- From now on dead letters count in the minute in which they arrived, not in that in which they had failed. Minutes that were over when
-- dead letters of them were indexed, as nobody read meanwhile: kept for two days.
create table late_arrivals (
    facet_id bigint not null,
    minute bigint not null,
    indexed_at bigint not null,
    primary key (facet_id, minute)
) without rowid;
create index late_arrivals_by_time on late_arrivals (indexed_at);
