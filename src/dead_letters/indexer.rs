//! From the bus to the store: reads dead-letter topics, decodes, and stores rows and positions together, exactly once.
//!
//! One pipeline per bus, so that one bus never holds another. Two batches at most are in flight: while one is stored, the next is read
//! and decoded. Whatever goes wrong, both are dropped and work begins again from the positions in the store; a batch whose positions
//! another instance has moved on is not written at all.
//!
//! What is to be read is decided by [`plan`], from which position by the store, by whom (when several instances share a store) by
//! [`share`].

use std::sync::Arc;
use std::time::Duration;

use crate::bus::BusError;
use crate::bus::share::ShareWatch;
use crate::store::StoreError;

mod care;
#[cfg(test)]
mod fixture;
pub mod health;
mod origins;
mod plan;
mod pointers;
mod prepare;
mod reading;
mod rules;
mod share;
pub mod work;

pub use plan::another_cluster;
pub use rules::{InvalidRules, decoder};
pub use work::{BusWork, Context, Instance, Periods, Signals};

/// Why work on a bus begins again from the stored positions.
#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error("{0}")]
    Bus(#[from] BusError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("the decoder's thread ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Starts indexing of one bus: a task that runs until the process ends, and a second one where instances share the work.
pub fn spawn(context: &Context, work: &Arc<BusWork>) {
    let share = share::spawn(context, work);
    let (context, work) = (context.clone(), Arc::clone(work));
    let life = context.life.clone();
    life.spawn("indexer", async move {
        run(&context, &work, share).await;
        Ok(())
    });
}

async fn run(context: &Context, work: &Arc<BusWork>, mut share: ShareWatch) {
    let mut backoff = work::Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
    let mut desk = reading::Desk::default();
    let mut said = None;
    while !context.life.soft().is_cancelled() {
        let Err(setback) = reading::session(context, work, &mut share, &mut desk).await else {
            return;
        };
        if std::mem::take(&mut desk.progress) {
            backoff.reset();
            said = None;
        }
        context.metrics.indexer_errors_total.with_label_values(&[work.id().as_str()]).inc();
        if let Setback::Store(error) = &setback {
            health::report(context.life.readiness(), Err(error));
        }
        desk.clear_after(&setback);
        let reason = setback.to_string();
        if said.as_ref() != Some(&reason) {
            tracing::warn!(bus = %work.id(), reason, "indexing pauses, positions stay, and it will try again");
            said = Some(reason);
        }
        if !work::pause(&context.life, backoff.next_wait()).await {
            return;
        }
    }
}
