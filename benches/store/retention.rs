//! Retention beside indexing: how long a batch waits at most.

use std::time::{Duration, Instant};

use redrive::model::{DeadLetterFilter, Fingerprint, PageRequest, Status, Timestamp};
use redrive::store::indexing::IndexBatch;
use redrive::store::{Store, StoreError};

use crate::Outcome;
use crate::letters::{Feed, START};
use crate::measure::millis;
use crate::report::line;

pub(crate) async fn measure(store: &Store, feed: &mut Feed) -> Outcome<()> {
    let filter = DeadLetterFilter { fingerprint: vec![Fingerprint { version: 1, hash: 5 }], ..DeadLetterFilter::default() };
    let page = store.list_dead_letters(&filter, &PageRequest::first(1_000), 1_000).await?;
    let ids: Vec<_> = page.items.iter().map(|item| item.id).collect();
    store.change_status(&ids, Status::Open, Status::Resolved, Timestamp::from_millis(START)).await?;
    let batches: Vec<IndexBatch> = (0..20).map(|_| feed.batch(200)).collect();
    let pruning = async {
        let began = Instant::now();
        let mut removed = 0;
        loop {
            match store.prune_dead_letters(Timestamp::from_millis(START + 1), 200).await? {
                0 => return Ok::<_, StoreError>((removed, began.elapsed())),
                some => removed += some,
            }
        }
    };
    let indexing = async {
        let mut longest = Duration::ZERO;
        for batch in batches {
            let began = Instant::now();
            store.record_index_batch(batch, Timestamp::from_millis(START)).await?;
            longest = longest.max(began.elapsed());
        }
        Ok::<_, StoreError>(longest)
    };
    let ((removed, spent), longest) = tokio::try_join!(pruning, indexing)?;
    line(&format!("retention of {removed}"), &millis(spent), "");
    line("longest batch of 200 beside it", &millis(longest), "");
    Ok(())
}
