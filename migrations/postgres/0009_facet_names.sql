-- Filters by names that anybody may write into headers find their facets by an index. The first hundred bytes are enough: an index of
-- PostgreSQL takes no names of any length. The SQLite file of the same name differs at its end.
create index facets_by_origin on facets (substr(origin_topic, 1, 100));
create index facets_by_consumer_group on facets (substr(consumer_group, 1, 100));
create index facets_by_class on facets (substr(exception_class, 1, 100));

-- What SQLite has built in.
create function unhex(digits text) returns bytea language sql immutable parallel safe as $$ select decode(digits, 'hex') $$;

-- The SQLite file has an index for sums over all facets here; PostgreSQL would pay for it with every count that it updates.
