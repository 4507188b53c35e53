-- Automatic replay policies. The SQLite file of the same name differs in column types only.

-- `judged` is the newest run (`replays.id`) of which it was decided whether it went well; `counted_from` bounds the runs whose results count.
create table replay_policies (
    id bigint generated always as identity primary key,
    name text not null,
    enabled boolean not null,
    terms text not null,
    watch_from bigint not null,
    opened integer not null,
    open_until bigint,
    gave_up_at bigint,
    state_text text,
    counted_from bigint not null,
    judged bigint not null,
    created_by text not null,
    created_at bigint not null,
    changed_at bigint not null
);
create index replays_by_policy on replays (policy_id, id) where policy_id is not null;
