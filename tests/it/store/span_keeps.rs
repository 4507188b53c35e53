//! How long spans stay: a trace that somebody pins, chunks that nobody has counted, and traces of more pieces than are read.

use redrive::model::trace::KeepReasons;
use redrive::store::Store;
use redrive::store::figures::{NewFrame, SPANS};

use super::spans::{add, at, processed, trace};
use super::{World, on_both_engines};

async fn kept_since(store: &Store, number: u32) -> Option<i64> {
    let kept = store.find_trace(trace(number)).await.expect("it is read").kept;
    kept.map(|(_, since)| (since.as_millis() - at(0).as_millis()) / 1_000)
}

async fn a_trace_that_is_pinned_stays_from_then_on(world: World) {
    let store = &world.store;
    add(store, (1..=3).map(|number| processed(number, 1, 10)).collect(), at(20)).await;
    let failed: Vec<_> = (1..=3).map(|number| (trace(number), KeepReasons::FAILED)).collect();
    store.keep_traces(&failed, at(20)).await.expect("they are kept");
    while store.expire_span_chunk(at(1_000), i64::MAX, false, at(1_000)).await.expect("it goes") {}
    store.keep_traces(&[(trace(1), KeepReasons::PINNED)], at(900)).await.expect("it is pinned");
    // Another reason comes later, and an instance whose clock is behind pins it too.
    store.keep_traces(&[(trace(1), KeepReasons::SLOW), (trace(2), KeepReasons::SLOW)], at(950)).await.expect("they are kept");
    store.keep_traces(&[(trace(1), KeepReasons::PINNED)], at(800)).await.expect("it is pinned");
    assert_eq!([kept_since(store, 1).await, kept_since(store, 2).await], [Some(900), Some(20)]);
    assert_eq!(store.expire_kept_traces(at(500), false, 100, at(1_000)).await.expect("their time has come"), 2);
    let mut left = Vec::new();
    for number in 1..=3 {
        left.push(store.find_trace(trace(number)).await.expect("it is read").spans.len());
    }
    assert_eq!(left, [1, 0, 0], "the pinned one");
    let (reasons, _) = store.find_trace(trace(1)).await.expect("it is read").kept.expect("it is kept");
    assert_eq!(reasons, KeepReasons::FAILED | KeepReasons::PINNED | KeepReasons::SLOW);
    assert_eq!(store.expire_kept_traces(at(1_500), false, 100, at(2_000)).await.expect("its time has come, too"), 1);
}

/// Says that chunks up to one are in the figures.
async fn count_to(store: &Store, chunk: i64, second: i64) {
    let after = store.figure_source(SPANS).await.expect("it is read").map(|(at, _)| at);
    let state = Some(chunk.to_le_bytes().to_vec());
    let frame = NewFrame { source: SPANS, after, taken_at: at(second), points: Vec::new(), state, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
}

async fn chunks_that_nobody_has_counted_stay_as_long_as_there_is_room(world: World) {
    let store = &world.store;
    for number in 1..=4 {
        add(store, vec![processed(number, 1, 10), processed(number + 10, 1, 10)], at(20)).await;
    }
    let expire = async |early| {
        let counted = store.spans_counted_to().await.expect("it is read");
        store.expire_span_chunk(at(1_000), counted, early, at(1_000)).await.expect("an answer")
    };
    assert_eq!(store.spans_counted_to().await.expect("it is read"), 0);
    assert!(!expire(false).await, "nobody has begun to count");
    count_to(store, 2, 30).await;
    let gone = [expire(false).await, expire(false).await, expire(false).await];
    assert_eq!(gone, [true, true, false], "two are in the figures");
    assert!(store.list_span_losses().await.expect("they are read").is_empty());
    // Where there is no room it goes, and that is said; one that is counted and old is no loss.
    assert!(expire(true).await);
    let losses = store.list_span_losses().await.expect("they are read");
    assert_eq!(losses.iter().map(|loss| (loss.what.as_str(), loss.spans)).collect::<Vec<_>>(), [("uncounted", 2)]);
    count_to(store, 4, 40).await;
    assert_eq!([expire(true).await, expire(true).await], [true, false]);
    assert_eq!(store.list_span_losses().await.expect("they are read").len(), 1);
}

async fn a_trace_of_more_pieces_than_are_read_is_said_to_be_cut(world: World) {
    let store = &world.store;
    for number in 1..=221_u8 {
        add(store, vec![processed(1, number, i64::from(number))], at(20)).await;
        if number < 220 {
            continue;
        }
        let found = store.find_trace(trace(1)).await.expect("it is read");
        assert_eq!((found.spans.len(), found.truncated), (220, number == 221), "{number}");
        assert_eq!(found.spans.last().map(|span| span.span_id.0), Some([number; 8]), "the newest are read");
    }
}

on_both_engines! {
    a_trace_that_is_pinned_stays_from_then_on
    chunks_that_nobody_has_counted_stay_as_long_as_there_is_room
    a_trace_of_more_pieces_than_are_read_is_said_to_be_cut
}
