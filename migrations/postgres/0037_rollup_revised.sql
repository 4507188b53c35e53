-- The last roll-up (its version) of an hour that was rolled up before: what was read of rolled up hours stays true until the next such.
alter table figure_rollup add column revised bigint not null default 0;
