//! Generations, partitions, offsets and presence.

use redrive::model::bus::TopicRole;
use redrive::model::{BusId, BusKind, DeadLetterFilter, Presence, Timestamp, TopicName};
use redrive::store::buses::SweepResult;
use redrive::store::topics::{SeenOffsets, SeenTopic, TopicFilter};

use super::letters::{index, letter};
use super::{START, World, on_both_engines, seen_topic};

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn registered(world: &World) -> BusId {
    let bus = BusId::from("prod");
    world.store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
    bus
}

async fn presence(world: &World, offset: i64) -> Presence {
    let page = redrive::model::PageRequest::first(100);
    let page = world.store.list_dead_letters(&DeadLetterFilter::default(), &page, 1_000).await.expect("a page");
    page.items.iter().find(|item| item.offset == offset).expect("is listed").presence
}

fn offsets(partition_id: i64, log_start: i64, end: i64) -> SeenOffsets {
    SeenOffsets { partition_id, log_start, end, last_stable: Some(end) }
}

async fn another_topic_id_is_another_life(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let bus = BusId::from("prod");
    index(&world.store, partition, vec![letter(0, START)], START).await;
    world.store.record_offsets(&[offsets(partition, 0, 1)], START).await.expect("recorded");
    assert_eq!(presence(&world, 0).await, Presence::OnBroker);
    let again = SeenTopic { topic_id: Some("another".to_owned()), ..seen_topic("orders.DLT", TopicRole::DeadLetter, 1) };
    let stored = world.store.record_topics(&bus, &[again], later(1)).await.expect("topics");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].generation.topic_id.as_deref(), Some("another"));
    assert_ne!(stored[0].partitions[0].id, partition);
    assert_eq!((stored[0].partitions[0].next, stored[0].partitions[0].had_records), (None, false));
    assert_eq!(presence(&world, 0).await, Presence::TopicDeleted);
    // The same offset again is another dead letter.
    let start = redrive::store::indexing::PartitionPosition {
        partition_id: stored[0].partitions[0].id,
        next: 0,
        backlog_below: 0,
        caught_up_at: None,
    };
    world.store.start_positions(&[start]).await.expect("started");
    index(&world.store, start.partition_id, vec![letter(0, START)], START).await;
    assert_eq!(world.store.count_dead_letters(&DeadLetterFilter::default()).await.expect("counted"), Some(2));
}

