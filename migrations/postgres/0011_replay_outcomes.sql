-- Looks at what became of sent items pass by all others of a large job. The SQLite file of the same name is the same.

-- Items that a group may still pass, by where they lie.
create index replay_items_under_way on replay_items (replay_id, route, sent_partition, sent_offset)
    where result in (3, 7) and sent_offset is not null;
-- Items that came back and were not told so yet: few at any time.
create index replay_items_returned on replay_items (result) where successor_id is not null and result in (3, 4, 5, 7);
