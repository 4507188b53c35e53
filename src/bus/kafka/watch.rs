//! What librdkafka says on its own: its log lines, in measure, and the newest reason why connections fail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::ffi::Observer;
use crate::model::BusId;

/// A broker that is down would fill the log with one line per broker and try: so many of one kind in one window, then a count.
const LINES_PER_WINDOW: u32 = 3;
const WINDOW: Duration = Duration::from_mins(1);
/// How long a failed connection explains a call that got no answer.
const REASON_AGE: Duration = Duration::from_mins(1);

/// Listens to one or more clients of a bus.
pub(super) struct Watch {
    bus: Option<BusId>,
    gates: Mutex<HashMap<String, Gate>>,
    reason: Mutex<Option<(Instant, String)>>,
    errors: Mutex<Vec<(RDKafkaErrorCode, String)>>,
}

struct Gate {
    opened: Instant,
    lines: u32,
}

impl Watch {
    pub(super) fn new(bus: BusId) -> Self {
        Self { bus: Some(bus), gates: Mutex::default(), reason: Mutex::default(), errors: Mutex::default() }
    }

    /// Logs nothing, for a client that only checks its configuration.
    pub(super) fn silent() -> Self {
        Self { bus: None, gates: Mutex::default(), reason: Mutex::default(), errors: Mutex::default() }
    }

    /// Why connections failed lately, in librdkafka's words.
    pub(super) fn recent_reason(&self) -> Option<String> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.as_ref().filter(|(at, _)| at.elapsed() < REASON_AGE).map(|(_, words)| words.clone())
    }

    /// Forgets the reason, as a call has succeeded.
    pub(super) fn answered(&self) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Errors of the client as a whole since the last call.
    pub(super) fn take_errors(&self) -> Vec<(RDKafkaErrorCode, String)> {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a line may be logged now; with how many were held back since the last one.
    fn admit(&self, facility: &str, now: Instant) -> Option<u32> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry(facility.to_owned()).or_insert(Gate { opened: now, lines: 0 });
        let mut held_back = 0;
        if now.duration_since(gate.opened) >= WINDOW {
            held_back = gate.lines.saturating_sub(LINES_PER_WINDOW);
            *gate = Gate { opened: now, lines: 0 };
        }
        gate.lines = gate.lines.saturating_add(1);
        (gate.lines <= LINES_PER_WINDOW).then_some(held_back)
    }

    fn remember(&self, text: &str) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), tidy(text)));
    }
}

impl Observer for Watch {
    fn log(&self, level: i32, facility: &str, text: &str) {
        let Some(bus) = &self.bus else { return };
        if matches!(facility, "FAIL" | "SASL" | "SSL") && !text.contains("brokers are down") {
            self.remember(text);
        }
        // 7 is librdkafka's debug property at work: whoever sets it wants every line.
        if level >= 7 {
            tracing::debug!(target: "librdkafka", %bus, facility, "{text}");
            return;
        }
        let Some(held_back) = self.admit(facility, Instant::now()) else { return };
        match level {
            0..=2 => tracing::error!(target: "librdkafka", %bus, facility, held_back, "{text}"),
            3 | 4 => tracing::warn!(target: "librdkafka", %bus, facility, held_back, "{text}"),
            _ => tracing::info!(target: "librdkafka", %bus, facility, held_back, "{text}"),
        }
    }

    fn error(&self, code: RDKafkaErrorCode, text: &str) {
        if code != RDKafkaErrorCode::AllBrokersDown {
            self.remember(text);
        }
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < 64 {
            errors.push((code, tidy(text)));
        }
    }
}

/// Without the client's own name and the counters at the end: `[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to
/// ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)`.
fn tidy(text: &str) -> String {
    let text = text.split_once("]: ").filter(|(head, _)| head.contains("[thrd:")).map_or(text, |(_, rest)| rest);
    let text = text.split(" (after ").next().unwrap_or(text);
    text.replace("/bootstrap", "").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_down_does_not_fill_the_log() {
        let watch = Watch::new("prod".into());
        let start = Instant::now();
        let admitted = (0..100).filter(|_| watch.admit("FAIL", start).is_some()).count();
        assert_eq!(admitted, 3);
        assert_eq!(watch.admit("OTHER", start), Some(0), "another kind of line has its own measure");
        assert_eq!(watch.admit("FAIL", start + WINDOW), Some(97), "the next window says how many were held back");
    }

    #[test]
    fn the_reason_of_a_failure_is_kept_until_a_call_succeeds() {
        let watch = Watch::new("prod".into());
        watch.log(3, "FAIL", "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)");
        assert_eq!(watch.recent_reason().as_deref(), Some("127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused"));
        watch.answered();
        assert_eq!(watch.recent_reason(), None);
    }
}
