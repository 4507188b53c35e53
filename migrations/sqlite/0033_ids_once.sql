-- What is named outside by its id (in addresses of pages and of the API, in rules, in the audit, in what receivers were told) gets an id
-- that nothing before it had, also when the row with the last one was removed. PostgreSQL gives each id once by itself; the rest of the
-- file of the same name there is the same.
create table receivers_anew (
    id integer primary key autoincrement,
    name text not null unique,
    kind smallint not null,
    host text not null,
    sealed blob not null,
    failing_since bigint,
    gone_at bigint,
    delivered_at bigint,
    created_by text not null,
    created_at bigint not null,
    changed_at bigint not null
);
insert into receivers_anew (id, name, kind, host, sealed, failing_since, gone_at, delivered_at, created_by, created_at, changed_at)
    select id, name, kind, host, sealed, failing_since, gone_at, delivered_at, created_by, created_at, changed_at from receivers;
drop table receivers;
alter table receivers_anew rename to receivers;

create table alert_rules_anew (
    id integer primary key autoincrement,
    name text not null,
    enabled boolean not null,
    terms text not null,
    created_by text not null,
    created_at bigint not null,
    changed_at bigint not null
);
insert into alert_rules_anew (id, name, enabled, terms, created_by, created_at, changed_at)
    select id, name, enabled, terms, created_by, created_at, changed_at from alert_rules;
drop table alert_rules;
alter table alert_rules_anew rename to alert_rules;

create table alerts_anew (
    id integer primary key autoincrement,
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
insert into alerts_anew (id, rule_id, fingerprint, state, severity, bus, topic, consumer_group, labels, standing, details, started_at,
        resolved_at, silenced_by, inhibited_by, acknowledged_by, acknowledged_at, acknowledged_note, acknowledged_until, first_acknowledged_at)
    select id, rule_id, fingerprint, state, severity, bus, topic, consumer_group, labels, standing, details, started_at,
        resolved_at, silenced_by, inhibited_by, acknowledged_by, acknowledged_at, acknowledged_note, acknowledged_until, first_acknowledged_at
    from alerts;
drop table alerts;
alter table alerts_anew rename to alerts;
create unique index alerts_living on alerts (fingerprint) where state <> 4;
create index alerts_by_fingerprint on alerts (fingerprint, id);
create index alerts_by_start on alerts (started_at) where started_at is not null;
create index alerts_ended on alerts (resolved_at) where resolved_at is not null;
create index alerts_by_rule on alerts (rule_id, id);

create table silences_anew (
    id integer primary key autoincrement,
    matchers text not null,
    comment text not null,
    starts_at bigint not null,
    ends_at bigint not null,
    created_by text not null,
    created_at bigint not null
);
insert into silences_anew (id, matchers, comment, starts_at, ends_at, created_by, created_at)
    select id, matchers, comment, starts_at, ends_at, created_by, created_at from silences;
drop table silences;
alter table silences_anew rename to silences;
create index silences_by_end on silences (ends_at);

create table replay_policies_anew (
    id integer primary key autoincrement,
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
insert into replay_policies_anew (id, name, enabled, terms, watch_from, opened, open_until, gave_up_at, state_text, counted_from, judged,
        created_by, created_at, changed_at)
    select id, name, enabled, terms, watch_from, opened, open_until, gave_up_at, state_text, counted_from, judged,
        created_by, created_at, changed_at from replay_policies;
drop table replay_policies;
alter table replay_policies_anew rename to replay_policies;

-- Sessions end with their user, also with one whose table is dropped: they stand aside meanwhile.
create temporary table sessions_aside as select secret_hash, user_id, created_at, last_seen_at from sessions;
create table users_anew (
    id integer primary key autoincrement,
    username text not null,
    username_key text not null unique,
    password_hash text not null,
    role smallint not null,
    created_at bigint not null,
    last_login_at bigint,
    disabled_at bigint
);
insert into users_anew (id, username, username_key, password_hash, role, created_at, last_login_at, disabled_at)
    select id, username, username_key, password_hash, role, created_at, last_login_at, disabled_at from users;
drop table users;
alter table users_anew rename to users;
insert into sessions (secret_hash, user_id, created_at, last_seen_at)
    select secret_hash, user_id, created_at, last_seen_at from sessions_aside;
drop table sessions_aside;

-- Ids that are gone and still named somewhere are not given either.
delete from sqlite_sequence where name in ('receivers', 'alert_rules', 'alerts', 'silences', 'replay_policies', 'users');
insert into sqlite_sequence (name, seq)
    select 'receivers', max(coalesce((select max(id) from receivers), 0), coalesce((select max(receiver_id) from deliveries), 0),
        coalesce((select max(cast(r.value as integer)) from alert_rules a,
            json_each(case when json_valid(a.terms) then a.terms else '{}' end, '$.receivers') r), 0))
    union all select 'alert_rules', max(coalesce((select max(id) from alert_rules), 0), coalesce((select max(rule_id) from alerts), 0))
    union all select 'alerts', max(coalesce((select max(id) from alerts), 0), coalesce((select max(inhibited_by) from alerts), 0))
    union all select 'silences', max(coalesce((select max(id) from silences), 0), coalesce((select max(silenced_by) from alerts), 0))
    union all select 'replay_policies',
        max(coalesce((select max(id) from replay_policies), 0), coalesce((select max(policy_id) from replays), 0))
    union all select 'users', coalesce((select max(id) from users), 0);

-- Who has a mail already that others of its addresses have not: a JSON list of addresses, while there are such.
alter table deliveries add column had_by text;

-- Alerts that began before this are known to PagerDuty and to Alertmanagers without the id of this installation, and stay so to their end.
alter table installation add column marked_since bigint not null default 0;
-- Also of those that are over the end may not have been told yet.
update installation set marked_since = coalesce((select max(started_at) + 1 from alerts), 0);
