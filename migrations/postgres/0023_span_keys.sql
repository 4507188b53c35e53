-- Spans of hot chunks are found by hashed keys, which lie close together for chunks of one time, instead of by wide rows spread over three
-- indexes. Rows of noted_spans and span_links are from now on those of traces that outlived their chunk. What is hot now (two hours, by
-- default) has no keys and goes; traces that are kept already stay.
delete from noted_spans where chunk_id in (select id from span_chunks);
delete from span_links where chunk_id in (select id from span_chunks);
drop table span_traces;
drop table span_chunks;
drop index noted_spans_by_chunk;
drop index span_links_by_chunk;

-- Spans as they came, compressed, some hundred at a time; kept for a short time, whole. What a search must know of a chunk before it is read
-- is said of its noted spans: those that touched a message, failed, or began a trace.
create table span_chunks (
    id bigint primary key,
    received_at bigint not null,
    spans integer not null,
    noted integer not null,
    oldest_start bigint not null,
    newest_start bigint not null,
    longest_us bigint not null,
    failed boolean not null,
    -- Ids of the traces, one after the other.
    traces bytea not null,
    bytes bytea not null
);
create index span_chunks_by_start on span_chunks (newest_start);

-- Which chunks hold spans of a trace, about a record, or linked with a trace: a hash of it. Chunks with ids near each other share a bucket.
create table span_keys (
    bucket bigint not null,
    key bigint not null,
    chunk_id bigint not null,
    primary key (bucket, key, chunk_id)
);
