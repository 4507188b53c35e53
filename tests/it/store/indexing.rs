//! Exactly once, byte for byte.

use bytes::Bytes;
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::{DeadLetterFilter, Header, PageRequest, Timestamp};
use redrive::store::Store;
use redrive::store::indexing::{Advance, IndexBatch, IndexOutcome};
use redrive::store::topics::NoticedGap;

use super::letters::{index, letter, stack_trace};
use super::{START, World, on_both_engines};

fn batch(partition_id: i64, expected: i64, letters: Vec<NewDeadLetter>) -> IndexBatch {
    let next = letters.last().map_or(expected, |letter| letter.record.offset + 1);
    let advances = vec![Advance { partition_id, expected, next, gap: None }];
    IndexBatch { bus: "prod".into(), advances, letters: letters.into_iter().map(|letter| (partition_id, letter)).collect() }
}

fn letters(offsets: std::ops::Range<i64>) -> Vec<NewDeadLetter> {
    offsets.map(|offset| letter(offset, Timestamp::from_millis(START.as_millis() + offset))).collect()
}

async fn count(store: &Store) -> u64 {
    store.count_dead_letters(&DeadLetterFilter::default()).await.expect("counted").expect("no search")
}

async fn of_two_writers_at_one_position_one_writes_all_and_the_other_nothing(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let other = world.beside().await;
    for round in 0..20 {
        let offsets = round * 10..round * 10 + 10;
        let (one, two) = tokio::join!(
            world.store.record_index_batch(batch(partition, round * 10, letters(offsets.clone())), START),
            other.record_index_batch(batch(partition, round * 10, letters(offsets)), START)
        );
        let mut outcomes = [one.expect("no error"), two.expect("no error")];
        outcomes.sort_by_key(|outcome| matches!(outcome, IndexOutcome::Superseded(_)));
        assert_eq!(outcomes, [IndexOutcome::Written(10), IndexOutcome::Superseded(vec![partition])]);
    }
    assert_eq!(count(&world.store).await, 200);
    let positions = world.store.list_positions(&[partition]).await.expect("positions");
    assert_eq!(positions[0].next, 200);
    other.close().await;
}

async fn a_batch_with_one_stale_position_writes_nothing_of_the_others(world: World) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 2).await;
    let mut both = batch(partitions[0], 0, letters(0..5));
    both.advances.push(Advance { partition_id: partitions[1], expected: 7, next: 9, gap: Some((0, 7)) });
    let outcome = world.store.record_index_batch(both, START).await.expect("no error");
    assert_eq!(outcome, IndexOutcome::Superseded(vec![partitions[1]]));
    assert_eq!(count(&world.store).await, 0);
    let gaps = world.store.list_gaps(None, None, &PageRequest::first(10)).await.expect("gaps");
    assert!(gaps.items.is_empty());
    index(&world.store, partitions[0], letters(0..5), START).await;
    assert_eq!(count(&world.store).await, 5);
}

async fn a_position_moves_alone_and_a_gap_is_said(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let advances = vec![Advance { partition_id: partition, expected: 0, next: 50, gap: Some((0, 42)) }];
    let batch = IndexBatch { bus: "prod".into(), advances, letters: Vec::new() };
    assert_eq!(world.store.record_index_batch(batch, START).await.expect("written"), IndexOutcome::Written(0));
    let topic = "orders.DLT".into();
    let gaps = world.store.list_gaps(Some(&"prod".into()), Some(&topic), &PageRequest::first(10)).await.expect("gaps").items;
    assert_eq!((gaps.len(), gaps[0].from_offset, gaps[0].to_offset, gaps[0].offsets(), gaps[0].at), (1, 0, 42, 42, START));
    let other = "payments.DLT".into();
    assert!(world.store.list_gaps(None, Some(&other), &PageRequest::first(10)).await.expect("gaps").items.is_empty());
    let before = Timestamp::from_millis(START.as_millis() - 1);
    let noticed = world.store.list_noticed_gaps(before, START).await.expect("gaps");
    assert_eq!(noticed, [NoticedGap { id: gaps[0].id, bus: "prod".into(), topic, lost: 42, noticed_at: START }]);
    assert_eq!(world.store.list_noticed_gaps(START, START.plus(std::time::Duration::from_secs(60))).await.expect("gaps"), []);
}

async fn a_dead_letter_without_its_advance_is_refused(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let batch = IndexBatch { bus: "prod".into(), advances: Vec::new(), letters: vec![(partition, letter(0, START))] };
    assert!(world.store.record_index_batch(batch, START).await.is_err());
    assert_eq!(count(&world.store).await, 0);
}

