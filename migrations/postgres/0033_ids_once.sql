-- What is named outside by its id gets an id that nothing before it had: identity columns do that by themselves. The SQLite file of the
-- same name has to make such tables anew; the rest is the same.

-- Who has a mail already that others of its addresses have not: a JSON list of addresses, while there are such.
alter table deliveries add column had_by text;

-- Alerts that began before this are known to PagerDuty and to Alertmanagers without the id of this installation, and stay so to their end.
alter table installation add column marked_since bigint not null default 0;
-- Also of those that are over the end may not have been told yet.
update installation set marked_since = coalesce((select max(started_at) + 1 from alerts), 0);
