//! Lists, counts and groups against the naive model, over random dead letters and random filters.

use redrive::model::{Convention, DeadLetterFilter, DeadLetterId, Fingerprint, GroupName, PageRequest, Presence, Status, Timestamp};
use redrive::store::failure_groups::{Buckets, FailureGroupSort};
use redrive::store::topics::SeenOffsets;

use super::letters::{fingerprint, index, letter};
use super::model::{Known, Random, arrivals, counts, list};
use super::{START, World, on_both_engines};

const TOPICS: &[(&str, &str)] = &[("prod", "orders.DLT"), ("prod", "payments-dlq"), ("test", "orders.DLT")];
const CLASSES: &[&str] = &["com.example.BrokenOrder", "java.io.IOException", "System.Exception", "Fehler"];
const GROUPS: &[&str] = &["billing", "shipping", "Billing"];
const ORIGINS: &[&str] = &["orders", "payments", "orders\0"];
const CONVENTIONS: &[&str] = &["spring_kafka", "kafka_connect"];
const HOUR: i64 = 3_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

/// Random dead letters on three topics, some with another status, some expired.
async fn random_world(world: &World, random: &mut Random, letters: i64) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    let mut partitions = Vec::new();
    for (bus, topic) in TOPICS {
        for id in world.dead_letter_topic(bus, topic, 2).await {
            partitions.push((*bus, *topic, id, 0_i64));
        }
    }
    let buses = [("prod".into(), redrive::model::BusKind::Kafka), ("test".into(), redrive::model::BusKind::Kafka)];
    world.store.register_buses(&buses).await.expect("registered");
    let mut expired: Vec<(i64, i64)> = Vec::new();
    let mut made = 0;
    while made < letters {
        let which = usize::try_from(random.below(partitions.len() as u64)).expect("an index");
        let (bus, topic, partition, next) = &mut partitions[which];
        let size = 1 + random.millis(120);
        let some: Vec<_> = (0..size).map(|n| random_letter(random, *next + n)).collect();
        let newest = world.store.newest_dead_letter().await.expect("an answer").map_or(0, |id| id.0);
        index(&world.store, *partition, some.clone(), at(made)).await;
        let new = DeadLetterFilter::default();
        assert_eq!(world.store.count_newer(&new, DeadLetterId(newest)).await.expect("counted"), some.len() as u64);
        for (number, letter) in (0..).zip(some) {
            // Ids ascend in reading order within a batch, without holes when nobody else writes.
            let id = DeadLetterId(newest + 1 + number);
            let (bus, topic) = ((*bus).into(), (*topic).to_owned());
            all.push(Known { id, bus, topic, letter, status: Status::Open, presence: Presence::OnBroker });
        }
        *next += size;
        made += size;
        if which == 1 {
            expired = vec![(*partition, *next / 2)];
        }
    }
    let mut offsets = Vec::new();
    for (_, _, partition, next) in &partitions {
        let log_start = expired.iter().find(|(id, _)| id == partition).map_or(0, |(_, start)| *start);
        // The last partition was never sampled.
        if *partition == partitions[partitions.len() - 1].2 {
            continue;
        }
        offsets.push(SeenOffsets { partition_id: *partition, log_start, end: *next, last_stable: None });
    }
    world.store.record_offsets(&offsets, START).await.expect("recorded");
    for status in [Status::Discarded, Status::Resolved, Status::Replaying] {
        let ids: Vec<DeadLetterId> =
            all.iter().filter(|known| known.status == Status::Open).filter(|_| random.one_in(6)).map(|known| known.id).collect();
        assert_eq!(world.store.change_status(&ids, Status::Open, status, at(HOUR)).await.expect("changed"), ids.len() as u64);
        all.iter_mut().filter(|known| ids.contains(&known.id)).for_each(|known| known.status = status);
        assert_eq!(world.store.change_status(&ids, Status::Open, status, at(HOUR)).await.expect("changed"), 0, "only once");
    }
    for known in &mut all {
        let found = world.store.find_dead_letter(known.id, &DeadLetterFilter::default()).await.expect("found").expect("is there");
        assert_eq!((found.summary.offset, &found.value), (known.letter.record.offset, &known.letter.record.value));
        known.presence = found.summary.presence;
    }
    all
}

fn random_letter(random: &mut Random, offset: i64) -> redrive::model::dead_letter::NewDeadLetter {
    let mut letter = letter(offset, at(random.millis(6 * HOUR) / 1_000 * 1_000));
    let class = *random.pick(CLASSES);
    letter.failure.exception_class = (!random.one_in(7)).then(|| class.to_owned());
    letter.failure.consumer_group = (!random.one_in(5)).then(|| GroupName::from(*random.pick(GROUPS)));
    letter.failure.consumer_group_inferred = random.one_in(3);
    letter.failure.origin.topic = (!random.one_in(5)).then(|| (*random.pick(ORIGINS)).into());
    letter.failure.convention = Convention::built_in(if random.one_in(2) { CONVENTIONS[0] } else { CONVENTIONS[1] });
    letter.fingerprint = fingerprint(random.below(8), class);
    letter.backlog = random.one_in(4);
    letter
}

