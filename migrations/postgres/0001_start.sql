-- The first schema. The SQLite file of the same name differs in column types only, and needs neither the
-- functions nor the sequence at the end.
-- Times are milliseconds since the Unix epoch. Whatever headers claim is bytes. Numbers of words (status, role, ...) are those of
-- `code()` in src/model.

create table installation (
    id integer primary key check (id = 1),
    installation_id text not null,
    checked_at bigint not null
);
insert into installation (id, installation_id, checked_at) values (1, substr(replace(cast(gen_random_uuid() as text), '-', ''), 1, 16), 0);

create table buses (
    id bigint generated always as identity primary key,
    bus text not null unique,
    kind smallint not null,
    configured boolean not null,
    cluster_id text,
    first_read_at bigint,
    sampled_at bigint,
    error text,
    failing_since bigint,
    brokers integer not null,
    capabilities text not null
);

-- One life of a topic of this name.
create table topic_generations (
    id bigint generated always as identity primary key,
    bus_id bigint not null references buses (id),
    topic text not null,
    topic_id text,
    role smallint not null,
    internal boolean not null,
    first_seen_at bigint not null,
    gone_at bigint,
    compacted boolean not null,
    config text not null,
    replication_factor integer not null
);
create unique index topic_generations_living on topic_generations (bus_id, topic) where gone_at is null;
create index topic_generations_by_topic on topic_generations (bus_id, topic, id);

-- `next` is null until the partition is indexed. `had_records` says that it was there before we first read the bus, or before its
-- topic became a dead-letter topic: what it holds then is backlog.
create table partitions (
    id bigint generated always as identity primary key,
    generation_id bigint not null references topic_generations (id),
    number integer not null,
    leader integer,
    log_start bigint,
    end_offset bigint,
    last_stable bigint,
    sampled_at bigint,
    had_records boolean not null,
    next bigint,
    backlog_below bigint not null,
    purged_below bigint,
    unique (generation_id, number)
);

create table gaps (
    id bigint generated always as identity primary key,
    partition_id bigint not null references partitions (id),
    from_offset bigint not null,
    to_offset bigint not null,
    noticed_at bigint not null
);
create index gaps_by_partition on gaps (partition_id, id);

create table failure_groups (
    id bigint generated always as identity primary key,
    bus_id bigint not null references buses (id),
    version smallint not null,
    hash bigint not null,
    title bytea not null,
    parts text not null,
    exception_class bytea,
    message bytea,
    first_seen bigint not null,
    last_seen bigint not null,
    unique (bus_id, version, hash)
);

-- A distinct combination of everything that lists are filtered by, with how many dead letters have it. `key` is a hash of the
-- combination, because unique constraints treat nulls as different.
create table facets (
    id bigint generated always as identity primary key,
    key bytea not null unique,
    bus_id bigint not null references buses (id),
    generation_id bigint not null references topic_generations (id),
    topic text not null,
    convention text not null,
    origin_topic bytea,
    consumer_group bytea,
    inferred boolean not null,
    exception_class bytea,
    failure_group_id bigint not null references failure_groups (id),
    first_seen bigint not null,
    last_seen bigint not null,
    open bigint not null,
    replaying bigint not null,
    replayed bigint not null,
    resolved bigint not null,
    failed_again bigint not null,
    discarded bigint not null
);
create index facets_by_failure_group on facets (failure_group_id);

-- Dead letters per minute of `failed_at`, without backlog.
create table arrivals (
    facet_id bigint not null,
    minute bigint not null,
    letters bigint not null,
    primary key (facet_id, minute)
);
create index arrivals_by_minute on arrivals (minute);

