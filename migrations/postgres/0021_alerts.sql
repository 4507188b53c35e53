-- Alert rules, alerts, groups of notifications, silences. The SQLite file of the same name differs in column types only.

create table alert_rules (
    id bigint generated always as identity primary key,
    name text not null,
    enabled boolean not null,
    terms text not null,
    created_by text not null,
    created_at bigint not null,
    changed_at bigint not null
);
-- A row says that the rules everybody starts with were added: that is done once, whatever becomes of them.
create table alert_rules_added (
    id smallint primary key,
    added_at bigint not null
);

-- From pending to resolved. `standing` is what the next look goes on from; what lists ask for stands beside it.
create table alerts (
    id bigint generated always as identity primary key,
    rule_id bigint not null,
    fingerprint text not null,
    state smallint not null,
    severity smallint not null,
    bus text not null,
    topic text not null,
    consumer_group text not null,
    labels text not null,
    standing text not null,
    details text not null,
    started_at bigint,
    resolved_at bigint,
    silenced_by bigint,
    inhibited_by bigint,
    acknowledged_by text,
    acknowledged_at bigint,
    acknowledged_note text,
    acknowledged_until bigint,
    first_acknowledged_at bigint
);
create unique index alerts_living on alerts (fingerprint) where state <> 4;
create index alerts_by_fingerprint on alerts (fingerprint, id);
create index alerts_by_start on alerts (started_at) where started_at is not null;
create index alerts_ended on alerts (resolved_at) where resolved_at is not null;

-- What is told together: since when something waits to be told, when it was last told, and of which alerts receivers know.
create table alert_groups (
    key text primary key,
    labels text not null,
    receivers text not null,
    waiting_since bigint,
    notified_at bigint,
    told text not null
);

create table silences (
    id bigint generated always as identity primary key,
    matchers text not null,
    comment text not null,
    starts_at bigint not null,
    ends_at bigint not null,
    created_by text not null,
    created_at bigint not null
);
create index silences_by_end on silences (ends_at);
