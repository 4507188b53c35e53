-- Grows with every roll-up: what was read of rolled up hours stays true until the next one.
alter table figure_rollup add column version bigint not null default 0;
