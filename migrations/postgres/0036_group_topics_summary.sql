-- SQLite has an index here. PostgreSQL reads whole rows of such a length at once, and an index of what changes with every sweep would
-- cost it more than it saves.
select 1;
