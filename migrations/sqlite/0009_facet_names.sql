-- Filters by names that anybody may write into headers find their facets by an index. The first hundred bytes are enough: an index of
-- PostgreSQL takes no names of any length. The PostgreSQL file of the same name differs at its end.
create index facets_by_origin on facets (substr(origin_topic, 1, 100));
create index facets_by_consumer_group on facets (substr(consumer_group, 1, 100));
create index facets_by_class on facets (substr(exception_class, 1, 100));

-- Sums over all facets, without the names between them.
create index facets_sums on facets (failure_group_id, bus_id, open, replaying, replayed, resolved, failed_again, discarded,
    first_seen, last_seen);
drop index facets_by_failure_group;
