//! What Redrive tells of lag, statuses and throughput, beside what Kafka's own tools tell of the same groups.

mod groups;
mod letters;
mod rolling;
mod spans;
