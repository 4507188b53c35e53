//! How far topics with spans have been read.

use std::collections::HashMap;

use redrive::store::otlp_positions::OtlpAdvance;

use super::{World, on_both_engines};

async fn positions_begin_once_and_move_on_only_from_where_they_stand(world: World) {
    let store = &world.store;
    let ids = world.dead_letter_topic("prod", "spans", 2).await;
    assert_eq!(store.list_otlp_positions(&ids).await.expect("an answer"), HashMap::new());
    let started = store.start_otlp_positions(&[(ids[0], 5), (ids[1], 0)]).await.expect("started");
    assert_eq!(started, HashMap::from([(ids[0], 5), (ids[1], 0)]));
    let again = store.start_otlp_positions(&[(ids[0], 9)]).await.expect("started");
    assert_eq!(again, HashMap::from([(ids[0], 5)]));
    let advance = |partition_id, expected, next| OtlpAdvance { partition_id, expected, next };
    assert!(store.advance_otlp_positions(&[advance(ids[0], 5, 8), advance(ids[1], 0, 3)]).await.expect("an answer"));
    assert!(!store.advance_otlp_positions(&[advance(ids[0], 5, 100)]).await.expect("an answer"), "another instance was there");
    assert_eq!(store.list_otlp_positions(&ids).await.expect("an answer"), HashMap::from([(ids[0], 8), (ids[1], 3)]));
}

on_both_engines! { positions_begin_once_and_move_on_only_from_where_they_stand }