fn some<T: Clone>(random: &mut Random, values: &[T], rarely: u64) -> Vec<T> {
    if random.one_in(rarely) { (0..=random.below(2)).map(|_| random.pick(values).clone()).collect() } else { Vec::new() }
}

fn random_filter(random: &mut Random) -> DeadLetterFilter {
    let fingerprints: Vec<Fingerprint> = (0..8).map(|hash| Fingerprint { version: 1, hash }).collect();
    let from = random.one_in(3).then(|| at(random.millis(3 * HOUR)));
    DeadLetterFilter {
        bus: some(random, &["prod".into(), "test".into()], 4),
        topic: some(random, &["orders.DLT".into(), "payments-dlq".into(), "nowhere".into()], 4),
        origin_topic: some(random, &ORIGINS.iter().map(|name| (*name).into()).collect::<Vec<_>>(), 4),
        consumer_group: some(random, &GROUPS.iter().map(|name| (*name).into()).collect::<Vec<_>>(), 4),
        exception_class: some(random, &CLASSES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), 4),
        fingerprint: some(random, &fingerprints, 4),
        convention: some(random, &CONVENTIONS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), 5),
        status: some(random, Status::ALL, 2),
        presence: some(random, Presence::ALL, 4),
        q: None,
        from,
        to: random.one_in(3).then(|| at(2 * HOUR + random.millis(4 * HOUR))),
    }
}

async fn every_filter_finds_what_looking_at_everything_finds(world: World) {
    let mut random = Random(7);
    let all = random_world(&world, &mut random, 900).await;
    assert!([Presence::OnBroker, Presence::Expired, Presence::Unknown].iter().all(|p| all.iter().any(|known| known.presence == *p)));
    for round in 0..60 {
        let filter = if round == 0 { DeadLetterFilter::default() } else { random_filter(&mut random) };
        let expected = list(&all, &filter);
        let mut cursor = None;
        let mut found = Vec::new();
        let limit = *random.pick(&[7, 50, 400]);
        let limit = if expected.len() > 300 { limit.max(50) } else { limit };
        loop {
            let page = PageRequest { cursor, limit };
            let page = world.store.list_dead_letters(&filter, &page, 10_000).await.expect("a page");
            assert!(page.items.len() <= limit as usize);
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                assert!(page.search_complete);
                break;
            }
        }
        let ids: Vec<DeadLetterId> = found.iter().map(|item| item.id).collect();
        let expected_ids: Vec<DeadLetterId> = expected.iter().map(|known| known.id).collect();
        assert_eq!(ids, expected_ids, "{filter:?}");
        for (item, known) in found.iter().zip(&expected) {
            assert_eq!((item.status, item.presence, &item.bus), (known.status, known.presence, &known.bus));
            assert_eq!(item.fingerprint, known.letter.fingerprint.fingerprint);
        }
        let count = world.store.count_dead_letters(&filter).await.expect("counted");
        assert_eq!(count, Some(expected.len() as u64), "{filter:?}");
        let by_status = world.store.count_by_status(&filter).await.expect("counted");
        assert_eq!(by_status, counts(expected.iter().copied()), "{filter:?}");
        assert_groups(&world, &all, &filter, &mut random).await;
        if let Some(middle) = expected.get(expected.len() / 2) {
            let detail = world.store.find_dead_letter(middle.id, &filter).await.expect("found").expect("is there");
            let position = expected.len() / 2;
            assert_eq!(detail.older, expected.get(position + 1).map(|known| known.id), "{filter:?}");
            assert_eq!(detail.newer, position.checked_sub(1).map(|newer| expected[newer].id), "{filter:?}");
            let newer = expected.iter().filter(|known| known.id > middle.id).count() as u64;
            assert_eq!(world.store.count_newer(&filter, middle.id).await.expect("counted"), newer, "{filter:?}");
        }
    }
}

