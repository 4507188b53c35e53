//! What the programs wrote down.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use crate::harness::sdk;

/// A message that was sent. Times are nanoseconds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) began: i64,
    pub(super) ended: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A message that was handled.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Handled {
    pub(super) id: String,
    pub(super) began: i64,
    pub(super) ended: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) failed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Sent(Sent),
    Handled(Handled),
    Batch { size: usize },
    Poll,
}

/// The lines of a program.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) sent: Vec<Sent>,
    pub(super) handled: Vec<Handled>,
    /// Sizes of batches.
    pub(super) batches: Vec<usize>,
    /// How often it took several batches at once.
    pub(super) polls: usize,
}

impl Ledger {
    /// Runs a program to its end.
    pub(super) async fn of(command: Command) -> Self {
        let mut ledger = Self::default();
        for line in sdk::run(command).await.lines() {
            match serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) {
                Line::Sent(sent) => ledger.sent.push(sent),
                Line::Handled(handled) => ledger.handled.push(handled),
                Line::Batch { size } => ledger.batches.push(size),
                Line::Poll => ledger.polls += 1,
            }
        }
        ledger
    }

    /// Attempts on each message, in their order.
    pub(super) fn attempts(&self) -> BTreeMap<&str, Vec<&Handled>> {
        let mut attempts: BTreeMap<&str, Vec<&Handled>> = BTreeMap::new();
        for handled in &self.handled {
            attempts.entry(&handled.id).or_default().push(handled);
        }
        attempts
    }

    /// How many attempts failed.
    pub(super) fn failures(&self) -> usize {
        self.handled.iter().filter(|handled| handled.failed).count()
    }
}