#[expect(clippy::too_many_lines, reason = "one record with everything unpleasant, and every part of it compared")]
async fn hostile_bytes_come_back_as_they_were(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let mut hostile = letter(0, Timestamp::from_millis(i64::MIN));
    hostile.record.key = Some(Bytes::from_static(b"\0key\xff"));
    hostile.record.value = Some(Bytes::from(noise.clone()));
    hostile.record.headers = vec![
        Header::new(&b"twice"[..], &b"1"[..]),
        Header { name: Bytes::from_static(b"twice"), value: None },
        Header::new(&b"\xff\xfe\0name"[..], &b""[..]),
        Header::new(&b""[..], stack_trace("<script>\0\u{202e}")),
        Header::new(&b"twice"[..], noise),
        Header::new(&b"json"[..], format!("{{\n  \"a\": 1,\n{}}}", "  \"b\": 2,\n".repeat(50))),
    ];
    hostile.failure.exception_class = Some("<b>\0\u{fffd}".to_owned());
    hostile.failure.message = Some("m\0".repeat(600_000));
    hostile.failure.consumer_group = Some("group\0\u{202e}".into());
    hostile.failure.origin.topic = Some("topic\0<i>".into());
    hostile.failure.stack_trace = Some(stack_trace("<script>\0\u{202e}"));
    hostile.failure.stage = Some("stage\0".to_owned());
    hostile.failure.problem = Some("problem\0".to_owned());
    hostile.failure.trace_id = Some([0xab; 16]);
    "title\0".clone_into(&mut hostile.fingerprint.title);
    hostile.fingerprint.parts = vec!["part\0".to_owned()];
    hostile.custody_problem = None;
    let mut null = letter(1, Timestamp::from_millis(i64::MAX));
    null.record.key = None;
    null.record.value = None;
    null.record.headers = Vec::new();
    null.record.timestamp = None;
    null.record.timestamp_kind = None;
    null.failure.exception_class = None;
    null.failure.message = None;
    null.failure.stack_trace = Some("decoded from somewhere else".to_owned());
    null.failure.consumer_group = None;
    null.failure.origin = redrive::model::Origin::default();
    index(&world.store, partition, vec![hostile.clone(), null], START).await;

    let page = world.store.list_dead_letters(&DeadLetterFilter::default(), &PageRequest::first(10), 1_000).await.expect("a page");
    assert_eq!(page.items.len(), 2);
    let nothing = DeadLetterFilter::default();
    let found = world.store.find_dead_letter(page.items[1].id, &nothing).await.expect("found").expect("is there");
    assert_eq!(found.key, hostile.record.key);
    assert_eq!(found.value, hostile.record.value);
    assert_eq!(found.headers, hostile.record.headers);
    assert_eq!(found.stack_trace, hostile.failure.stack_trace);
    assert_eq!(found.stage, hostile.failure.stage);
    assert_eq!(found.decode_problem, hostile.failure.problem);
    assert_eq!(found.summary.exception_class, hostile.failure.exception_class);
    assert_eq!(found.summary.consumer_group, hostile.failure.consumer_group);
    assert_eq!(found.summary.origin, hostile.failure.origin);
    assert_eq!(found.summary.exception_message.expect("a message").chars().count(), 1_000);
    assert_eq!(found.summary.trace_id.as_deref(), Some("abababababababababababababababab"));
    assert_eq!(found.summary.value_size_bytes, Some(1_000_000));
    assert_eq!((found.newer, found.older), (Some(page.items[0].id), None));
    let null = world.store.find_dead_letter(page.items[0].id, &nothing).await.expect("found").expect("is there");
    assert_eq!((null.key, null.value, null.headers.len(), null.summary.key), (None, None, 0, None));
    assert_eq!(null.summary.value_size_bytes, None);
    assert_eq!(null.stack_trace.as_deref(), Some("decoded from somewhere else"));
    assert_eq!((null.newer, null.older), (None, Some(page.items[1].id)));

    let filter = DeadLetterFilter {
        origin_topic: vec!["topic\0<i>".into()],
        consumer_group: vec!["group\0\u{202e}".into()],
        exception_class: vec!["<b>\0\u{fffd}".to_owned()],
        ..DeadLetterFilter::default()
    };
    assert_eq!(world.store.count_dead_letters(&filter).await.expect("counted"), Some(1));
    let odd = DeadLetterFilter { topic: vec!["a\0b".into()], ..DeadLetterFilter::default() };
    assert_eq!(world.store.count_dead_letters(&odd).await.expect("counted"), Some(0));
}

async fn a_record_above_the_limit_keeps_its_coordinates_and_says_so(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let mut large = letter(0, START);
    large.record.value = Some(Bytes::from(vec![b'x'; 2_000_000]));
    large.custody_problem = Some("the record has 2,000,000 bytes".to_owned());
    index(&world.store, partition, vec![large.clone()], START).await;
    let id = world.store.newest_dead_letter().await.expect("an answer").expect("one");
    let found = world.store.find_dead_letter(id, &DeadLetterFilter::default()).await.expect("found").expect("is there");
    assert_eq!((found.value, found.key, found.headers), (None, large.record.key, large.record.headers));
    assert_eq!(found.summary.value_size_bytes, Some(2_000_000));
    assert_eq!(found.summary.custody_problem, large.custody_problem);
    assert_eq!(world.store.usage().await.expect("usage").without_custody, 1);
}

async fn a_resolved_pointer_shows_the_content_it_points_to(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let mut pointer = letter(0, START);
    pointer.resolved = Some((None, Some(Bytes::from_static(b"the original"))));
    index(&world.store, partition, vec![pointer], START).await;
    let id = world.store.newest_dead_letter().await.expect("an answer").expect("one");
    let found = world.store.find_dead_letter(id, &DeadLetterFilter::default()).await.expect("found").expect("is there");
    assert_eq!((found.key, found.value.as_deref()), (None, Some(&b"the original"[..])));
}

on_both_engines! {
    of_two_writers_at_one_position_one_writes_all_and_the_other_nothing
    a_batch_with_one_stale_position_writes_nothing_of_the_others
    a_position_moves_alone_and_a_gap_is_said
    a_dead_letter_without_its_advance_is_refused
    hostile_bytes_come_back_as_they_were
    a_record_above_the_limit_keeps_its_coordinates_and_says_so
    a_resolved_pointer_shows_the_content_it_points_to
}
