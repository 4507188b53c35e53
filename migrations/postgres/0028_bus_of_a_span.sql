-- Two buses may have a topic of the same name. What a span of a kept trace tells of its bus stays with it, and the addresses by which
-- clients name a bus's brokers are known to whoever has to tell them apart.
alter table noted_spans add column cluster_id text not null default '';
alter table noted_spans add column broker text not null default '';
alter table buses add column addresses text not null default '[]';
