//! Replay on a real Kafka, through the real binary: what arrives is compared with the test's own ledger.

mod control;
mod detours;
mod exactly_once;
mod kills;
pub(crate) mod outcome;
mod policies;
pub(crate) mod scene;
mod traces;
mod trouble;
mod without_transactions;
