-- The first page names backlog apart from arrivals: how much of it failed in a stretch of time.
create index dead_letters_backlog on dead_letters (failed_at, facet_id) where backlog;
