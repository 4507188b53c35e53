-- Figures over time. The file of the same name for the other engine differs in types of ids and bytes, and in `without rowid`.

-- A figure with its labels; a label that does not apply is ''.
create table series (
    id integer primary key,
    figure smallint not null,
    bus text not null,
    topic text not null,
    consumer_group text not null,
    service text not null,
    operation text not null,
    fingerprint text not null,
    status text not null,
    unique (figure, bus, topic, consumer_group, service, operation, fingerprint, status)
);
create index series_by_group on series (figure, bus, consumer_group);

-- Who writes samples: a bus's sampler, an instance's receivers. Each frame follows the one before, so that none covers time twice;
-- `state` is what the writer needs to go on from there.
create table figure_sources (
    source text primary key,
    taken_at bigint not null,
    state blob
);

-- One look at many series, as it was written. An hour's frames become rows by series, and then are kept for raw figures only.
create table figure_frames (
    id integer primary key,
    source text not null,
    taken_at bigint not null,
    covers_ms bigint not null,
    rolled boolean not null,
    points blob not null
);
create index figure_frames_by_time on figure_frames (taken_at);
create index figure_frames_to_roll on figure_frames (taken_at) where not rolled;

-- The minutes of an hour, and the hours of a day, of one series.
create table figure_minutes (
    series_id bigint not null,
    hour bigint not null,
    buckets blob not null,
    primary key (series_id, hour)
) without rowid;
create index figure_minutes_by_hour on figure_minutes (hour);
create table figure_hours (
    series_id bigint not null,
    day bigint not null,
    buckets blob not null,
    primary key (series_id, day)
) without rowid;
create index figure_hours_by_day on figure_hours (day);

-- Hours before this one stand in minutes and hours.
create table figure_rollup (
    id smallint primary key,
    until_hour bigint not null
);
insert into figure_rollup (id, until_hour) values (1, 0);