async fn assert_groups(world: &World, all: &[Known], filter: &DeadLetterFilter, random: &mut Random) {
    let (from, hours) = (at(0), 6);
    let buckets = Buckets { from, to: at(6 * HOUR), count: hours };
    let arrived = world.store.list_arrivals(filter, buckets).await.expect("arrivals");
    assert_eq!(arrived.per_bucket, arrivals(all, filter, from, HOUR, hours as usize), "{filter:?}");
    assert_eq!(arrived.total, arrived.per_bucket.iter().sum::<u64>());
    assert_eq!(arrived.before, 0);
    let sort = *random.pick(&[FailureGroupSort::Open, FailureGroupSort::LastSeen, FailureGroupSort::FirstSeen]);
    let expected = list(all, filter);
    let mut cursor = None;
    let mut groups = Vec::new();
    loop {
        let page = world.store.list_failure_groups(filter, sort, buckets, &PageRequest { cursor, limit: 3 }).await.expect("groups");
        groups.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut keys: Vec<_> = expected.iter().map(|known| (known.bus.clone(), known.letter.fingerprint.fingerprint)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(groups.len(), keys.len(), "{filter:?}");
    for group in &groups {
        let members: Vec<&Known> = expected
            .iter()
            .filter(|known| known.bus == group.bus && known.letter.fingerprint.fingerprint == group.fingerprint)
            .copied()
            .collect();
        assert_eq!(group.counts, counts(members.iter().copied()), "{filter:?}");
        assert_eq!(group.origins.iter().map(|(_, count)| count).sum::<u64>(), members.len() as u64);
        assert_eq!(group.topics.iter().map(|(_, count)| count).sum::<u64>(), members.len() as u64);
        assert_eq!(group.consumer_groups.iter().map(|(_, _, count)| count).sum::<u64>(), members.len() as u64);
    }
    let sorted = groups.windows(2).all(|pair| match sort {
        FailureGroupSort::Open => pair[0].counts.open >= pair[1].counts.open,
        FailureGroupSort::LastSeen => pair[0].last_seen >= pair[1].last_seen,
        FailureGroupSort::FirstSeen => pair[0].first_seen >= pair[1].first_seen,
    });
    assert!(sorted, "{sort:?} {groups:?}");
}

async fn one_group_shows_all_of_its_dead_letters(world: World) {
    let mut random = Random(11);
    let all = random_world(&world, &mut random, 300).await;
    let buckets = Buckets { from: at(0), to: at(6 * HOUR), count: 12 };
    for hash in 0..8 {
        let wanted = Fingerprint { version: 1, hash };
        let group = world.store.find_failure_group(&"prod".into(), wanted, buckets).await.expect("an answer");
        let filter = DeadLetterFilter { bus: vec!["prod".into()], fingerprint: vec![wanted], ..DeadLetterFilter::default() };
        let members = list(&all, &filter);
        let group = group.expect("300 dead letters have all groups");
        assert_eq!(group.counts, counts(members.iter().copied()));
        assert_eq!(Some(group.last_seen), members.first().map(|known| known.letter.failed_at));
        assert_eq!(Some(group.first_seen), members.last().map(|known| known.letter.failed_at));
        assert_eq!(group.message, members[0].letter.failure.message);
        assert_eq!(group.per_bucket, arrivals(&all, &filter, at(0), HOUR / 2, 12));
    }
    let unknown = Fingerprint { version: 1, hash: 99 };
    assert_eq!(world.store.find_failure_group(&"prod".into(), unknown, buckets).await.expect("an answer"), None);
}

async fn menus_offer_what_is_there_with_numbers(world: World) {
    let mut random = Random(13);
    let all = random_world(&world, &mut random, 300).await;
    let choices = world.store.list_filter_choices(&["prod".into()]).await.expect("choices");
    let of_bus = |filter: DeadLetterFilter| list(&all, &DeadLetterFilter { bus: vec!["prod".into()], ..filter }).len() as u64;
    assert_eq!(choices.topics.len(), 2);
    for (topic, count) in choices.topics {
        assert_eq!(count, of_bus(DeadLetterFilter { topic: vec![topic.as_str().into()], ..DeadLetterFilter::default() }));
    }
    for (class, count) in choices.exception_classes {
        assert_eq!(count, of_bus(DeadLetterFilter { exception_class: vec![class], ..DeadLetterFilter::default() }));
    }
    assert!(choices.consumer_groups.is_sorted_by(|a, b| a.1 >= b.1));
    assert_eq!(world.store.list_filter_choices(&["nowhere".into()]).await.expect("choices").topics, []);
}

async fn the_same_origin_is_recognised(world: World) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 2).await;
    let again = |offset: i64, origin: i64| {
        let mut again = letter(offset, at(offset));
        again.failure.origin.offset = Some(origin);
        again
    };
    index(&world.store, partitions[0], vec![again(0, 5), again(1, 6), again(2, 5)], START).await;
    index(&world.store, partitions[1], vec![again(0, 5)], START).await;
    let newest = world.store.newest_dead_letter().await.expect("an answer").expect("one");
    let same = world.store.list_same_origin(newest).await.expect("a list");
    let offsets: Vec<(i32, i64)> = same.iter().map(|summary| (summary.partition, summary.offset)).collect();
    assert_eq!(offsets, [(0, 2), (0, 0)]);
}

on_both_engines! {
    every_filter_finds_what_looking_at_everything_finds
    one_group_shows_all_of_its_dead_letters
    menus_offer_what_is_there_with_numbers
    the_same_origin_is_recognised
}
