//! Keys by which hot chunks are found: in their buckets whatever happens between two of them.

use redrive::model::span::SpanId;
use redrive::store::Store;

use super::spans::{add, at, processed, trace};
use super::{Ground, World, on_both_engines};

/// Chunks of a bucket where few spans come.
const CHUNKS: u32 = 256;

async fn has(store: &Store, number: u32) -> bool {
    store.find_trace(trace(number)).await.expect("it is read").spans.iter().any(|span| span.span_id == SpanId([1; 8]))
}

/// Makes the keys of one chunk impossible to write.
async fn refuse_keys_of(world: &World, chunk: u32) {
    let statements = match &world.ground {
        Ground::Folder(_) => format!(
            "create trigger refused before insert on span_keys when new.chunk_id = {chunk} begin select raise(abort, 'refused'); end"
        ),
        Ground::Database(_) => format!(
            "create function refuse() returns trigger language plpgsql as 'begin raise exception ''refused''; end'; \
             create trigger refused before insert on span_keys for each row when (new.chunk_id = {chunk}) execute function refuse()"
        ),
    };
    world.run(&statements).await;
}

async fn allow_keys(world: &World) {
    let table = if matches!(world.ground, Ground::Folder(_)) { "" } else { " on span_keys" };
    world.run(&format!("drop trigger refused{table}")).await;
}

async fn a_commit_that_is_rolled_back_between_two_buckets_loses_no_key(world: World) {
    let (store, other) = (&world.store, world.beside().await);
    for number in 1..=CHUNKS {
        add(store, vec![processed(number, 1, 10)], at(20)).await;
    }
    assert_eq!(world.number("select count(distinct bucket) from span_keys").await, 1);
    // The next chunk would begin a bucket.
    let next = CHUNKS + 1;
    refuse_keys_of(&world, next).await;
    let spans = redrive::store::spans::EncodedSpans::new(vec![Box::new(processed(900, 1, 10))]).expect("they are packed");
    assert!(store.add_spans(spans, at(21)).await.is_err(), "nothing of it is written");
    allow_keys(&world).await;
    assert_eq!(store.last_span_chunk().await.expect("it is read"), i64::from(CHUNKS));
    // Another instance takes its number, with a bucket of the same name; then the first one goes on.
    add(&other, vec![processed(next, 1, 10)], at(22)).await;
    add(store, vec![processed(next + 1, 1, 10)], at(23)).await;
    add(store, vec![processed(900, 1, 10)], at(24)).await;
    assert_eq!(world.number("select count(distinct bucket) from span_keys").await, 2);
    for number in [1, CHUNKS, next, next + 1, 900] {
        assert!(has(store, number).await && has(&other, number).await, "{number} is found by both");
    }
    // What is old goes, bucket by bucket, and takes nothing along that is there.
    for gone in 1..=next {
        assert!(store.expire_span_chunk(at(1_000), i64::MAX, false, at(1_000)).await.expect("it goes"));
        assert!(gone.is_multiple_of(64) || has(store, 900).await, "after {gone}");
    }
    assert_eq!((has(store, next).await, has(store, next + 1).await, has(store, 900).await), (false, true, true));
    other.close().await;
}

async fn buckets_that_were_named_by_their_number_are_named_by_their_first_chunk(world: World) {
    let store = &world.store;
    for (number, chunk) in [(1, 100), (2, 300), (3, 511), (4, 520)] {
        world.run(&format!("update span_clock set last = {}", chunk - 1)).await;
        add(store, vec![processed(number, 1, 10)], at(20)).await;
    }
    // As it was before: chunks by 256, and the keys of a chunk that is gone.
    world.run("update span_keys set bucket = chunk_id / 256").await;
    world.run("delete from span_chunks where id = 100").await;
    assert_eq!(world.number("select count(distinct bucket) from span_keys").await, 3);
    // Both engines have the same.
    world.run(include_str!("../../../migrations/sqlite/0027_span_key_runs.sql")).await;
    let World { store, settings, ground } = world;
    store.close().await;
    drop(store);
    let world = World { store: Store::open(&settings).await.expect("it opens"), settings, ground };
    let store = &world.store;
    assert_eq!(world.number("select count(*) from span_keys where chunk_id = 100").await, 0, "keys without a chunk are gone");
    assert_eq!(world.number("select count(*) from span_keys where bucket not in (256, 512)").await, 0);
    assert_eq!(world.number("select count(*) from span_keys where chunk_id < bucket or chunk_id >= bucket + 256").await, 0);
    add(store, vec![processed(5, 1, 10)], at(30)).await;
    for (number, there) in [(1, false), (2, true), (3, true), (4, true), (5, true)] {
        assert_eq!(has(store, number).await, there, "{number}");
    }
    // Old buckets go with their chunks, new ones stay.
    for _ in 0..2 {
        assert!(store.expire_span_chunk(at(1_000), i64::MAX, false, at(1_000)).await.expect("it goes"));
    }
    for (number, there) in [(2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(has(store, number).await, there, "{number} later");
    }
}

on_both_engines! {
    a_commit_that_is_rolled_back_between_two_buckets_loses_no_key
    buckets_that_were_named_by_their_number_are_named_by_their_first_chunk
}
