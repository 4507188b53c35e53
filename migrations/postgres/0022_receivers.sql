-- Receivers of notifications, the outbox, and its log. The SQLite file of the same name differs in column types only.

-- Which key seals secrets: its fingerprint, never the key.
create table sealing_key (
    id integer primary key check (id = 1),
    key_id text not null
);
create table receivers (
    id bigint generated always as identity primary key,
    name text not null unique,
    kind smallint not null,
    host text not null,
    sealed bytea not null,
    failing_since bigint,
    gone_at bigint,
    delivered_at bigint,
    created_by text not null,
    created_at bigint not null,
    changed_at bigint not null
);
-- `number` orders, `id` is the `webhook-id`. `subject` is what must stay in order (an alert, or a group); `told` is the state of a single
-- alert that was told, so that it is not told again. `epoch` counts claims: whoever writes with an older one comes too late.
create table deliveries (
    number bigint generated always as identity primary key,
    id text not null unique,
    receiver_id bigint not null,
    receiver_name text not null,
    kind smallint not null,
    subject text not null,
    told text,
    reason text not null,
    status text not null,
    title text not null,
    alerts integer not null,
    notification text not null,
    state smallint not null,
    created_at bigint not null,
    next_at bigint not null,
    give_up_at bigint not null,
    attempts integer not null,
    epoch bigint not null,
    lease_until bigint,
    uncertain boolean not null,
    ended_at bigint,
    last_at bigint,
    last_status integer,
    last_error text
);
create index deliveries_open on deliveries (receiver_id, subject, number) where ended_at is null;
create index deliveries_by_receiver on deliveries (receiver_id, number);
create index deliveries_by_state on deliveries (state, number);
create index deliveries_by_subject on deliveries (receiver_id, subject, number);
create index deliveries_ended on deliveries (ended_at) where ended_at is not null;
create table delivery_attempts (
    id bigint generated always as identity primary key,
    delivery bigint not null,
    attempt integer not null,
    started_at bigint not null,
    took_ms bigint not null,
    status integer,
    answer text,
    error text,
    next_at bigint
);
create index delivery_attempts_by_delivery on delivery_attempts (delivery, id);
-- What an Alertmanager is pushed again and again: alerts that fire, and for five minutes those that have ended.
create table pushed_alerts (
    receiver_id bigint not null,
    fingerprint text not null,
    alert text not null,
    ended_at bigint,
    primary key (receiver_id, fingerprint)
);
