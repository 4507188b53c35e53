-- What consumer groups are doing. The file of the same name for the other engine differs in types of ids and bytes, and in `without rowid`.

alter table consumer_groups add column status smallint not null default 2;
alter table consumer_groups add column status_since bigint;
alter table consumer_groups add column evidence text not null default 'not looked at yet';
alter table consumer_groups add column parked boolean not null default false;
alter table consumer_groups add column first_seen_at bigint not null default 0;
update consumer_groups set first_seen_at = sampled_at;

-- A group on a topic, as of one moment: sums, and its partitions as JSON. The next sweep fills it.
drop table group_offsets;
create table group_topics (
    group_id bigint not null references consumer_groups (id) on delete cascade,
    topic text not null,
    committed integer not null,
    raw_lag bigint,
    lag bigint,
    deleted bigint not null,
    not_records bigint not null,
    lag_ms bigint,
    lag_ms_min bigint,
    lag_ms_max bigint,
    status smallint not null,
    partitions text not null,
    primary key (group_id, topic)
) without rowid;
create index group_topics_by_topic on group_topics (topic, group_id);

-- What happened to consumer groups: rebalances, offsets set by hand or back, statuses that changed.
create table group_events (
    id integer primary key,
    bus_id bigint not null references buses (id),
    at bigint not null,
    kind smallint not null,
    consumer_group blob not null,
    topic text,
    detail text not null
);
create index group_events_by_group on group_events (bus_id, consumer_group, at);
create index group_events_by_time on group_events (at);

-- Ends of a bus's partitions over two days, for lag in time after a restart.
create table figure_snapshots (
    source text not null,
    taken_at bigint not null,
    state blob not null,
    primary key (source, taken_at)
) without rowid;