async fn a_topic_out_of_sight_is_gone_and_lives_again_with_its_id(world: World) {
    let bus = registered(&world).await;
    let both = [seen_topic("orders.DLT", TopicRole::DeadLetter, 2), seen_topic("orders", TopicRole::Ordinary, 3)];
    let first = world.store.record_topics(&bus, &both, START).await.expect("topics");
    assert_eq!(first.iter().map(|topic| topic.partitions.len()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(world.store.record_topics(&bus, &both[..1], later(1)).await.expect("topics").len(), 1);
    let (gone, _) = world.store.find_topic(&bus, &TopicName::from("orders")).await.expect("an answer").expect("was there");
    assert_eq!(gone.generation.gone_at, Some(later(1)));
    let back = world.store.record_topics(&bus, &both, later(2)).await.expect("topics");
    assert_eq!(back.iter().map(|topic| topic.generation.id).collect::<Vec<_>>(), first.iter().map(|t| t.generation.id).collect::<Vec<_>>());
    // Without ids, one that comes back is another.
    let nameless = |topic: &SeenTopic| SeenTopic { topic_id: None, ..topic.clone() };
    let other = BusId::from("test");
    world.store.register_buses(&[(bus, BusKind::Kafka), (other.clone(), BusKind::Kafka)]).await.expect("registered");
    let one = world.store.record_topics(&other, &[nameless(&both[0])], START).await.expect("topics");
    world.store.record_topics(&other, &[], later(1)).await.expect("topics");
    let two = world.store.record_topics(&other, &[nameless(&both[0])], later(2)).await.expect("topics");
    assert_ne!(one[0].generation.id, two[0].generation.id);
}

async fn where_ids_are_not_told_an_end_that_falls_ends_the_life(world: World) {
    let bus = registered(&world).await;
    let topic = [SeenTopic { topic_id: None, ..seen_topic("orders.DLT", TopicRole::DeadLetter, 1) }];
    let stored = world.store.record_topics(&bus, &topic, START).await.expect("topics");
    let partition = stored[0].partitions[0].id;
    let start = redrive::store::indexing::PartitionPosition { partition_id: partition, next: 0, backlog_below: 0, caught_up_at: None };
    world.store.start_positions(&[start]).await.expect("started");
    index(&world.store, partition, (0..5).map(|offset| letter(offset, START)).collect(), START).await;
    // A sample that is older than the reader's position tells nothing.
    world.store.record_offsets(&[offsets(partition, 0, 3)], START).await.expect("recorded");
    assert_eq!(world.store.record_topics(&bus, &topic, START).await.expect("topics")[0].partitions[0].id, partition);
    world.store.record_offsets(&[offsets(partition, 0, 5)], START).await.expect("recorded");
    world.store.record_offsets(&[offsets(partition, 0, 2)], later(1)).await.expect("recorded");
    let next = world.store.record_topics(&bus, &topic, later(1)).await.expect("topics");
    assert_ne!(next[0].partitions[0].id, partition);
    assert_eq!(presence(&world, 4).await, Presence::TopicDeleted);
}

async fn backlog_is_what_was_there_before_the_first_read_or_before_it_became_a_dead_letter_topic(world: World) {
    let bus = registered(&world).await;
    let first = [seen_topic("orders.DLT", TopicRole::DeadLetter, 1), seen_topic("parked", TopicRole::Ordinary, 1)];
    let stored = world.store.record_topics(&bus, &first, START).await.expect("topics");
    assert!(stored.iter().all(|topic| topic.partitions[0].had_records));
    let second = [
        seen_topic("orders.DLT", TopicRole::DeadLetter, 2),
        seen_topic("parked", TopicRole::DeadLetter, 1),
        seen_topic("new", TopicRole::Ordinary, 1),
        seen_topic("payments.DLT", TopicRole::DeadLetter, 1),
    ];
    let stored = world.store.record_topics(&bus, &second, later(1)).await.expect("topics");
    let had = |stored: &[redrive::store::topics::StoredTopic], name: &str| {
        let topic = stored.iter().find(|topic| topic.generation.topic.as_str() == name).expect("lives");
        topic.partitions.iter().map(|partition| partition.had_records).collect::<Vec<_>>()
    };
    assert_eq!(had(&stored, "orders.DLT"), [true, false]);
    assert_eq!(had(&stored, "parked"), [true]);
    assert_eq!((had(&stored, "payments.DLT"), had(&stored, "new")), (vec![false], vec![false]));
    let mut third = second;
    third[2].role = TopicRole::DeadLetter;
    let stored = world.store.record_topics(&bus, &third, later(2)).await.expect("topics");
    assert_eq!(had(&stored, "new"), [true]);
}

async fn presence_follows_the_offsets(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(&world.store, partition, (0..4).map(|offset| letter(offset, START)).collect(), START).await;
    assert_eq!(presence(&world, 0).await, Presence::Unknown);
    world.store.record_offsets(&[offsets(partition, 2, 4)], START).await.expect("recorded");
    assert_eq!((presence(&world, 1).await, presence(&world, 2).await), (Presence::Expired, Presence::OnBroker));
    let compacted = SeenTopic { compacted: true, ..seen_topic("orders.DLT", TopicRole::DeadLetter, 1) };
    world.store.record_topics(&"prod".into(), &[compacted], later(1)).await.expect("topics");
    assert_eq!((presence(&world, 1).await, presence(&world, 2).await), (Presence::Unknown, Presence::Unknown));
    world.store.record_topics(&"prod".into(), &[], later(2)).await.expect("topics");
    assert_eq!(presence(&world, 2).await, Presence::TopicDeleted);
}

async fn lists_of_topics_are_filtered_and_summed(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 2).await[0];
    let bus = BusId::from("prod");
    let mut internal = seen_topic("__consumer_offsets", TopicRole::Ordinary, 1);
    internal.internal = true;
    let seen = [internal, seen_topic("orders", TopicRole::Ordinary, 1), seen_topic("orders.DLT", TopicRole::DeadLetter, 2)];
    world.store.record_topics(&bus, &seen, later(1)).await.expect("topics");
    world.store.record_offsets(&[offsets(partition, 5, 25)], later(2)).await.expect("recorded");
    index(&world.store, partition, vec![letter(0, START), letter(1, START)], START).await;
    let names = |filter: TopicFilter| {
        let (store, bus) = (world.store.clone(), bus.clone());
        async move {
            let topics = store.list_topics(&bus, &filter).await.expect("topics");
            topics.into_iter().map(|topic| topic.generation.topic.as_str().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(names(TopicFilter::default()).await, ["orders", "orders.DLT"]);
    assert_eq!(names(TopicFilter { internal: true, ..TopicFilter::default() }).await, ["__consumer_offsets", "orders", "orders.DLT"]);
    assert_eq!(names(TopicFilter { q: Some("dlt".to_owned()), ..TopicFilter::default() }).await, ["orders.DLT"]);
    assert_eq!(names(TopicFilter { role: Some(TopicRole::Ordinary), ..TopicFilter::default() }).await, ["orders"]);
    assert_eq!(world.store.count_topics(&bus, TopicRole::Ordinary).await.expect("a count"), 1, "internal ones are left out");
    let topics = world.store.list_topics(&bus, &TopicFilter::default()).await.expect("topics");
    assert_eq!((topics[0].partitions, topics[0].records_at_most, topics[0].open_dead_letters), (1, None, 2));
    assert_eq!((topics[1].partitions, topics[1].records_at_most, topics[1].open_dead_letters), (2, Some(20), 2));
    assert_eq!(topics[1].sampled_at, Some(later(2)));
    let (topic, partitions) = world.store.find_topic(&bus, &"orders.DLT".into()).await.expect("an answer").expect("lives");
    assert_eq!((topic.open_dead_letters, partitions.len(), partitions[0].next, partitions[1].end), (2, 2, Some(2), None));
    assert!(world.store.find_topic(&bus, &"a\0b".into()).await.expect("an answer").is_none());
}

async fn another_cluster_under_the_same_id_is_refused_and_failures_are_dated(world: World) {
    let bus = registered(&world).await;
    assert_eq!(world.store.claim_cluster(&bus, "one").await.expect("an answer"), Ok(()));
    assert_eq!(world.store.claim_cluster(&bus, "one").await.expect("an answer"), Ok(()));
    assert_eq!(world.store.claim_cluster(&bus, "two").await.expect("an answer"), Err("one".to_owned()));
    world.store.record_sweep(&bus, &SweepResult::Failed("no route".to_owned()), later(1)).await.expect("recorded");
    world.store.record_sweep(&bus, &SweepResult::Failed("still no\0route".to_owned()), later(2)).await.expect("recorded");
    let state = world.store.find_bus(&bus).await.expect("an answer").expect("is registered");
    assert_eq!((state.failing_since, state.sampled_at), (Some(later(1)), None));
    assert_eq!(state.error.as_deref(), Some("still no\u{fffd}route"));
    let mut capabilities = redrive::model::Capabilities::default();
    capabilities.unavailable.insert(redrive::model::Capability::ListGroups, "not allowed".to_owned());
    let reached = SweepResult::Reached {
        cluster_id: Some("one".to_owned()),
        brokers: 3,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: capabilities.clone(),
    };
    world.store.record_sweep(&bus, &reached, later(3)).await.expect("recorded");
    let state = world.store.list_buses().await.expect("buses").pop().expect("one");
    assert_eq!((state.failing_since, state.error, state.sampled_at, state.brokers), (None, None, Some(later(3)), 3));
    assert_eq!(state.capabilities, capabilities);
    world.store.register_buses(&[]).await.expect("registered");
    assert!(world.store.list_buses().await.expect("buses").is_empty());
}

async fn a_topic_with_transactions_is_known_as_one_until_its_life_ends(world: World) {
    let bus = registered(&world).await;
    let seen = [seen_topic("orders", TopicRole::Ordinary, 1), seen_topic("payments", TopicRole::Ordinary, 1)];
    world.store.record_topics(&bus, &seen, START).await.expect("topics");
    world.store.note_transactions(&bus, &["orders".into()]).await.expect("noted");
    let flags = async || {
        let topics = world.store.list_stored_topics(&bus).await.expect("topics");
        topics.into_iter().map(|topic| topic.generation.transactional).collect::<Vec<_>>()
    };
    assert_eq!(flags().await, [true, false]);
    world.store.record_topics(&bus, &seen, later(1)).await.expect("topics");
    assert_eq!(flags().await, [true, false], "a look changes nothing");
    let again = [SeenTopic { topic_id: Some("another".to_owned()), ..seen[0].clone() }, seen[1].clone()];
    world.store.record_topics(&bus, &again, later(2)).await.expect("topics");
    assert_eq!(flags().await, [false, false], "another life has its own");
}

async fn addresses_of_brokers_and_the_number_of_groups_that_are_not_watched_are_kept(world: World) {
    let bus = registered(&world).await;
    let state = async || world.store.find_bus(&bus).await.expect("an answer").expect("is registered");
    assert_eq!((state().await.addresses, state().await.untracked_groups), (Vec::<String>::new(), 0));
    let addresses = vec!["kafka-1:9092".to_owned(), "kafka-2:9092".to_owned()];
    let capabilities = redrive::model::Capabilities::default();
    let reached = SweepResult::Reached { cluster_id: None, brokers: 2, addresses: addresses.clone(), untracked_groups: 12, capabilities };
    world.store.record_sweep(&bus, &reached, later(1)).await.expect("recorded");
    world.store.record_sweep(&bus, &SweepResult::Failed("no route".to_owned()), later(2)).await.expect("recorded");
    assert_eq!((state().await.addresses, state().await.untracked_groups), (addresses, 12));
}

on_both_engines! {
    a_topic_with_transactions_is_known_as_one_until_its_life_ends
    addresses_of_brokers_and_the_number_of_groups_that_are_not_watched_are_kept
    another_topic_id_is_another_life
    a_topic_out_of_sight_is_gone_and_lives_again_with_its_id
    where_ids_are_not_told_an_end_that_falls_ends_the_life
    backlog_is_what_was_there_before_the_first_read_or_before_it_became_a_dead_letter_topic
    presence_follows_the_offsets
    lists_of_topics_are_filtered_and_summed
    another_cluster_under_the_same_id_is_refused_and_failures_are_dated
}
