//! Text search against the naive model, with blocks, without, and after they were compacted.

use bytes::Bytes;
use redrive::model::{DeadLetterFilter, DeadLetterId, Header, PageRequest, Status, Timestamp};

use super::letters::{index, letter};
use super::model::{Known, Random, list};
use super::{START, World, on_both_engines};

/// Every dead letter that a search finds, page by page, and whether it said that it was complete.
async fn search(world: &World, filter: &DeadLetterFilter, limit: u32, scan_millis: u64) -> Vec<DeadLetterId> {
    let (mut cursor, mut found, mut back_to) = (None, Vec::new(), None);
    for _ in 0..10_000 {
        let page = world.store.list_dead_letters(filter, &PageRequest { cursor, limit }, scan_millis).await.expect("a page");
        assert!(page.items.len() <= limit as usize);
        assert!(page.items.iter().all(|item| page.searched_back_to.is_none_or(|back_to| item.failed_at >= back_to)));
        assert!(back_to.is_none() || page.searched_back_to.is_none() || page.searched_back_to <= back_to, "a search goes back");
        back_to = page.searched_back_to;
        found.extend(page.items.into_iter().map(|item| item.id));
        assert_eq!(page.next_cursor.is_none(), page.search_complete);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return found;
        }
    }
    panic!("a search never ended");
}

fn known(id: i64, letter: redrive::model::dead_letter::NewDeadLetter) -> Known {
    Known {
        id: DeadLetterId(id),
        bus: "prod".into(),
        topic: "orders.DLT".to_owned(),
        letter,
        status: Status::Open,
        presence: redrive::model::Presence::Unknown,
    }
}

/// Dead letters in no order of time, some with rare words in odd places.
async fn haystack(world: &World, count: i64, batch: usize) -> Vec<Known> {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let mut random = Random(3);
    let mut all = Vec::new();
    for offset in 0..count {
        let mut letter = letter(offset, Timestamp::from_millis(START.as_millis() + offset * 10 + random.millis(5_000)));
        match offset % 500 {
            3 => letter.record.value = Some(Bytes::from_static("{\"Straße\":\"ÄÖÜ Zeppelin\"}".as_bytes())),
            77 => letter.record.headers.push(Header::new("h", &b"\xff\xfeNEEDLE-in-binary\x00"[..])),
            120 => letter.record.key = Some(Bytes::from_static(b"needle-IN-key")),
            200 => letter.failure.exception_class = Some("com.example.NeedleException".to_owned()),
            300 => {
                let trace = format!("Error: x\n{}\tat com.example.NeedleFrame.go(Go.java:1)\n", "\tat a.b.c(D.java:1)\n".repeat(20));
                letter.record.headers.push(Header::new("stack", trace));
            }
            _ => {}
        }
        all.push(known(offset + 1, letter));
    }
    for some in all.chunks(batch) {
        index(&world.store, partition, some.iter().map(|known| known.letter.clone()).collect(), START).await;
    }
    all
}

const QUERIES: &[&str] = &[
    "needle",
    "NEEDLE binary",
    "needle-in-key",
    "needleframe",
    "needleexception broken",
    "strasse",
    "STRASSE",
    "straße zeppelin",
    "äöü",
    "\"order\":4999}",
    "order-4242",
    "no such thing at all",
    "zzzzqqqq",
    "order-1 ",
];

async fn compare(world: &World, all: &[Known]) {
    for (number, q) in QUERIES.iter().enumerate() {
        let filter = DeadLetterFilter { q: Some((*q).to_owned()), ..DeadLetterFilter::default() };
        let expected: Vec<DeadLetterId> = list(all, &filter).iter().map(|known| known.id).collect();
        let limit = if expected.len() > 100 { 100 } else { 3 };
        // With no time at all, every page is an answer of its own.
        let millis = if number % 2 == 0 { 0 } else { 10_000 };
        assert_eq!(search(world, &filter, limit, millis).await, expected, "{q}");
    }
    let part = DeadLetterFilter {
        q: Some("needle".to_owned()),
        from: Some(Timestamp::from_millis(START.as_millis() + 10_000)),
        to: Some(Timestamp::from_millis(START.as_millis() + 30_000)),
        status: vec![Status::Open],
        consumer_group: vec!["billing".into()],
        ..DeadLetterFilter::default()
    };
    let expected: Vec<DeadLetterId> = list(all, &part).iter().map(|known| known.id).collect();
    assert!(!expected.is_empty());
    assert_eq!(search(world, &part, 3, 10_000).await, expected);
    let elsewhere = DeadLetterFilter { consumer_group: vec!["nobody".into()], ..part };
    assert_eq!(search(world, &elsewhere, 3, 10_000).await, []);
}

async fn a_search_finds_what_looking_at_everything_finds(world: World) {
    let all = haystack(&world, 5_000, 400).await;
    compare(&world, &all).await;
}

async fn blocks_of_single_dead_letters_are_compacted_and_find_the_same(world: World) {
    let all = haystack(&world, 2_500, 3).await;
    let before = world.store.usage().await.expect("usage").rows["search_blocks"];
    assert!(before > 800);
    while world.store.compact_search_blocks(400).await.expect("compacted") > 32 {}
    let after = world.store.usage().await.expect("usage").rows["search_blocks"];
    assert!(after < before / 10, "{before} became {after}");
    for q in ["needle", "straße", "zzzzqqqq", "order-1234"] {
        let filter = DeadLetterFilter { q: Some(q.to_owned()), ..DeadLetterFilter::default() };
        let expected: Vec<DeadLetterId> = list(&all, &filter).iter().map(|known| known.id).collect();
        assert_eq!(search(&world, &filter, 3, 10_000).await, expected, "{q}");
    }
}

async fn blank_words_restrict_nothing(world: World) {
    let all = haystack(&world, 10, 10).await;
    let filter = DeadLetterFilter { q: Some(" \t ".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(search(&world, &filter, 100, 1_000).await.len(), all.len());
}

async fn groups_are_searched_by_title_and_message(world: World) {
    haystack(&world, 600, 100).await;
    let minute = redrive::store::failure_groups::Buckets { from: START, to: Timestamp::from_millis(START.as_millis() + 60_000), count: 1 };
    let groups = |q: &str| {
        let filter = DeadLetterFilter { q: Some(q.to_owned()), ..DeadLetterFilter::default() };
        let store = world.store.clone();
        async move {
            let sort = redrive::store::failure_groups::FailureGroupSort::Open;
            store.list_failure_groups(&filter, sort, minute, &PageRequest::first(10)).await.expect("groups").items.len()
        }
    };
    assert_eq!((groups("BROKENORDER number").await, groups("nothing").await), (1, 0));
}

on_both_engines! {
    a_search_finds_what_looking_at_everything_finds
    blocks_of_single_dead_letters_are_compacted_and_find_the_same
    blank_words_restrict_nothing
    groups_are_searched_by_title_and_message
}
