//! Somebody writes names of his own into the headers: a hundred thousand exception classes, origin topics and consumer groups.

use std::path::Path;

use redrive::model::{DeadLetterFilter, PageRequest, Status, Timestamp};
use redrive::store::Store;
use redrive::store::failure_groups::{Buckets, FailureGroupSort};

use crate::by_hand::ByHand;
use crate::letters::{Feed, START};
use crate::measure::page;
use crate::{BATCH, Outcome, prepare, report, settings};

pub(crate) async fn measure(folder: &Path, names: usize, hand: &ByHand) -> Outcome<()> {
    if names == 0 {
        return Ok(());
    }
    let store = Store::open(&settings(&format!("sqlite:{}", folder.join("names.db").display()))).await?;
    let mut feed = Feed::new(prepare(&store).await?);
    for hostile in [false, true] {
        feed.hostile = hostile;
        for _ in 0..names.div_ceil(BATCH) {
            store.record_index_batch(feed.batch(BATCH), Timestamp::from_millis(START)).await?;
        }
    }
    report::head(&format!("SQLite, {names} usual dead letters and {names} with names of their own"));
    read(&store, names, hand).await?;
    store.close().await;
    Ok(())
}

async fn read(store: &Store, names: usize, hand: &ByHand) -> Outcome<()> {
    let open = DeadLetterFilter { status: vec![Status::Open], ..DeadLetterFilter::default() };
    let filters = [
        ("open", open.clone()),
        ("one bus", DeadLetterFilter { bus: vec!["prod".into()], ..open.clone() }),
        ("one usual consumer group", DeadLetterFilter { consumer_group: vec!["service-3".into()], ..open.clone() }),
        (
            "one usual class",
            DeadLetterFilter { exception_class: vec!["com.example.shop.failure.Cause7Exception".to_owned()], ..open.clone() },
        ),
        ("one usual origin", DeadLetterFilter { origin_topic: vec!["orders-2".into()], ..open.clone() }),
    ];
    for (name, filter) in &filters {
        let list = || async { store.list_dead_letters(filter, &PageRequest::first(50), 1_000).await.map(|page| page.items.len()) };
        page(&format!("list, {name}"), &ByHand::of(&hand.list), list).await?;
    }
    let count = || async { store.count_dead_letters(&filters[1].1).await.map(|count| count.unwrap_or(0) as usize) };
    page("count, one bus", &ByHand::of(&hand.groups), count).await?;
    let end = (START + (names * 100) as i64) / 3_600_000 * 3_600_000 + 3_600_000;
    let buckets = Buckets { from: Timestamp::from_millis(end - 86_400_000), to: Timestamp::from_millis(end), count: 24 };
    page("failure groups", &ByHand::of(&hand.groups), || async {
        let groups = store.list_failure_groups(&open, FailureGroupSort::Open, buckets, &PageRequest::first(50)).await;
        groups.map(|page| page.items.len())
    })
    .await?;
    let arrivals = || async { store.list_arrivals(&DeadLetterFilter::default(), buckets).await.map(|arrivals| arrivals.total as usize) };
    page("arrivals of a day", &ByHand::of(&hand.arrivals), arrivals).await?;
    let menus = || async { store.list_filter_choices(&[]).await.map(|choices| choices.exception_classes.len()) };
    page("menus of filters", &ByHand::of(&hand.groups), menus).await
}
