-- How often an hour was rolled up: what was read of rolled up hours stays true until the next time.
alter table figure_rollup add column version bigint not null default 0;
