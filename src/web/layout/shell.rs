//! What every frame shows, read once for all pages that ask within a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::lifecycle::changes::{Changes, Noun};
use crate::model::receiver::FLAGGED_AFTER;
use crate::model::{BusId, BusState, DeadLetterFilter, Status, Timestamp};
use crate::store::StoreError;
use crate::store::alerts::history::AlertCounts;
use crate::web::WebState;

/// How long what the frame shows may be reused, so that every page does not count again.
const SHELL_KEPT: Duration = Duration::from_secs(2);

/// What every frame shows and no page should have to count itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Shell {
    pub(super) buses: Vec<BusState>,
    pub(super) open: Option<u64>,
    pub(super) flagged: u64,
    pub(super) alerts: AlertCounts,
    pub(super) store_failed: bool,
}

/// Shells by chosen bus, and when each was read.
type Shells = HashMap<Option<BusId>, (Timestamp, Arc<Shell>)>;

/// The shell by chosen bus, for two seconds, or until an alert changes: a page that is told of it asks at once.
#[derive(Debug)]
pub(in crate::web) struct ShellCache {
    shells: tokio::sync::Mutex<(Shells, Receiver<Noun>)>,
}

impl ShellCache {
    /// Nothing is kept yet.
    pub(in crate::web) fn new(changes: &Changes) -> Self {
        Self { shells: tokio::sync::Mutex::new((HashMap::new(), changes.subscribe())) }
    }

    /// A recent shell. While the store does not answer, the last one, marked.
    pub(super) async fn get(&self, state: &WebState, bus: Option<&BusId>, now: Timestamp) -> Arc<Shell> {
        let mut guard = self.shells.lock().await;
        let (shells, changes) = &mut *guard;
        if alerts_changed(changes) {
            // Kept for when the store does not answer, but not for those who ask now.
            for (at, _) in shells.values_mut() {
                *at = Timestamp::from_millis(0);
            }
        }
        let last = shells.get(&bus.cloned());
        if let Some((at, shell)) = last
            && at.age_at(now) < SHELL_KEPT
        {
            return Arc::clone(shell);
        }
        let shell = match load(state, bus, now).await {
            Ok(shell) => shell,
            Err(error) => {
                tracing::warn!(%error, "the frame of a page could not be read");
                let last = last.map(|(_, shell)| Shell::clone(shell)).unwrap_or_default();
                Shell { store_failed: true, ..last }
            }
        };
        let shell = Arc::new(shell);
        // Only buses that exist are kept, or addresses with made-up names would fill the memory.
        if bus.is_none_or(|bus| shell.buses.iter().any(|known| known.id == *bus)) {
            shells.insert(bus.cloned(), (now, Arc::clone(&shell)));
        }
        shell
    }
}

/// Whether an alert changed since this was last asked, or that cannot be told.
fn alerts_changed(changes: &mut Receiver<Noun>) -> bool {
    let mut changed = false;
    loop {
        match changes.try_recv() {
            Ok(noun) => changed |= noun == Noun::Alerts,
            Err(TryRecvError::Lagged(_)) => changed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return changed,
        }
    }
}

async fn load(state: &WebState, bus: Option<&BusId>, now: Timestamp) -> Result<Shell, StoreError> {
    let filter = DeadLetterFilter { bus: bus.cloned().into_iter().collect(), status: vec![Status::Open], ..DeadLetterFilter::default() };
    let buses = state.store().list_buses().await?;
    let open = state.store().count_by_status(&filter).await?.open;
    let flagged = state.store().count_flagged_receivers(now.minus(FLAGGED_AFTER)).await?;
    let alerts = state.store().count_alerts(bus, now).await?;
    Ok(Shell { buses, open: Some(open), flagged, alerts, store_failed: false })
}
