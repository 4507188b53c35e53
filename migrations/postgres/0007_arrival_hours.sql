-- Arrivals by the hour. The SQLite file of the same name differs in how it joins texts and in `without rowid`.

-- Dead letters per facet and hour of `failed_at`, without backlog. `minutes` tells them by the minute (`7:12,8:3` = twelve in the
-- eighth minute, three in the ninth) until retention forgets that; then `by_minute` is false.
create table arrival_hours (
    facet_id bigint not null,
    hour bigint not null,
    letters bigint not null,
    by_minute boolean not null,
    minutes text not null,
    primary key (facet_id, hour)
);
insert into arrival_hours (facet_id, hour, letters, by_minute, minutes)
    select facet_id, minute / 60, cast(sum(letters) as bigint), true, string_agg((minute % 60) || ':' || letters, ',')
    from arrivals group by facet_id, minute / 60;
create index arrival_hours_by_hour on arrival_hours (hour);
create index arrival_hours_with_minutes on arrival_hours (hour) where by_minute;
drop table arrivals;
