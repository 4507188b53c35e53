//! Looks at the rules once a second: one instance for all, under a lease whose epoch is checked with whatever it writes.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::Run;
use crate::alerts::defaults;
use crate::alerts::evaluation::{Evaluator, Looked};
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::alerts::round::Guard;

/// Name of the lease.
const LEASE: &str = "job:alerts";
/// Who looks and is not heard of for so long is followed by another.
const HELD: Duration = Duration::from_secs(6);
/// The lease is renewed this often.
const RENEWED: Duration = Duration::from_secs(2);

/// What the job keeps between two looks.
#[derive(Debug)]
pub(super) struct Watcher {
    evaluator: Evaluator,
    changes: broadcast::Receiver<Noun>,
    lease: Option<(Guard, Timestamp)>,
    begun: bool,
}

impl Watcher {
    pub(super) fn new(base: &str, changes: &Changes) -> Self {
        Self { evaluator: Evaluator::new(base), changes: changes.subscribe(), lease: None, begun: false }
    }

    /// Whether dead letters or deliveries have changed since this was last asked.
    fn letters_changed(&mut self) -> bool {
        let mut changed = false;
        loop {
            match self.changes.try_recv() {
                Ok(noun) => changed |= noun == Noun::DeadLetters,
                Err(TryRecvError::Lagged(_)) => changed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return changed,
            }
        }
    }
}

/// One look, if it is ours to look.
pub(super) async fn look(run: &Run) -> anyhow::Result<()> {
    let mut watcher = run.watcher.lock().await;
    let changed = watcher.letters_changed();
    let now = Timestamp::now();
    if run.context.instance.shared && !hold(run, &mut watcher, now).await? {
        return Ok(());
    }
    let store = &run.context.store;
    if !watcher.begun {
        store.add_first_alert_rules(&defaults::rules(), &defaults::entry(now)).await?;
        watcher.begun = true;
    }
    let guard = watcher.lease.as_ref().map(|(guard, _)| guard.clone());
    match watcher.evaluator.look(store, guard.as_ref(), changed, now).await? {
        Looked::Same => {}
        Looked::Changed => run.context.changes.publish(Noun::Alerts),
        Looked::Lost => watcher.lease = None,
    }
    Ok(())
}

/// Takes or renews the lease; `false` while another instance holds it.
async fn hold(run: &Run, watcher: &mut Watcher, now: Timestamp) -> Result<bool, StoreError> {
    if watcher.lease.as_ref().is_some_and(|(_, taken)| *taken <= now && taken.age_at(now) < RENEWED) {
        return Ok(true);
    }
    let holder = &run.context.instance.client_id;
    let taken = run.context.store.take_lease(LEASE, holder, HELD, now).await?;
    watcher.lease = taken.map(|lease| (Guard { lease: LEASE.to_owned(), holder: holder.to_string(), epoch: lease.epoch }, now));
    Ok(watcher.lease.is_some())
}

/// Gives the lease back, so that another instance need not wait for its end.
pub(super) async fn release(run: &Run) {
    super::lease::release(&run.context, LEASE).await;
}
