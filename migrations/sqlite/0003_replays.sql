-- Replays. The PostgreSQL file of the same name differs in column types only.

-- `epoch` counts owners: whoever writes as an owner names the epoch and finds no row when another has taken over.
create table replays (
    id integer primary key,
    replay_id text not null unique,
    bus_id bigint not null references buses (id),
    name text not null,
    state smallint not null,
    state_reason smallint,
    state_text text,
    state_at bigint not null,
    request smallint,
    requested_by text,
    undecided smallint,
    planned_by text not null,
    planned_from text,
    started_by text,
    policy_id bigint,
    selection text not null,
    settings text not null,
    delivery smallint not null,
    upper_id bigint not null,
    token text not null,
    epoch bigint not null,
    holder text,
    lease_ends_at bigint not null,
    waiting bigint not null,
    skipped bigint not null,
    failed bigint not null,
    sent bigint not null,
    consumed bigint not null,
    resolved bigint not null,
    failed_again bigint not null,
    unknown bigint not null,
    sent_total bigint not null,
    position bigint not null,
    claimed_to bigint not null,
    attempt text,
    canary_sent_at bigint,
    canary_passed boolean not null,
    checks text not null,
    checked_at bigint,
    created_at bigint not null,
    started_at bigint,
    ended_at bigint,
    watch_until bigint,
    group_deleted boolean not null
);
create index replays_by_state on replays (state, id);
create index replays_by_watch on replays (watch_until) where watch_until is not null;

-- A distinct pair of target topic and failed consumer group within a job.
create table replay_routes (
    replay_id bigint not null references replays (id) on delete cascade,
    route integer not null,
    target text,
    target_topic_id text,
    target_partitions integer not null,
    partition_kept_from bigint,
    consumer_group blob,
    inferred boolean not null,
    settle_ms bigint not null,
    items bigint not null,
    primary key (replay_id, route)
) without rowid;

create table replay_items (
    replay_id bigint not null,
    position bigint not null,
    dead_letter_id bigint not null,
    result smallint not null,
    reason text,
    route integer not null,
    message_id blob not null,
    attempt integer not null,
    key_hash bigint,
    sent_partition integer,
    sent_offset bigint,
    sent_at bigint,
    result_at bigint,
    successor_id bigint,
    primary key (replay_id, position)
) without rowid;
create index replay_items_by_result on replay_items (replay_id, result, position);
create index replay_items_by_dead_letter on replay_items (dead_letter_id);
create index replay_items_by_message on replay_items (message_id);
create index replay_items_by_successor on replay_items (successor_id) where successor_id is not null;
create index replay_items_by_place on replay_items (sent_offset, sent_partition) where sent_offset is not null;

-- Dead letters whose headers say that they are a replayed message come back. `seen` once the replay was told.
create table returns (
    dead_letter_id integer primary key,
    message_id blob not null,
    attempt integer not null,
    replay_id text,
    seen boolean not null
);
create index returns_by_message on returns (message_id);
create index returns_unseen on returns (dead_letter_id) where not seen;

create table replay_events (
    id integer primary key,
    replay_id bigint not null references replays (id) on delete cascade,
    occurred_at bigint not null,
    actor text not null,
    text text not null
);
create index replay_events_by_replay on replay_events (replay_id, id);

-- How far new dead letters were compared with what was sent.
create table outcome_cursor (
    id integer primary key check (id = 1),
    last_id bigint not null
);
insert into outcome_cursor (id, last_id) select 1, coalesce(max(id), 0) from dead_letters;

-- When the topic got more partitions while we looked on: since then keys may live elsewhere.
alter table topic_generations add column partitions_changed_at bigint;
