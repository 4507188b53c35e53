-- Which alerts a delivery tells of: by fingerprint and by when the alert began, which together name one alert.
create table delivery_alerts (
    fingerprint text not null,
    started_at bigint not null,
    delivery bigint not null,
    primary key (fingerprint, started_at, delivery)
);
create index delivery_alerts_by_delivery on delivery_alerts (delivery);
insert into delivery_alerts (fingerprint, started_at, delivery)
    select distinct json_extract(a.value, '$.fingerprint'),
        cast(round((julianday(json_extract(a.value, '$.started_at')) - 2440587.5) * 86400000.0) as bigint), d.number
    from deliveries d, json_each(d.notification, '$.alerts') a;
create index alerts_by_rule on alerts (rule_id, id);
create index purges_by_start on purges (bus_id, started_at) where started_at is not null;
