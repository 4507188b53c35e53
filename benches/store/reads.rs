//! What pages ask for.

use std::time::{Duration, Instant};

use redrive::model::{DeadLetterFilter, DeadLetterId, Fingerprint, PageRequest, Presence, Status, Timestamp};
use redrive::store::Store;
use redrive::store::failure_groups::{Buckets, FailureGroupSort};

use crate::Outcome;
use crate::by_hand::ByHand;
use crate::letters::START;
use crate::measure::{millis, page};
use crate::report::judged;

/// A search answers, or says how far it came, within this.
const SEARCH: Duration = Duration::from_secs(1);
/// What a page gives a search before it shows how far it came.
const SCAN_MILLIS: u64 = 700;

pub(crate) async fn measure(store: &Store, letters: usize, hand: &ByHand) -> Outcome<()> {
    lists(store, hand).await?;
    groups(store, letters, hand).await?;
    let open = open();
    let middle = DeadLetterId(store.newest_dead_letter().await?.ok_or("empty")?.0 / 2);
    page("one dead letter", &ByHand::of(&hand.one), || async {
        store.find_dead_letter(middle, &open).await.map(|found| usize::from(found.is_some()))
    })
    .await?;
    for (name, q) in [
        ("search without a match", "zanzibar-crocodile"),
        ("search, only the oldest matches", "000000000"),
        ("search that matches everything", "customer"),
        ("search of a rare number", "000100123"),
        ("search too short for signatures, no match", "~~~"),
    ] {
        search(store, name, q, hand).await?;
    }
    Ok(())
}

fn open() -> DeadLetterFilter {
    DeadLetterFilter { status: vec![Status::Open], ..DeadLetterFilter::default() }
}

async fn lists(store: &Store, hand: &ByHand) -> Outcome<()> {
    let (any, open) = (DeadLetterFilter::default(), open());
    let at = |millis: i64| Some(Timestamp::from_millis(START + millis));
    let filters = [
        ("all", any.clone()),
        ("open", open.clone()),
        ("one bus", DeadLetterFilter { bus: vec!["prod".into()], ..open.clone() }),
        ("one topic", DeadLetterFilter { topic: vec!["orders.DLT".into()], ..open.clone() }),
        ("one consumer group", DeadLetterFilter { consumer_group: vec!["service-3".into()], ..open.clone() }),
        ("one class", DeadLetterFilter { exception_class: vec!["com.example.shop.failure.Cause7Exception".to_owned()], ..open.clone() }),
        ("one origin", DeadLetterFilter { origin_topic: vec!["orders-2".into()], ..open.clone() }),
        ("one group, all statuses", DeadLetterFilter { fingerprint: vec![Fingerprint { version: 1, hash: 5 }], ..any.clone() }),
        ("nothing matches", DeadLetterFilter { consumer_group: vec!["nobody".into()], ..open.clone() }),
        ("discarded", DeadLetterFilter { status: vec![Status::Discarded], ..any }),
        ("an hour", DeadLetterFilter { from: at(3_600_000), to: at(7_200_000), ..open.clone() }),
        ("on the broker", DeadLetterFilter { presence: vec![Presence::OnBroker], ..open }),
    ];
    for (name, filter) in &filters {
        let list = || async { store.list_dead_letters(filter, &PageRequest::first(50), 1_000).await.map(|page| page.items.len()) };
        page(&format!("list, {name}"), &ByHand::of(&hand.list), list).await?;
    }
    for (name, filter) in &filters {
        let count = || async { store.count_dead_letters(filter).await.map(|count| count.unwrap_or(0) as usize) };
        page(&format!("count, {name}"), &ByHand::of(&hand.groups), count).await?;
    }
    Ok(())
}

/// Failure groups with their arrivals of a day, as pages cut it and with ends inside an hour; arrivals of everything.
async fn groups(store: &Store, letters: usize, hand: &ByHand) -> Outcome<()> {
    let open = open();
    let end = START + (letters * 50) as i64;
    let whole = (end / 3_600_000 + 1) * 3_600_000;
    let day = |to: i64, count: u32| Buckets { from: Timestamp::from_millis(to - 86_400_000), to: Timestamp::from_millis(to), count };
    let hour = DeadLetterFilter { from: Some(Timestamp::from_millis(end - 3_600_000)), ..open.clone() };
    for (name, filter, buckets) in [
        ("failure groups, a day by half-hours", &open, day(end, 48)),
        ("failure groups, a day by the hour", &open, day(whole, 24)),
        ("failure groups of an hour", &hour, day(end, 48)),
    ] {
        page(name, &ByHand::of(&hand.groups), || async {
            let groups = store.list_failure_groups(filter, FailureGroupSort::Open, buckets, &PageRequest::first(50)).await;
            groups.map(|page| page.items.len())
        })
        .await?;
    }
    for (name, buckets) in [("arrivals of a day by half-hours", day(end, 48)), ("arrivals of a day by the hour", day(whole, 24))] {
        let any = DeadLetterFilter::default();
        let arrivals = || async { store.list_arrivals(&any, buckets).await.map(|arrivals| arrivals.total as usize) };
        page(name, &ByHand::of(&hand.arrivals), arrivals).await?;
    }
    Ok(())
}

async fn search(store: &Store, name: &str, q: &str, hand: &ByHand) -> Outcome<()> {
    let filter = DeadLetterFilter { q: Some(q.to_owned()), ..open() };
    let began = Instant::now();
    let (mut cursor, mut first, mut answers, mut found) = (None, None, 0, 0);
    loop {
        let page = store.list_dead_letters(&filter, &PageRequest { cursor, limit: 50 }, SCAN_MILLIS).await?;
        first.get_or_insert(began.elapsed());
        answers += 1;
        found += page.items.len();
        cursor = page.next_cursor;
        if cursor.is_none() || found >= 50 || began.elapsed() > Duration::from_secs(30) {
            break;
        }
    }
    let first = first.unwrap_or_default();
    let whole = format!("{}, whole {} in {answers}", millis(first), millis(began.elapsed()));
    judged(&format!("{name} ({found})"), &whole, &format!("{} (of 100k)", millis(hand.search)), "1 s first", first < SEARCH);
    Ok(())
}
