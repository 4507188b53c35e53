-- How far topics with spans have been read; a partition gets its row when it is read for the first time. The file of the same name for
-- the other engine is the same.
create table otlp_positions (
    partition_id bigint primary key references partitions (id) on delete cascade,
    next bigint not null
);
