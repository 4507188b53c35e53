-- Failure groups never seen before, and those that were resolved and arrive again; when replays ran. The file of the same name for the
-- other engine differs in types of ids.

-- `at` is when it was noticed; `topic` is the dead-letter topic on which it arrived. Backlog is no arrival.
create table failure_group_events (
    id bigint generated always as identity primary key,
    at bigint not null,
    kind smallint not null,
    bus_id bigint not null references buses (id),
    topic text not null,
    failure_group_id bigint not null
);
create index failure_group_events_by_kind on failure_group_events (kind, at);
create index failure_group_events_by_time on failure_group_events (at);
create index replays_by_start on replays (bus_id, started_at) where started_at is not null;
