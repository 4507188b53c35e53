//! What Redrive tells of lag, statuses and throughput, beside what Kafka's own tools tell of the same groups.

mod bounds;
mod conditions;
mod groups;
mod letters;
mod protocols;
mod rolling;
mod scene;
mod spans;
