//! Spans of OpenTelemetry's SDKs and of the instrumentations of Kafka's clients, as they really are: services in Python, JavaScript and
//! Java send and take messages, and what Redrive tells of them is compared with what they wrote down themselves.

mod figures;
mod following;
mod java;
mod kafkajs;
mod ledger;
mod python;
mod scene;