create table dead_letters (
    id bigint primary key,
    facet_id bigint not null,
    status smallint not null,
    failed_at bigint not null,
    partition_id bigint not null,
    record_offset bigint not null,
    origin_partition integer,
    origin_offset bigint,
    origin_timestamp bigint,
    record_timestamp bigint,
    timestamp_kind smallint,
    indexed_at bigint not null,
    status_at bigint,
    failed_at_source smallint not null,
    backlog boolean not null,
    attempts integer,
    trace_id bytea,
    message bytea,
    key_prefix bytea,
    key_size bigint not null,
    value_size bigint,
    custody_problem text
);
create unique index dead_letters_by_position on dead_letters (partition_id, record_offset);
create index dead_letters_by_facet on dead_letters (facet_id, status, failed_at, id);
create index dead_letters_by_status on dead_letters (status, failed_at, id, facet_id);
create index dead_letters_by_origin on dead_letters (origin_offset, origin_partition) where origin_offset is not null;
create index dead_letters_by_status_at on dead_letters (status_at) where status_at is not null;
create index dead_letters_without_custody on dead_letters (id) where custody_problem is not null;

-- Key, value and headers, compressed; `stack_trace_id` names the frames that were cut out because others have the same.
create table custody (
    dead_letter_id bigint primary key,
    stack_trace_id bigint,
    body bytea not null
);

create table stack_traces (
    id bigint generated always as identity primary key,
    hash bytea not null unique,
    uses bigint not null,
    body bytea not null
);

-- Which four-byte sequences occur in the dead letters of a range of ids: lets a search pass by most of them.
create table search_blocks (
    id bigint generated always as identity primary key,
    first_id bigint not null,
    last_id bigint not null,
    letters bigint not null,
    oldest bigint not null,
    newest bigint not null,
    signature bytea not null
);
create index search_blocks_by_newest on search_blocks (newest, id);
create index search_blocks_by_first on search_blocks (first_id, last_id);
create index search_blocks_small on search_blocks (first_id) where letters < 32;

create table consumer_groups (
    id bigint generated always as identity primary key,
    bus_id bigint not null references buses (id),
    name bytea not null,
    kind text not null,
    state text not null,
    members text,
    sampled_at bigint not null,
    gone_at bigint,
    unique (bus_id, name)
);

create table group_offsets (
    group_id bigint not null references consumer_groups (id) on delete cascade,
    topic text not null,
    number integer not null,
    committed bigint not null,
    primary key (group_id, topic, number)
);
create index group_offsets_by_topic on group_offsets (topic, group_id);

create table users (
    id bigint generated always as identity primary key,
    username text not null,
    username_key text not null unique,
    password_hash text not null,
    role smallint not null,
    created_at bigint not null,
    last_login_at bigint,
    disabled_at bigint
);

create table sessions (
    secret_hash bytea primary key,
    user_id bigint not null references users (id) on delete cascade,
    created_at bigint not null,
    last_seen_at bigint not null
);
create index sessions_by_user on sessions (user_id);

create table tokens (
    id bigint generated always as identity primary key,
    name text not null,
    secret_hash bytea not null unique,
    role smallint not null,
    created_at bigint not null,
    created_by text not null,
    expires_at bigint,
    last_used_at bigint,
    revoked_at bigint
);
create unique index tokens_living on tokens (name) where revoked_at is null;

create table audit (
    id bigint generated always as identity primary key,
    occurred_at bigint not null,
    actor text not null,
    address text,
    action text not null,
    target text not null,
    things bigint,
    result text not null
);
create index audit_by_time on audit (occurred_at, id);
create index audit_by_actor on audit (actor, occurred_at, id);
create index audit_by_action on audit (action, occurred_at, id);

create table instances (
    client_id text primary key,
    seen_at bigint not null,
    ended_at bigint
);

create table leases (
    name text primary key,
    holder text not null,
    epoch bigint not null,
    ends_at bigint not null
);

create table revisions (
    noun text primary key,
    revision bigint not null
);

-- What SQLite has built in, so that statements are the same on both.
create function hex(bytes bytea) returns text language sql immutable parallel safe as $$ select upper(encode(bytes, 'hex')) $$;
create function json_each(list text, out value text) returns setof text language sql immutable rows 20
    as $$ select v from json_array_elements_text(cast(list as json)) as v $$;
create sequence dead_letter_ids;
