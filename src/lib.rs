//! Redrive: observability and dead-letter operations for message buses.
//!
//! The map of the house. Folders follow the data from the bus to the browser:
//!
//! | room | what it owns |
//! |---|---|
//! | [`model`] | domain words; pure values |
//! | [`config`] | configuration, or every problem of it at once |
//! | [`lifecycle`] | signals, task tracking, readiness |
//! | [`telemetry`] | our own logs, metrics and traces |
//! | [`bus`] | the `Bus` trait and its adapters; the only room that names librdkafka (beside the demo) |
//! | [`dead_letters`] | conventions, decoder, fingerprint (pure), and the indexer from bus to store |
//! | [`otlp`] | receivers of spans and the conventions of their attributes; the only room that names OTLP protobufs |
//! | [`store`] | the only room that names a database |
//! | [`metrics`] | figures: histograms, lag, consumer-group status (pure) |
//! | [`jobs`] | background tasks: sampling, retention |
//! | [`operations`] | explicit acts on a bus on somebody's behalf: opening records, replay |
//! | [`alerts`] | rules, their state, grouping and silences (pure), their evaluation; formats of receivers, the outbox's way to them |
//! | [`access`] | passwords, sessions, roles, tokens |
//! | [`traces`] | spans to figures and journeys (pure) |
//! | [`web`] | pages and API; the only room that names the web framework |
//! | [`demo`] | the simulated shop |
//! | [`app`] | puts the parts together |
//! | [`cli`] | the command line |
//!
//! `tests/it/architecture.rs` checks which room may use which.

pub mod access;
pub mod alerts;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod dead_letters;
pub mod demo;
pub mod jobs;
pub mod lifecycle;
pub mod metrics;
pub mod model;
pub mod operations;
pub mod otlp;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod web;
