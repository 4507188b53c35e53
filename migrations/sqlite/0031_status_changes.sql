-- Dead letters that went from one status to another, per bus, by the minute (unit 0, number = minutes since the epoch) and by the hour
-- (unit 1). The PostgreSQL file of the same name differs in how it tells the time and in `without rowid`.
create table status_changes (
    unit smallint not null,
    number bigint not null,
    bus_id bigint not null references buses (id),
    from_status smallint not null,
    to_status smallint not null,
    letters bigint not null,
    primary key (unit, number, bus_id, from_status, to_status)
) without rowid;

-- Since when they are counted: always, where no dead letter had changed before.
create table status_changes_since (
    id smallint primary key,
    at bigint not null
);
insert into status_changes_since (id, at)
    select 1, case when exists (select 1 from dead_letters where status > 0)
        then cast(strftime('%s', 'now') as integer) * 1000 else 0 end;

-- Sums of a range by facet read the index alone.
create index arrival_hours_by_hour_and_facet on arrival_hours (hour, facet_id, letters);
drop index arrival_hours_by_hour;
