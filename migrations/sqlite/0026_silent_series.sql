-- When a series was first seen to have nothing left, neither minutes nor hours: a while later it goes.
alter table series add column silent_since bigint;
create index series_silent on series (silent_since) where silent_since is not null;
