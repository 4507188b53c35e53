-- Offsets of a topic with transactions are not all records: lag counted in offsets is "at most" there, also after a restart.
alter table topic_generations add column transactional boolean not null default false;
-- Consumer groups beyond those that are watched, as of the newest full look.
alter table buses add column untracked_groups bigint not null default 0;
