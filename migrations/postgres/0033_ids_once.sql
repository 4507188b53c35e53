-- What is named outside by its id gets an id that nothing before it had: identity columns do that by themselves. The SQLite file of the
-- same name has to make such tables anew; the rest is the same.

-- Who has a mail already that others of its addresses have not: a JSON list of addresses, while there are such.
alter table deliveries add column had_by text;
