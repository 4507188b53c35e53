-- A bucket of keys is named by its first chunk from now on. Keys of chunks that are gone need no name.
delete from span_keys where chunk_id < (select coalesce(min(id), 0) from span_chunks);
update span_keys set bucket = bucket * 256;
