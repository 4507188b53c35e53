-- Who has a mail already that others of its addresses have not: a JSON list of addresses, while there are such.
alter table deliveries add column had_by text;
