-- Since when a consumer group has had something left to read, whether it gets closer or not.
alter table consumer_groups add column behind_since bigint;
-- When the row was last written, whether the group could be read then or not; `sampled_at` is when it was last read.
alter table consumer_groups add column recorded_at bigint not null default 0;
