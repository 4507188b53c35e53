//! The integration tests: one binary, a module per room of the house.

#![expect(clippy::unwrap_used, clippy::format_collect, reason = "helpers of tests fail where they cannot go on, and need not be fast")]

mod alerts;
mod architecture;
mod browser;
mod bus;
mod dead_letters;
mod demo;
mod figures;
mod fuzz;
mod harness;
mod letters;
mod notify;
mod operations;
mod otlp;
mod process;
mod purge;
mod replay;
mod store;
mod traces;
mod web;
