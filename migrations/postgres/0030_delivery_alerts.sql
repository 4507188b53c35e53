-- Which alerts a delivery tells of: by fingerprint and by when the alert began, which together name one alert.
create table delivery_alerts (
    fingerprint text not null,
    started_at bigint not null,
    delivery bigint not null,
    primary key (fingerprint, started_at, delivery)
);
create index delivery_alerts_by_delivery on delivery_alerts (delivery);
insert into delivery_alerts (fingerprint, started_at, delivery)
    select distinct a ->> 'fingerprint', cast(round(extract(epoch from cast(a ->> 'started_at' as timestamptz)) * 1000) as bigint), d.number
    from (select number, notification from deliveries where position('\u0000' in notification) = 0) d, jsonb_array_elements(cast(d.notification as jsonb) -> 'alerts') a;
create index alerts_by_rule on alerts (rule_id, id);
create index purges_by_start on purges (bus_id, started_at) where started_at is not null;
