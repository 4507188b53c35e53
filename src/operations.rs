//! Explicit acts on a bus on somebody's behalf. Pages and the API reach a bus only through here; everything has a deadline and a
//! bound, so that a slow bus costs the person who asked and nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::bus::Bus;
use crate::model::{BusId, Capabilities};

pub mod discard;
pub mod lag;
pub mod policy;
pub mod purge;
pub mod records;
pub mod replay;

pub use crate::bus::{ReadFrom, ReadRecords};
pub use records::{OpenRecordsError, RecordLimit};

/// Reads that may be under way on one bus at a time. Each holds a consumer of the client library, and a person opens one page at
/// a time; those beyond wait within their own deadline.
const READS_PER_BUS: usize = 4;

/// The buses as the web may use them. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    buses: Arc<HashMap<BusId, Slot>>,
    deadline: Duration,
}

/// A bus with its places for reads: one bus that hangs takes none from the others.
struct Slot {
    bus: Arc<dyn Bus>,
    reads: Semaphore,
}

impl Operations {
    /// Acts on these buses.
    #[must_use]
    pub fn new(buses: HashMap<BusId, Arc<dyn Bus>>) -> Self {
        let slots = buses.into_iter().map(|(id, bus)| (id, Slot { bus, reads: Semaphore::new(READS_PER_BUS) }));
        Self { buses: Arc::new(slots.collect()), deadline: records::DEADLINE }
    }

    /// Gives up after `deadline` instead of [`records::DEADLINE`].
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// What a bus cannot do, as far as this process has found out; `None` for a bus that is not configured here.
    #[must_use]
    pub fn capabilities(&self, bus: &BusId) -> Option<Capabilities> {
        Some(self.buses.get(bus)?.bus.capabilities())
    }
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.buses.keys()).finish()
    }
}
