-- Discards, restores and purges. The PostgreSQL file of the same name differs in column types only.

-- An act on statuses: a discard (kind 0) or a restore (kind 1). While it goes on (state 0: its scope is being frozen, 1: it is being
-- done) each step names the `step` it follows and finds no row when another has done that step. `undoes` names the discard that a
-- restore takes back.
create table discards (
    id integer primary key,
    discard_id text not null unique,
    kind smallint not null,
    actor text not null,
    address text,
    reason text not null,
    selection text not null,
    target text not null,
    undoes bigint,
    upper_id bigint not null,
    state smallint not null,
    step bigint not null,
    cursor_key bigint,
    cursor_id bigint,
    total bigint not null,
    changed bigint not null,
    skipped bigint not null,
    created_at bigint not null,
    touched_at bigint not null,
    ended_at bigint,
    undone_at bigint,
    undone_by text
);
create index discards_at_work on discards (id) where state < 2;
create index discards_by_end on discards (ended_at) where ended_at is not null;

-- The dead letters of an act: result 0 waits, 1 changed, 2 skipped. `restored_by` names the restore that took a discard back.
create table discard_items (
    discard_id bigint not null,
    dead_letter_id bigint not null,
    result smallint not null,
    changed_at bigint,
    restored_by bigint,
    primary key (discard_id, dead_letter_id)
) without rowid;
create index discard_items_by_dead_letter on discard_items (dead_letter_id, discard_id);
create index discard_items_waiting on discard_items (discard_id, dead_letter_id) where result = 0;

create table purges (
    id integer primary key,
    purge_id text not null unique,
    bus_id bigint not null references buses (id),
    generation_id bigint not null references topic_generations (id),
    topic text not null,
    topic_id text,
    scope text not null,
    state smallint not null,
    state_reason smallint,
    state_text text,
    cancel_asked_by text,
    planned_by text not null,
    planned_from text,
    started_by text,
    started_from text,
    checks text not null,
    checked_at bigint not null,
    created_at bigint not null,
    started_at bigint,
    ended_at bigint
);
create index purges_by_state on purges (state, id);

-- One cut per partition: the first offset that stays. Result 0 waits, 1 done, 2 failed.
create table purge_partitions (
    purge_id bigint not null references purges (id) on delete cascade,
    number integer not null,
    partition_id bigint not null,
    log_start bigint not null,
    cut bigint not null,
    end_offset bigint not null,
    letters bigint not null,
    open bigint not null,
    replaying bigint not null,
    without_custody bigint not null,
    losses text not null,
    result smallint not null,
    error text,
    done_at bigint,
    primary key (purge_id, number)
) without rowid;
