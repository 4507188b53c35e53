-- Spans. The file of the same name for the other engine differs in types of bytes and has `without rowid`.

-- Numbers chunks in the order of their commits, over all instances: whoever has read up to one has read all before it.
create table span_clock (
    id smallint primary key,
    last bigint not null
);
insert into span_clock (id, last) values (1, 0);

-- Spans as they came, compressed, some hundred at a time; kept for a short time, whole.
create table span_chunks (
    id bigint primary key,
    received_at bigint not null,
    spans integer not null,
    bytes bytea not null
);

-- Which chunks hold spans of a trace.
create table span_traces (
    trace_id bytea not null,
    chunk_id bigint not null,
    primary key (trace_id, chunk_id)
);
create index span_traces_by_chunk on span_traces (chunk_id);

-- Spans that a person looks for: those that touched a message, failed, or began a trace. They outlive their chunk when the trace is kept.
create table noted_spans (
    trace_id bytea not null,
    span_id bytea not null,
    parent_id bytea,
    chunk_id bigint not null,
    started_at bigint not null,
    duration_us bigint not null,
    operation smallint not null,
    failed boolean not null,
    service text not null,
    name text not null,
    topic text not null,
    partition integer,
    record_offset bigint,
    consumer_group text not null,
    primary key (trace_id, span_id)
);
create index noted_spans_by_chunk on noted_spans (chunk_id);
create index noted_spans_by_time on noted_spans (started_at, trace_id);
create index noted_spans_by_place on noted_spans (topic, record_offset, partition) where record_offset is not null;

-- Ties between traces, to be followed both ways.
create table span_links (
    from_trace bytea not null,
    from_span bytea not null,
    to_trace bytea not null,
    to_span bytea not null,
    chunk_id bigint not null,
    primary key (from_trace, from_span, to_trace, to_span)
);
create index span_links_back on span_links (to_trace);
create index span_links_by_chunk on span_links (chunk_id);

-- Traces that are kept longer, and why (bits of `model::trace::KeepReason`).
create table trace_keeps (
    trace_id bytea primary key,
    reasons integer not null,
    kept_at bigint not null
);
create index trace_keeps_by_time on trace_keeps (kept_at);

-- Their spans, once the chunk is gone: what each chunk held of the trace.
create table kept_spans (
    trace_id bytea not null,
    chunk_id bigint not null,
    spans integer not null,
    bytes bytea not null,
    primary key (trace_id, chunk_id)
);

-- What was dropped to stay within the limit, by reason, for the page: `hot` chunks before their time, `kept` traces before theirs.
create table span_losses (
    what text primary key,
    spans bigint not null,
    last_at bigint not null
);

-- From a trace to its dead letters.
create index dead_letters_by_trace on dead_letters (trace_id) where trace_id is not null;
