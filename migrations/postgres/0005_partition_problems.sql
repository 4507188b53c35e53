-- Why partitions cannot be used at present, since when: one row for a partition and kind of problem. The SQLite file of the same
-- name is the same.
create table partition_problems (
    partition_id bigint not null references partitions (id) on delete cascade,
    kind smallint not null,
    reason text not null,
    since bigint not null,
    primary key (partition_id, kind)
);
