-- What dead letters hold, so that `store_max_bytes` sees what was removed. The PostgreSQL file of the same name says the same; only
-- PostgreSQL needs the answer, because it does not tell how many of its pages are free.

-- Per facet: the compressed content of its dead letters, and 800 bytes each for rows and indexes.
alter table facets add column bytes bigint not null default 0;
update facets set bytes = coalesce((select sum(800 + length(c.body)) from dead_letters d join custody c on c.dead_letter_id = d.id
    where d.facet_id = facets.id), 0);

-- The most that facets have held together, and the bytes of their tables then.
alter table installation add column most_held_bytes bigint not null default 0;
alter table installation add column bytes_at_most bigint not null default 0;
